"""What a run made, in files that may be copied back: few, and none too large.

    python -m scripts.full_scale.parcels pack FOLDER     # there: what was not packed before
    python -m scripts.full_scale.parcels join FOLDER     # here: into checkpoints/ and results/

A parcel is `parcel.json`, which lists what is in it with every SHA-256, and as many pieces of one
archive. Records come first, then models, each with its card, the first trained first; what has no
room is in the next parcel.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from apr_core.base import schema
from apr_core.base.files import write_whole
from apr_core.base.types import InputError
from apr_core.evaluation.record import results_folder
from apr_core.training.trainer import training_folder
from apr_core.zoo.checkpoints import checkpoint_folder

ROOT = Path(__file__).parents[2]
PIECE, PIECES = 15 << 20, 4
"""Bytes in a file, and files, besides the list: what a machine that is reached by copying may give
back in one go."""
LIST, SENT = "parcel.json", "packed.json"
CHECKPOINTS, RESULTS = "checkpoints", "results"


@dataclass(frozen=True)
class _Listed:
    """A parcel's list: SHA-256 of each piece, in order, and of each file by its name."""

    pieces: dict[str, str]
    files: dict[str, str]


def pack(out: Path, again: bool = False) -> list[str]:
    """Write a parcel of what is new and has room; the names of what is in it.

    Args:
        again: also what was packed before, where that did not arrive.
    """
    kept = training_folder() / SENT
    sent = set() if again or not kept.exists() else set(json.loads(kept.read_text()))
    chosen: dict[str, Path] = {}
    size = 0
    for group in _groups():
        new = {name: path for name, path in group.items() if _told(name, path) not in sent}
        more = sum(2048 + path.stat().st_size for path in group.values())
        if new and size + more <= PIECE * PIECES - 20_480:
            chosen |= group
            size += more
    _write(out, chosen)
    sent |= {_told(name, path) for name, path in chosen.items()}
    write_whole(kept, json.dumps(sorted(sent)))
    return list(chosen)


def _groups() -> Iterator[dict[str, Path]]:
    """Files that belong together, by their names from the project's root, the first to go first;
    those that the project has already are left out."""
    folders = {CHECKPOINTS: checkpoint_folder(), RESULTS: results_folder()}
    records = sorted(folders[RESULTS].rglob("*.json*"), key=_age)
    cards = sorted(folders[CHECKPOINTS].rglob("*.json"), key=_age)
    for kind, paths in ((RESULTS, records), (CHECKPOINTS, cards)):
        for path in paths:
            name = f"{kind}/{path.relative_to(folders[kind])}"
            group = {name: path}
            weights = path.with_suffix(".safetensors")
            if kind == CHECKPOINTS and weights.exists():
                group |= {str(Path(name).with_suffix(".safetensors")): weights}
            if any(_differs(name, path) for name, path in group.items()):
                yield group


def _age(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, str(path)


def _differs(name: str, path: Path) -> bool:
    shipped = ROOT / name
    return shipped != path and (not shipped.exists() or shipped.read_bytes() != path.read_bytes())


def _told(name: str, path: Path) -> str:
    return f"{name} {_sha256(path.read_bytes())}"


def _write(out: Path, chosen: dict[str, Path]) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, path in chosen.items():
            archive.add(path, name)
    data = whole.getvalue() if chosen else b""
    cut = [data[first : first + PIECE] for first in range(0, len(data), PIECE)]
    pieces = {f"piece-{number}.bin": piece for number, piece in enumerate(cut, start=1)}
    out.mkdir(parents=True, exist_ok=True)
    for name, piece in pieces.items():
        (out / name).write_bytes(piece)
    listed = {
        "pieces": {name: _sha256(piece) for name, piece in pieces.items()},
        "files": {name: _sha256(path.read_bytes()) for name, path in chosen.items()},
    }
    write_whole(out / LIST, json.dumps(listed, indent=1) + "\n")


def join(parcel: Path) -> list[str]:
    """Put a parcel's files where they belong, each held to its hash; their names.

    Raises:
        InputError: a piece is missing or damaged, or the list is none.
    """
    try:
        listed = schema.build(_Listed, schema.read(parcel / LIST))
        pieces = [(name, (parcel / Path(name).name).read_bytes()) for name in listed.pieces]
    except (OSError, ValueError) as error:
        raise InputError(f"{parcel} holds no whole parcel ({error}); copy it again.") from None
    for name, piece in pieces:
        if _sha256(piece) != listed.pieces[name]:
            raise InputError(f"{parcel / name} is damaged; copy it again.")
    data = b"".join(piece for _, piece in pieces)
    files = dict(_unpacked(data)) if data else {}
    if {name: _sha256(content) for name, content in files.items()} != listed.files:
        raise InputError(f"{parcel} holds other files than its list says; copy it again.")
    for name, content in sorted(files.items(), key=lambda entry: entry[0].endswith(".json")):
        write_whole(_place(name), content)
    return list(files)


def _unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                yield member.name, file.read()


def _place(name: str) -> Path:
    """Where a file of a parcel belongs.

    Raises:
        InputError: it would lie outside of the two folders.
    """
    kind, *rest = Path(name).parts
    folders = {CHECKPOINTS: checkpoint_folder(), RESULTS: results_folder()}
    if kind not in folders or not rest or ".." in rest:
        raise InputError(f"'{name[:80]}' is no file of {CHECKPOINTS}/ or {RESULTS}/; copy again.")
    return folders[kind].joinpath(*rest)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack, or join."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["pack", "join"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--again", action="store_true", help="also what was packed before")
    args = parser.parse_args(arguments)
    try:
        names = pack(args.folder, args.again) if args.what == "pack" else join(args.folder)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(names) or "Nothing is new.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
