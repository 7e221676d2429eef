"""The command line, called in this process: exit code 0 or 2, and a plain last line for 2."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from hypothesis import strategies as st

from apr_core.base.types import InputError
from apr_core.cli import main
from apr_core.data.cifar10 import cifar10_file
from apr_core.data.images import to_png
from apr_core.data.sample import load_test_image
from apr_core.models import build_model
from apr_core.zoo.checkpoints import Card, save_checkpoint
from scripts.fuzz.boundary import Attempt, Boundary, BoundError
from scripts.fuzz.hostile import TEXTS
from scripts.nasty_pictures import corpus

MODEL = "cifar10-resnet20-fuzz"
COMMANDS: dict[str, tuple[str, ...]] = {
    "models": (),
    "attack": (
        "--model", MODEL, "--population", "4", "--generations", "0", "--device", "cpu",
        "--index", "0",
    ),
    "evaluate": ("--model", MODEL, "--attack", "top-gradient", "--images", "1", "--device", "cpu"),
    "certify": ("--model", MODEL, "--images", "1", "--device", "cpu"),
    "explain": ("--model", MODEL, "--index", "0", "--method", "saliency", "--device", "cpu"),
    "tables": (),
    "train": ("--epochs", "1", "--device", "cpu"),
    "data": ("cifar10", "--source", "nowhere"),
    "bench": ("--rounds", "0"),
    "gallery": ("--vanilla", "nobody"),
    "": (),
    "no-such": (),
}  # fmt: skip
"""Each with what makes it quick. The data set is there and damaged, so that none is fetched."""
OPTIONS: dict[str, tuple[str, ...]] = {
    "": ("--help", "--no-such"),
    "models": ("--json", "--verify"),
    "attack": (
        "--model", "--index", "--image", "--label", "--pixels", "--population", "--generations",
        "--strategy", "--fitness", "--stop", "--l2-penalty", "--recombination", "--target",
        "--seed", "--out", "--device", "--json",
    ),
    "evaluate": (
        "--model", "--images", "--attack", "--pixels", "--seed", "--all", "--draws", "--lattice",
        "--workers", "--json",
    ),
    "certify": ("--model", "--images", "--spacing", "--device", "--json"),
    "explain": ("--model", "--index", "--image", "--method", "--target", "--seed", "--out"),
    "tables": ("--style", "--json"),
    "train": (
        "--architecture", "--defence", "--preset", "--epochs", "--batch-size", "--learning-rate",
        "--subset", "--seed", "--seeds", "--name", "--notes", "--log", "--out", "--ship", "--json",
    ),
    "data": ("--source", "--sample"),
    "bench": ("--model", "--images", "--architecture", "--defences", "--steps", "--overhead"),
    "gallery": ("--defended", "--images"),
}  # fmt: skip
FLAGS = {
    "--json", "--verify", "--all", "--ship", "--sample", "--overhead", "--help", "--no-such",
}  # fmt: skip
COSTLY = {"--images", "--workers", "--rounds", "--lattice", "--spacing", "--attack", "--method"}
"""Options of which a good value may mean much work: these are tried with bad ones only."""
BAD = ("", "0", "-1", "nan", "1e3", "9" * 30, "x", "💥", "a" * 300)
GOOD = ("0", "1", "3", "cat", "resnet20", "apr", "su2019", "text", "cpu", "meta", MODEL)
PICTURES = ("good.png", "bad.png", "missing.png", ".", "")
WORDS = (*(text for text in TEXTS if "\x00" not in text), "\udcff", "os:getcwd", "a:b", "x.pt")


@st.composite
def _lines(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from(list(COMMANDS)))
    known = OPTIONS.get(command, OPTIONS[""])
    line = [command, *COMMANDS[command]] if command else []
    for option in draw(st.lists(st.sampled_from(known), max_size=4, unique=True)):
        line.append(option)
        if option not in FLAGS:
            line.append(draw(_value(option)))
    return line


def _value(option: str) -> st.SearchStrategy[str]:
    if option in COSTLY:
        return st.sampled_from(BAD)
    if option == "--image":
        return st.sampled_from(PICTURES)
    if option == "--source":
        return st.sampled_from([text for text in WORDS if text not in ("auto", "npm")])
    words = st.sampled_from(WORDS) | st.sampled_from(GOOD)
    if option in ("--out", "--log"):  # never to a place outside
        return words.filter(lambda text: not text.startswith("/"))
    if option in ("--population", "--generations", "--batch-size"):
        return words.filter(lambda text: not text.isdecimal() or len(text) != 4)
    return words


@contextmanager
def _ready(folder: Path) -> Iterator[Attempt]:
    torch.manual_seed(0)
    card = Card(
        MODEL, "cifar10", "resnet20", "vanilla", {}, 0, 0, "0" * 64, 0.125, 1250, 10_000, "a fuzz",
        0.0, {},
    )  # fmt: skip
    save_checkpoint(build_model("resnet20"), card)
    cifar10_file().write_bytes(b"damaged")
    home = Path.cwd()
    deep = folder / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "good.png").write_bytes(to_png(load_test_image(0)[0]))
    (deep / "bad.png").write_bytes(corpus()["cut.png"])
    os.chdir(deep)
    try:
        yield _attempt
    finally:
        os.chdir(home)


def _attempt(line: list[str]) -> None:
    told, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(said):
        try:
            code: int | str | None = main(line)
            parser = False
        except SystemExit as error:
            code, parser = error.code, True
    last = (said.getvalue().strip().splitlines() or [""])[-1]
    if code not in (0, 2) or "Traceback" in said.getvalue():
        raise BoundError(f"Exit code {code}: {said.getvalue()[-2000:]}")
    if code == 2 and parser:  # argparse's own way of saying it
        raise InputError(f"{last.encode('ascii', 'backslashreplace').decode()[:1000]}.")
    if code == 2:
        raise InputError(last)


def boundaries() -> Iterator[Boundary]:
    """The command line."""
    yield Boundary("commands", _lines(), _ready, works=True)
