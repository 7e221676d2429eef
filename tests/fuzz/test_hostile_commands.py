"""The command line, called in this process: exit code 0, or 2 and a plain last line."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import strategies as st

from apr_core.base.types import InputError
from apr_core.cli import main
from apr_core.data.cifar10 import cifar10_file
from apr_core.data.images import to_png
from apr_core.data.registry import find_dataset
from apr_core.models import build_model
from apr_core.zoo.checkpoints import save_checkpoint
from tests.core.test_zoo import CARD
from tests.fuzz.conftest import Fuzz
from tests.fuzz.hostile import TEXTS
from tests.fuzz.nasty_pictures import corpus

MODEL = "cifar10-resnet20-fuzz"
COMMANDS = {
    "models": "",
    "attack": f"--model {MODEL} --population 4 --generations 0 --device cpu --index 0",
    "evaluate": f"--model {MODEL} --attack top-gradient --images 1 --device cpu",
    "certify": f"--model {MODEL} --images 1 --device cpu",
    "explain": f"--model {MODEL} --index 0 --method saliency --device cpu",
    "tables": "",
    "train": "--epochs 1 --device cpu",
    "data": "cifar10 --source nowhere",
    "bench": "--rounds 0",
    "gallery": "--vanilla nobody",
    "": "",
    "no-such": "",
}
"""Each with what makes it quick. The data set is there and damaged, so that none is fetched."""
OPTIONS = {
    "": "--help --no-such",
    "models": "--json --verify",
    "attack": "--model --index --image --label --pixels --population --generations --strategy "
    "--fitness --stop --l2-penalty --recombination --target --seed --out --device --json",
    "evaluate": "--model --images --attack --pixels --seed --all --draws --lattice --workers "
    "--json",
    "certify": "--model --images --spacing --patch --masks --device --json",
    "explain": "--model --index --image --method --target --seed --out",
    "tables": "--style --json",
    "train": "--architecture --defence --preset --epochs --batch-size --learning-rate --subset "
    "--seed --seeds --name --notes --log --out --ship --json",
    "data": "--source --sample",
    "bench": "--model --images --architecture --defences --steps --overhead",
    "gallery": "--defended --images",
}
FLAGS = {
    "--json", "--verify", "--all", "--ship", "--sample", "--overhead", "--help", "--no-such",
}  # fmt: skip
COSTLY = {"--images", "--workers", "--rounds", "--lattice", "--spacing", "--attack", "--method"}
"""A valid value may mean much work: these have invalid ones only."""
BAD = ("", "0", "-1", "nan", "1e3", "9" * 30, "x", "💥", "a" * 300)
GOOD = ("0", "1", "3", "cat", "resnet20", "apr", "su2019", "text", "cpu", "meta", MODEL)
PICTURES = ("good.png", "bad.png", "missing.png", ".", "")
WORDS = (*(text for text in TEXTS if "\x00" not in text), "\udcff", "os:getcwd", "a:b", "x.pt")


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from(list(COMMANDS)))
    line = [*filter(None, [command]), *COMMANDS[command].split()]
    known = OPTIONS.get(command, OPTIONS[""]).split()
    for option in draw(st.lists(st.sampled_from(known), max_size=4, unique=True)):
        line.append(option)
        if option not in FLAGS:
            line.append(draw(value_of(option)))
    return line


def value_of(option: str) -> st.SearchStrategy[str]:
    if option in COSTLY:
        return st.sampled_from(BAD)
    if option == "--image":
        return st.sampled_from(PICTURES)
    if option == "--source":
        return st.sampled_from([text for text in WORDS if text not in ("auto", "npm")])
    words = st.sampled_from(WORDS + GOOD)
    if option in ("--out", "--log"):  # never to a place outside
        return words.filter(lambda text: not text.startswith("/"))
    if option in ("--population", "--generations", "--batch-size"):
        return words.filter(lambda text: not text.isdecimal() or len(text) != 4)
    return words


def run(line: list[str]) -> None:
    told, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(said):
        try:
            code, own = main(line), True
        except SystemExit as error:
            code, own = error.code, False
    assert code in (0, 2), said.getvalue()
    assert "Traceback" not in said.getvalue()
    if code == 2:
        last = (said.getvalue().strip().splitlines() or [""])[-1]
        # argparse ends its own sentences without a stop
        raise InputError(last if own else f"{ascii(last)[1:1000]}.")


def test_commands(fuzz: Fuzz, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(build_model("resnet20"), replace(CARD, name=MODEL, defence="vanilla"))
    cifar10_file().write_bytes(b"damaged")
    deep = folder / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "good.png").write_bytes(to_png(find_dataset().test_image(0)[0]))
    (deep / "bad.png").write_bytes(corpus()["cut.png"])
    monkeypatch.chdir(deep)
    fuzz(lines(), run, ["models", "--json"], works=True)
