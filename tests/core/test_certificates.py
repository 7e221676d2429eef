"""`certify`: counts and intervals, the same after a kill, and a record to read."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from apr_core.base.types import InputError
from apr_core.certification import lattice_masking
from apr_core.certification.lattice_masking import LatticeMasking, Verdict, certify
from apr_core.certification.patch_masking import PatchMasking
from apr_core.cli import certify as certify_command
from apr_core.cli import main
from apr_core.data.registry import find_dataset
from apr_core.evaluation import journal
from apr_core.evaluation.certificates import CertRecord, CertSetting, cert_setting, certify_model
from apr_core.evaluation.images import choose_images
from apr_core.evaluation.metrics import rate_of
from apr_core.evaluation.protocol import EvalProgress
from apr_core.models import build_model
from apr_core.zoo.checkpoints import Card, load_card, load_model, save_checkpoint
from apr_core.zoo.target import TargetModel
from tests.conftest import ConstantModel

NAME = "cifar10-resnet20-lenient"


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("APR_RESULTS", str(tmp_path / "results"))
    monkeypatch.setitem(journal.GROUP, "cpu", 4)
    return tmp_path


@pytest.fixture
def target() -> TargetModel:
    """A network of random weights, which calls images by what it happens to see."""
    torch.manual_seed(3)
    model = build_model("resnet20")
    card = Card(
        NAME, "cifar10", "resnet20", "vanilla", {}, 0, 0, "0" * 64, 0.1, 1000, 10_000, "a test",
        0.0, {},
    )  # fmt: skip
    save_checkpoint(model, card)
    return TargetModel(NAME, load_model(NAME), find_dataset(), load_card(NAME))


def stable(record: CertRecord) -> dict:
    return asdict(replace(record, date="", seconds=0.0, images_per_second=0.0))


def test_a_record_counts_the_certificates(target: TargetModel) -> None:
    setting = cert_setting(target, 10, spacing=2)
    told: list[EvalProgress] = []
    record = certify_model(target, setting, told.append)
    assert [progress.done for progress in told] == [4, 8, 10]
    images, labels, indices = choose_images(find_dataset(), 10)
    wrapper = LatticeMasking(target.model, 2).eval()
    found = certify(wrapper, images.float() / 255, labels)
    assert record.verdicts == tuple(
        (index, one.verdict) for index, one in zip(indices.tolist(), found, strict=True)
    )
    wrong = sum(one.verdict is Verdict.WRONG for one in found)
    assert record.clean == rate_of(10 - wrong, 10)
    assert record.certified.count == sum(one.verdict is Verdict.CERTIFIED for one in found)
    assert 4 <= record.forwards <= 10


def certify_half(target: TargetModel, setting: CertSetting) -> None:
    """Eight images, then a kill."""

    def kill(progress: EvalProgress) -> None:
        if progress.done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        certify_model(target, setting, kill)


def test_a_killed_certification_goes_on_to_the_same_record(target: TargetModel) -> None:
    setting = cert_setting(target, 10, spacing=2)
    straight = certify_model(target, setting)
    certify_half(target, setting)
    told: list[EvalProgress] = []
    assert stable(certify_model(target, setting, told.append)) == stable(straight)
    assert [progress.done for progress in told] == [10]


@pytest.mark.parametrize(
    "spoil",
    [{"verdict": "maybe"}, {"answer": "a cat"}, {"predictions": None}, {"more": 1}],
)
def test_a_journal_that_somebody_spoiled_is_one_sentence(target: TargetModel, spoil: dict) -> None:
    setting = cert_setting(target, 10, spacing=2)
    certify_half(target, setting)
    (path,) = (journal.results_folder() / "unfinished" / setting.name).glob("*.jsonl")
    first, *rest = path.read_text().splitlines()
    line = json.loads(first)
    line["entries"][min(line["entries"])] |= spoil
    path.write_text("".join(f"{text}\n" for text in (json.dumps(line), *rest)))
    with pytest.raises(
        InputError, match=r"A line of .*0-of-1\.jsonl is damaged \(.*; delete the f"
    ):
        certify_model(target, setting)
    path.unlink()
    assert certify_model(target, setting).clean.total == 10


def test_one_of_a_model_that_nothing_identifies_starts_over(folders: Path) -> None:
    """It may be another model by now, and a record is of one."""
    first, other = choose_images(find_dataset(), 10)[1].unique()[:2]
    before, now = (
        TargetModel("mine", ConstantModel((2 * torch.eye(10)[a]).tolist()), find_dataset())
        for a in (first, other)
    )
    setting = cert_setting(before, 10, spacing=2)
    assert not setting.sha256
    certify_half(before, setting)
    record = certify_model(now, setting)
    assert stable(record) == stable(certify_model(now, setting))
    _, labels, _ = choose_images(find_dataset(), 10)
    assert record.certified == rate_of(int((labels == other).sum()), 10)


def test_the_command_prints_fractions_and_writes_the_record(
    target: TargetModel, capsys, folders: Path, monkeypatch
) -> None:
    command = ["certify", "--model", NAME, "--images", "6", "--spacing", "2", "--device", "cpu"]
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert 0 <= printed["certified"] <= printed["clean"] <= 1
    assert printed["certified"] == printed["certified_rate"]["count"] / 6
    path = folders / "results" / "certificates" / f"{NAME}-lattice2-n6.json"
    assert len(json.loads(path.read_text())["verdicts"]) == 6
    monkeypatch.setattr(lattice_masking, "CERTIFIED_MARGIN", 1e9)
    assert main(command) == 0
    assert "certified  0.0%" in capsys.readouterr().out


def test_a_record_of_patches_counts_them_and_names_their_side(target: TargetModel) -> None:
    setting = cert_setting(target, 6, patch=2, masks=3)
    assert setting.name == f"{NAME}-patch2-masks3-n6"
    assert replace(setting, masks=6).name == f"{NAME}-patch2-n6"
    record = certify_model(target, setting)
    images, labels, _ = choose_images(find_dataset(), 6)
    found = certify(PatchMasking(target.model, 2, 3).eval(), images.float() / 255, labels)
    assert [verdict for _, verdict in record.verdicts] == [one.verdict for one in found]
    assert record.command.endswith("--images 6 --patch 2 --masks 3")
    assert CertRecord.from_json(record.to_json()) == record


def test_a_record_from_before_there_were_patches_is_of_one_pixel(target: TargetModel) -> None:
    record = certify_model(target, cert_setting(target, 4, spacing=2))
    entry = json.loads(record.to_json())
    for name in ("patch", "masks"):
        assert entry["setting"].pop(name) == 0
    assert CertRecord.from_json(json.dumps(entry)) == record
    assert record.setting.name == f"{NAME}-lattice2-n4"


def test_the_command_certifies_against_patches_and_says_so(
    target: TargetModel, capsys, folders: Path
) -> None:
    command = ["certify", "--model", NAME, "--images", "3", "--patch", "2", "--masks", "3"]
    assert main([*command, "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert f"{NAME} behind 3 × 3 square masks" in said
    assert "no patch of 2 × 2 pixels, anywhere, of any content, can change the answer of" in said
    assert (folders / "results" / "certificates" / f"{NAME}-patch2-masks3-n3.json").exists()
    assert main([*command, "--json"]) == 0
    setting = json.loads(capsys.readouterr().out)["setting"]
    assert (setting["patch"], setting["masks"], setting["spacing"]) == (2, 3, 0)


def test_the_command_tells_what_a_check_of_the_model_had_to_say(
    target: TargetModel, capsys, monkeypatch
) -> None:
    note = "No more than chance would."
    monkeypatch.setattr(certify_command, "load_target", lambda *_, data: (target, (note,)))
    command = ["certify", "--model", NAME, "--images", "2", "--spacing", "2"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [note]
    assert main(command) == 0
    assert note in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--spacing", "1"], "spacing is 1"), (["--images", "0"], "images is 0"),
     (["--model", "cifar10-no-such"], "no model"),
     (["--patch", "0"], "--patch is 0; give the side of a patch"),
     (["--patch", "33"], "A patch of 33x33 pixels would leave nothing to see of an image of 32x32"),
     (["--patch", "33", "--index", "0"], "A patch of 33x33 pixels"),
     (["--patch", "2", "--masks", "1"], "masks is 1"),
     (["--patch", "2", "--spacing", "4"], "leave it out, or leave out --patch"),
     (["--masks", "3"], "--masks goes with --patch")],
)  # fmt: skip
def test_bad_arguments_are_one_sentence(target: TargetModel, arguments, said: str, capsys) -> None:
    assert main(["certify", "--model", NAME, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_spacing_that_cannot_be_is_refused(target: TargetModel) -> None:
    with pytest.raises(InputError, match="spacing is 40"):
        cert_setting(target, 10, spacing=40)
