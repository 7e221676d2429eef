"""Switches of the whole process are as a person left them. Handed cases of kind 10."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from apr_core import OnePixelAttack, OnePixelConfig
from apr_core.attacks.oracle import ModelOracle
from apr_core.certification.lattice_masking import certify
from apr_core.data.dataset import Split
from apr_core.explain.attributions import attribute
from apr_core.models.switches import FULL_PRECISION, QUIET_HOOKS, Switch
from apr_core.training.monitor import count_correct
from apr_core.zoo.external import check_images, check_model
from tests.conftest import LinearModel, answers, noise

ROOMS = [("generic", "all"), ("cuda", "all"), ("mkldnn", "all")]
OPERATIONS = [(room, what) for room in ("cuda", "mkldnn") for what in ("matmul", "conv", "rnn")]
QUICK = OnePixelConfig(population=8, generations=1)


def read(*names: str) -> str:
    return torch._C._get_fp32_precision_getter(*names)


def newer() -> list[str]:
    return [read(*names) for names in ROOMS + OPERATIONS]


def older() -> list[object]:
    """The older switches; PyTorch refuses to read what disagrees with the newer ones."""
    found: list[object] = []
    for look in (
        torch.get_float32_matmul_precision,
        lambda: torch.backends.cudnn.allow_tf32,
        lambda: torch.backends.cuda.matmul.allow_tf32,
    ):
        try:
            found.append(look())
        except RuntimeError:
            found.append("refused")
    return found


@pytest.fixture
def switches() -> Iterator[None]:
    """Whatever a test sets is put back: the rooms first, for the operations inherit from them."""
    rooms = {names: read(*names) for names in ROOMS}
    matmul, conv = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    single = {names: read(*names) for names in OPERATIONS}
    yield
    for names in ROOMS:
        torch._C._set_fp32_precision_setter(*names, "none")
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = conv
    for names, precision in (single | rooms).items():
        torch._C._set_fp32_precision_setter(*names, precision)


def new_everywhere() -> None:
    torch.backends.fp32_precision = "tf32"


def new_for_matmul() -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"


def new_for_cudnn() -> None:
    torch.backends.cudnn.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "none"


def new_on_a_cpu() -> None:
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"


def old_for_matmul() -> None:
    torch.set_float32_matmul_precision("medium")


def old_for_both() -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True


WAYS = [
    lambda: None, new_everywhere, new_for_matmul, new_for_cudnn, new_on_a_cpu, old_for_matmul,
    old_for_both,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_full_precision_is_full_and_leaves_things_as_they_were(switches, way) -> None:
    way()
    before = newer(), older()
    with FULL_PRECISION.held():
        assert [read(*names) for names in OPERATIONS] == ["ieee"] * len(OPERATIONS)
        with FULL_PRECISION.held():
            pass
        assert read("cuda", "conv") == "ieee"
    assert (newer(), older()) == before
    torch.backends.fp32_precision = "bf16"  # what inherited still does
    torch.backends.fp32_precision = before[0][0]
    assert newer() == before[0]


def test_what_was_inherited_is_inherited_again(switches) -> None:
    """Else a person who turned TF32 on for all, and off again, would have kept it."""
    torch.backends.fp32_precision = "tf32"
    with FULL_PRECISION.held():
        pass
    torch.backends.fp32_precision = "ieee"
    assert read("cuda", "matmul") == read("mkldnn", "conv") == "ieee"


class Reading(nn.Module):
    """A model that writes down in which precision it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.model = LinearModel()
        self.seen: set[str] = set()
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        self.seen |= {read(*names) for names in OPERATIONS}
        return self.model(images)


@pytest.mark.parametrize("way", WAYS[1:])
def test_confirmations_and_certificates_are_in_float32(switches, way) -> None:
    """Handed case k10: by the newer switch convolutions stayed in TF32."""
    images, model = (noise(2, 3, 6, 6) * 255).byte(), Reading()
    labels = answers(model, images)
    way()
    before = newer(), older()
    model.seen.clear()
    ModelOracle(model).verify_float32(images)
    OnePixelAttack(model, QUICK).run(images, labels)
    certify(model, images, labels)
    count_correct(model, Split.in_memory(images, labels))
    assert model.seen == {"ieee"}
    assert (newer(), older()) == before


def test_a_check_is_in_float32(switches) -> None:
    new_everywhere()
    torch.manual_seed(0)
    seen: set[str] = set()
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).eval()
    net.register_forward_hook(lambda *_: seen.update(read(*names) for names in OPERATIONS))
    check_model(net, *check_images(count=10))
    assert seen == {"ieee"}


def test_the_last_to_leave_restores() -> None:
    """Two threads overlap: the first to come leaves first."""
    told: list[str] = []

    def change():
        told.append("set")
        return lambda: told.append("restored")

    switch, inside, leave = Switch(change), threading.Event(), threading.Event()

    def hold() -> None:
        with switch.held():
            inside.set()
            leave.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    assert inside.wait(60)
    with switch.held():
        leave.set()
        other.join(60)
        assert told == ["set"]
    assert told == ["set", "restored"]
    with pytest.raises(ZeroDivisionError), switch.held():
        raise ZeroDivisionError
    assert told == ["set", "restored"] * 2


def test_deeplift_leaves_no_filter_of_warnings(network) -> None:
    """Handed case k10."""
    before = list(warnings.filters)
    attribute(network, noise(1, 3, 32, 32), torch.tensor([0]), "deeplift")
    assert warnings.filters == before
    warnings.filterwarnings("ignore", "Setting forward, backward hooks", UserWarning)
    own = list(warnings.filters)
    with QUIET_HOOKS.held():
        pass
    assert warnings.filters == own  # a person's own stays
