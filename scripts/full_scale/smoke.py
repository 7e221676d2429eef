"""Every path that only a GPU takes, at toy size, before anything is spent on a large one.

On a processor the same checks run as far as it can stand in for a GPU: in bfloat16 in place of
half precision, and in the chunks that a GPU is given.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

from apr_core.attacks.attack import OnePixelAttack
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.oracle import FEW_CHUNK, ModelOracle
from apr_core.certification import double_masking
from apr_core.certification.lattice_masking import behind_lattice, certify
from apr_core.data.dataset import Split
from apr_core.data.registry import find_dataset
from apr_core.defences import DEFENCES, jpeg
from apr_core.defences.recipe import TrainConfig
from apr_core.models import Classifier, build_model
from apr_core.models.inference import CUDA_CHUNK, compile_for, prepare
from apr_core.models.inputs import as_input
from apr_core.models.switches import FULL_PRECISION
from apr_core.training.batches import AugmentedBatches
from apr_core.training.fit import Run

NETWORK = "resnet20"
TRAINED = ("vanilla", "apr", "apr-exact", "apr-plus", "at")
ROUNDING = 2e-3
"""Between two orders of the same float32 sums."""
HALF = 0.1
"""Between float32 logits and those of half precision, as a share of the largest."""
FEW = 12
"""Images that most checks look at."""

Check = Callable[[torch.device], None]


class PathError(Exception):
    """A check that a GPU did not pass; the sentence says which and by how much."""


def run_checks(device: torch.device, say: Callable[[str], None] = print) -> None:
    """Try every path in turn.

    Raises:
        PathError: one gave something else than it should; whatever else one raised comes through.
    """
    with as_on_a_gpu():
        for check in CHECKS:
            began = time.monotonic()
            check(device)
            name = check.__name__.strip("_").replace("_", " ")
            say(f"-- {name}: right, {time.monotonic() - began:.1f} s")


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Give a processor the chunks that a GPU is given."""
    tables: tuple[dict[str, int], ...]
    tables = (FEW_CHUNK, double_masking.CHUNK)
    with ExitStack() as stack:
        for table in tables:
            stack.enter_context(patch.dict(table, cpu=table["cuda"]))
        yield


def _near(what: str, found: Tensor, expected: Tensor, most: float) -> None:
    """Raise PathError unless two tensors differ by `most` of the largest value at most."""
    found, expected = found.double().cpu(), expected.double().cpu()
    apart = float((found - expected).abs().max() / expected.abs().max())
    if not apart <= most:  # nan included
        raise PathError(f"{what}: {apart:.2g} of the largest apart, where {most:g} is the most.")


def _network(device: torch.device) -> Classifier:
    torch.manual_seed(0)
    return build_model(NETWORK).to(device).eval()


def _images(count: int = FEW) -> Tensor:
    return find_dataset().shipped_sample().images[:count]


def _float32_is_float32(device: torch.device) -> None:
    """TF32 would be out by some 1e-4."""
    with FULL_PRECISION.held():
        torch.manual_seed(0)
        images, kernel = torch.randn(8, 64, 16, 16), torch.randn(64, 64, 3, 3)
        exact = torch.nn.functional.conv2d(images.double(), kernel.double())
        found = torch.nn.functional.conv2d(images.to(device), kernel.to(device))
        _near("A convolution in float32", found, exact, 2e-6)
        left, right = torch.randn(256, 256), torch.randn(256, 256)
        product = left.to(device) @ right.to(device)
        _near("A product in float32", product, left.double() @ right.double(), 2e-6)


def _training_in_bfloat16(device: torch.device) -> None:
    """Two steps of every defence, and of one in float32, whose loss is finite."""
    images, labels = (
        find_dataset().shipped_sample().images[:32],
        find_dataset().shipped_sample().labels[:32],
    )
    for name, mixed in (*((name, True) for name in TRAINED), (TRAINED[0], False)):
        config = TrainConfig(epochs=1, batch_size=16, mixed_precision=mixed)
        batches = AugmentedBatches(Split.in_memory(images, labels), config.batch_size, 0, device)
        defence = DEFENCES.get(name)
        run = Run(build_model(NETWORK, defence.make_front()), defence, config, device)
        run.train_epoch(batches, lambda progress: None)  # which raises where it is not


