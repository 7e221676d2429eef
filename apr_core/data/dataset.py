"""Data sets: what the pictures are, what their labels mean, and where both come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError

Say = Callable[[str], None]
"""Told in a sentence what is happening."""


def with_article(name: str) -> str:
    """A class as one speaks of one of it: "an airplane", "a bird"."""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def tensor_sha256(tensor: Tensor) -> str:
    """SHA-256 of a tensor's bytes in C order."""
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled pictures of one size, decoded as they are taken.

    Attributes:
        labels: int64 (N,).
        take: places (n,) int64 -> uint8 (n, C, H, W).
        sha256: of all of it, so that a record can name what it was measured on.
    """

    labels: Tensor
    take: Callable[[Tensor], Tensor]
    sha256: str

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def in_memory(cls, images: Tensor, labels: Tensor, sha256: str = "") -> Split:
        """Pictures uint8 (N, C, H, W) that are decoded already, and their labels (N,)."""
        if not sha256:
            both = tensor_sha256(images) + tensor_sha256(labels.long())
            sha256 = hashlib.sha256(both.encode()).hexdigest()
        return cls(labels.long(), lambda places: images[places], sha256)

    def part(self, places: Tensor) -> Split:
        """The pictures at some places (n,), in that order; the hash stays that of the whole."""
        return Split(self.labels[places], lambda some: self.take(places[some]), self.sha256)

    def first(self, count: int) -> Split:
        """The first so many of its pictures."""
        return self.part(torch.arange(min(count, len(self))))

    @property
    def images(self) -> Tensor:
        """All pictures at once, uint8 (N, C, H, W)."""
        return self.take(torch.arange(len(self)))


def unnamed(label: int) -> str:
    """What a class is called that has no name."""
    return f"class {label}"


@dataclass(frozen=True)
class Credit:
    """Whose a picture is.

    Attributes:
        link: to the original.
        licence, licence_url: its terms, by name and in full.
        changes: what was done to it.
    """

    author: str
    link: str
    licence: str
    licence_url: str
    changes: str

    def __str__(self) -> str:
        """All of it, as in "Ann (https://...), CC BY 2.0 (https://...), scaled"."""
        return f"{self.author} ({self.link}), {self.licence} ({self.licence_url}), {self.changes}"


@dataclass(frozen=True, eq=False)
class Sample:
    """Test pictures that come with the project: no download is needed for them.

    Attributes:
        images: uint8 (N, C, H, W).
        labels: int64 (N,).
        indices: in the test set, int64 (N,), ascending; (0,) where they are not in it. Drawn ones
            are numbered from where the test set ends.
        credits: of each picture, where each has its own author; else empty.
        picked: whether they were picked by hand, so that no rate may begin with them.
        drawn: whether they were drawn, in place of test pictures; nothing is measured on them.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    credits: tuple[Credit, ...] = ()
    picked: bool = False
    drawn: bool = False

    @property
    def split(self) -> Split:
        """The same pictures as a split, which nobody asks for the hash of."""
        return Split(self.labels, lambda places: self.images[places], "")

    def row(self, index: int) -> int | None:
        """Where test image `index` stands in the sample, None if it is not in it."""
        found = (self.indices == index).nonzero()
        return int(found[0, 0]) if len(found) else None


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set as a value: nothing of it is loaded before it is asked for.

    Attributes:
        name: as cards, records and `--data` have it.
        title: for people.
        classes: their names, by label.
        size: height and width in pixels.
        channels: 3, or 1 for grey.
        mean, std: of the training pictures by channel, of pixels in [0, 1]; what this project's own
            models normalise by.
        source, licence, citation: where the pictures come from, and on what terms.
        caution: a sentence that stands wherever a rate on it is shown; "" for none.
        tested: how many test pictures there are, all of them; `find_dataset` gives those of the
            copy that is here, where copies differ.
        load: "train" or "test" -> that split, verified; InputError where it is not here.
        here: whether `load` has something to load.
        fetch: from a source ("auto", or one that the data set knows, or a folder), to where `load`
            finds it; InputError where that fails.
        mirrored: whether a picture's mirror image is of the same class, so that training may flip
            it; not so of traffic signs and of letters.
        sample: pictures that come with the project; InputError where there are none.
        variogram: half the mean squared difference of two pixels of a picture, by rows and columns
            apart: see `apr_core.data.variogram`.
        hashes: SHA-256 of each array, where the name fixes them; empty where copies differ, so that
            records name the SHA-256 of the split.
        ids: what else its classes are known by, as ImageNet's WordNet ids; () for nothing.
        nouns: whether a class is what one calls a thing of it: a cat, but not a malignant.
        trains: whether there are training pictures.
        current: the same data set as the copy that is here has it: its count, its source; None
            where there is one copy only.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    licence: str
    citation: str
    tested: int
    load: Callable[[str], Split]
    here: Callable[[], bool]
    fetch: Callable[[str, Say], None]
    variogram: Callable[[], Tensor]
    sample: Callable[[], Sample] | None = None
    mirrored: bool = False
    caution: str = ""
    hashes: dict[str, str] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    nouns: bool = True
    trains: bool = True
    current: Callable[[], DataSet] | None = None

    def __deepcopy__(self, memo: object) -> DataSet:
        """Itself: a value, which the copies of a model share."""
        return self

    def __reduce__(self) -> tuple[Callable[..., DataSet], tuple[object, ...]]:
        """By its name, for a model that is sent to another process of this machine."""
        from apr_core.data.registry import find_dataset  # noqa: PLC0415 - which imports this module

        return find_dataset, (self.name, self.size)

    def class_name(self, label: int) -> str:
        """A class in words; a person's own model may have more than the data set."""
        return self.classes[label] if 0 <= label < len(self.classes) else unnamed(label)

    def one_of(self, label: int) -> str:
        """One of a class in a sentence: "an airplane", or "“malignant”"."""
        name = self.class_name(label)
        return with_article(name) if self.nouns else f"“{name}”"

    def this_one(self, label: int) -> str:
        """The one at hand: "this airplane", or "“malignant”"."""
        return f"this {self.class_name(label)}" if self.nouns else self.one_of(label)

    def class_number(self, name: str) -> int:
        """A class by its name or its number.

        Raises:
            InputError: there is no such class, or several of this name.
        """
        if name.isascii() and name.isdigit() and int(name) < len(self.classes):
            return int(name)
        found = [number for number, known in enumerate(self.classes) if known == name]
        if not found:
            raise InputError(unknown_name("class", name, self.classes))
        if len(found) > 1:
            raise InputError(
                f"Several classes are called {name} ({', '.join(map(str, found))}); give a number."
            )
        return found[0]

    def shipped_sample(self) -> Sample:
        """The pictures that come with the project.

        Raises:
            InputError: there are none.
        """
        if self.sample is None:
            raise InputError(
                f"No pictures of {self.title} come with this project; fetch them with "
                f"`python -m apr_core data {self.name}`."
            )
        return self.sample()

    def examples(self) -> Split:
        """The shipped sample or, where there is none or a drawn one, the test set.

        Raises:
            InputError: neither is here.
        """
        sample = self.sample() if self.sample else None
        return self.load("test") if sample is None or sample.drawn else sample.split

    def test_part(self, indices: Tensor) -> Split:
        """Some test pictures, by index (n,): of the sample that evaluations begin with, if all are
        in it, or of the test set.

        Raises:
            InputError: the test set is needed, and not here.
        """
        if bool(torch.isin(indices, self.leading_indices()).all()):
            sample = self.shipped_sample()
            return sample.split.part(torch.searchsorted(sample.indices, indices))
        return self.load("test").part(indices)

    def leading_indices(self) -> Tensor:
        """The test pictures with which an evaluation begins, (N,): the sample's, so that nothing
        need be fetched, unless it was picked by hand."""
        sample = self.sample() if self.sample else None
        return torch.arange(0) if sample is None or sample.picked else sample.indices

    def test_image(self, index: int) -> tuple[Tensor, int]:
        """Test picture `index` as uint8 (C, H, W), and its label.

        It comes from the sample, drawn ones included, or from the full data set where that is here.

        Raises:
            InputError: there is no such index, or it is in neither.
        """
        sample = self.sample() if self.sample else None
        row = sample.row(index) if sample else None
        if sample and row is not None:
            return sample.images[row], int(sample.labels[row])
        if not self.tested:
            self.load("test")  # which says why there are none
        if not 0 <= index < self.tested:
            raise InputError(
                f"There is no test image {index}; indices go from 0 to {self.tested - 1}."
            )
        if self.here():
            test = self.load("test")
            return test.take(torch.tensor([index]))[0], int(test.labels[index])
        fetch = f"fetch them all with `python -m apr_core data {self.name}`"
        if sample is None or sample.drawn or not len(sample.indices):
            raise InputError(f"The pictures of {self.title} are not here; {fetch}.")
        raise InputError(
            f"Test image {index} is not in the shipped sample of {len(sample.indices):,}; take "
            f"{self._nearest(sample, index)}, which is, or {fetch}."
        )

    def is_drawn(self, index: int) -> bool:
        """Whether picture `index` was drawn in place of a test picture."""
        sample = self.sample() if self.sample else None
        return sample is not None and sample.drawn and sample.row(index) is not None

    def picture_name(self, index: int) -> str:
        """Such as "test image 35"."""
        if self.is_drawn(index):
            return f"drawn picture {index - int(self.shipped_sample().indices[0]) + 1}"
        return f"test image {index}"

    @staticmethod
    def _nearest(sample: Sample, index: int) -> int:
        return int(sample.indices[(sample.indices - index).abs().argmin()])