def _training_goes_on_from_a_file(device: torch.device) -> None:
    """The state of the optimiser comes back to the device it was on."""
    images, labels = (
        find_dataset().shipped_sample().images[:32],
        find_dataset().shipped_sample().labels[:32],
    )
    defence, config = DEFENCES.get("apr-plus"), TrainConfig(epochs=2, batch_size=16)
    batches = AugmentedBatches(Split.in_memory(images, labels), config.batch_size, 0, device)
    first, second = (
        Run(build_model(NETWORK, defence.make_front()), defence, config, device) for _ in range(2)
    )
    first.train_epoch(batches, lambda progress: None)
    with tempfile.TemporaryDirectory() as folder:
        first.save(Path(folder) / "state.safetensors")
        second.restore(Path(folder) / "state.safetensors")
    for name, value in first.model.state_dict().items():
        if not torch.equal(value, second.model.state_dict()[name]):
            raise PathError(f"{name} did not come back from the file of an unfinished training.")
    second.train_epoch(batches, lambda progress: None)


def _the_folded_copy(device: torch.device) -> None:
    model, images = _network(device), as_input(_images()).to(device)
    with torch.inference_mode():
        _near("The folded copy", prepare(model)(images), model(images), ROUNDING)


def _half_precision(device: torch.device) -> None:
    model, images = _network(device), _images().to(device)
    expected = ModelOracle(model).verify_float32(images)
    found = ModelOracle(model, half=True).query_images(images)
    _near("Half precision", found, expected, HALF)
    if torch.equal(found, ModelOracle(model).query_images(images)):
        raise PathError("What is asked in half precision is answered in float32.")


def _chunks_of_every_size(device: torch.device) -> None:
    """The chunk that a GPU is given, a small one, and one that memory does not suffice for."""
    tiny = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(device)
    images = _images(200).to(device)
    expected = ModelOracle(tiny, chunk=7).query_images(images)
    for chunk in (CUDA_CHUNK, 64):
        _near(
            f"A chunk of {chunk}",
            ModelOracle(tiny, chunk=chunk).query_images(images),
            expected,
            ROUNDING,
        )
    narrow = ModelOracle(_Narrow(tiny, 30), chunk=CUDA_CHUNK)
    _near("A chunk that was too large", narrow.query_images(images), expected, ROUNDING)
    if narrow.chunk > 30:
        raise PathError(f"The chunk is {narrow.chunk} still, where memory bears 30 images.")


class _Narrow(nn.Module):
    """A model that runs out of memory with more than so many images."""

    def __init__(self, model: nn.Module, most: int) -> None:
        super().__init__()
        self.model, self.most = model, most

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        logits: Tensor = self.model(images)
        return logits


def _jpeg_on_the_device(device: torch.device) -> None:
    """As on a processor, where tests hold it against Pillow."""
    images = _images()
    expected = jpeg.jpeg_round_trip(images, 75)
    found = jpeg.jpeg_round_trip(images.to(device), 75)
    if not torch.equal(found.cpu(), expected):
        apart = int((found.cpu().int() - expected.int()).abs().max())
        raise PathError(f"JPEG differs by up to {apart} from the processor's.")


def _a_certificate(device: torch.device) -> None:
    model, labels = _network(device), find_dataset().shipped_sample().labels[:2]
    images = as_input(_images(2))
    here = certify(behind_lattice(model), images.to(device), labels.to(device))
    there = certify(behind_lattice(_network(torch.device("cpu"))), images, labels)
    if here != there:
        raise PathError(f"The certificates are {here}, and a processor's {there}.")


def _a_search(device: torch.device) -> None:
    """Whole and in half precision; what flips does so on a processor."""
    model, images = _network(device), _images(4)
    with torch.inference_mode():
        labels = model(as_input(images).to(device)).argmax(1).cpu()
    config = OnePixelConfig(population=20, generations=3)
    run = OnePixelAttack(model, config).run(images, labels)
    on_cpu = _network(torch.device("cpu"))
    for image, outcome in zip(images, run.outcomes, strict=True):
        if str(outcome.status) == "flipped":
            edited = image.clone()
            for edit in outcome.edits:
                edited[:, edit.y, edit.x] = torch.tensor(edit.rgb, dtype=torch.uint8)
            with torch.inference_mode():
                if int(on_cpu(as_input(edited[None])).argmax()) == outcome.label:
                    raise PathError("An edit flips on the device, and not on a processor.")


def _compiled_and_not(device: torch.device) -> None:
    """On two layers: a whole network takes longer to compile than all else here."""
    torch.manual_seed(0)
    tiny = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    tiny = tiny.to(device).eval().requires_grad_(False)
    images = as_input(_images()).to(device)
    with torch.inference_mode():
        expected = tiny(images)
        _near("A compiled model", compile_for(tiny)(images), expected, ROUNDING)


CHECKS: tuple[Check, ...] = (
    _float32_is_float32,
    _training_in_bfloat16,
    _training_goes_on_from_a_file,
    _the_folded_copy,
    _half_precision,
    _chunks_of_every_size,
    _jpeg_on_the_device,
    _a_certificate,
    _a_search,
    _compiled_and_not,
)
