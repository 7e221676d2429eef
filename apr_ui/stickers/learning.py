"""Stickers that are being learned: one at a time for everybody, and kept as far as they came."""

from __future__ import annotations

import atexit
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import streamlit as st
from torch import Tensor

from apr_core.attacks.sticker import (
    StickerConfig,
    StickerLearner,
    become_target,
    other_pictures,
)
from apr_core.base.hardware import give_way
from apr_core.data.dataset import DataSet
from apr_core.evaluation.images import choose_images
from apr_core.evaluation.metrics import Rate, rate_of
from apr_core.explain.attributions import Cancelled
from apr_core.zoo.checkpoints import zoo_fingerprint
from apr_ui.jobs import Job, Jobs, Report
from apr_ui.resources import scorer
from apr_ui.visitor import current_viewer

MOST_PICTURES = 400
"""Of a data set that is here: half to learn on, half to count on."""
SIZES = (0.1, 0.8)
"""Of a sticker on a picture, as shares of the picture's side: the smallest and the largest."""
MOST_KEPT = 24
"""Stickers, ended or under way; each holds the pictures to learn on: of ImageNet, 30 MB."""


@dataclass(eq=False)
class Learning:
    """A sticker as far as it was learned; asked for again, it goes on from there.

    Attributes:
        others: how many pictures are held out: nothing is learned on them.
        seen: pictures of the newest step, (n, C, H, W) in [0, 1].
        success, without: of those others, how many become the target with the sticker, and without;
            None before the end.
        seconds: that learning took so far.
    """

    learner: StickerLearner
    others: int
    seen: Tensor | None = None
    success: Rate | None = None
    without: Rate | None = None
    seconds: float = 0.0

    @property
    def seconds_left(self) -> float | None:
        """Of learning; None before the first step."""
        done = self.learner.step
        return self.seconds / done * (self.learner.config.steps - done) if done else None


Asked = tuple[str, DataSet, StickerConfig]
"""A model by its name, whose pictures to learn on, and how."""


@st.cache_resource(show_spinner=False)
def _jobs() -> Jobs[Learning]:
    jobs: Jobs[Learning] = Jobs(MOST_KEPT)
    atexit.register(jobs.close)  # else a thread, inside torch, takes the process with it
    return jobs


class _Kept:
    """What was begun, by what was asked."""

    def __init__(self) -> None:
        self._lock, self._kept = threading.Lock(), OrderedDict[object, Learning]()

    def get(self, key: object, begin: Callable[[], Learning]) -> Learning:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = begin()
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]


@st.cache_resource(show_spinner=False)
def _kept() -> _Kept:
    return _Kept()


def learning_of(asked: Asked) -> Learning:
    """What was asked, as far as it was learned.

    Raises:
        InputError: there are no pictures to learn on, or the target is no class of the model.
    """
    return _kept().get((asked, zoo_fingerprint()), partial(_begin, *asked))


def job_of(asked: Asked) -> Job[Learning]:
    """The work on it: ended, under way, or begun now. All who ask for the same share it."""
    return _jobs().ask((asked, zoo_fingerprint()), partial(_learn, learning_of(asked), asked[1]))


def has_ended(job: Job[Learning]) -> bool:
    """Whether it has; this viewer looks at it until they `leave` it."""
    return job.wait(0, current_viewer())


def leave(asked: Asked) -> None:
    """This viewer needs the work on it no more; it ends unless others look at it."""
    job = _jobs().get((asked, zoo_fingerprint()))
    if job is not None:
        job.leave(current_viewer())


def _begin(model: str, data: DataSet, config: StickerConfig) -> Learning:
    images, labels = _pictures(data)
    half = len(images) // 2
    learner = StickerLearner(scorer(model).model, images[:half], labels[:half], config)
    return Learning(learner, len(held_out(data, config.target)))


def held_out(data: DataSet, target: int) -> Tensor:
    """The pictures that nothing is learned on, uint8 (n, C, H, W), without those of the target."""
    images, labels = _pictures(data)
    half = len(images) // 2
    return other_pictures(images[half:], labels[half:], target)


@lru_cache(maxsize=2)
def _pictures(data: DataSet) -> tuple[Tensor, Tensor]:
    """Pictures and labels: of the test set in the order of evaluation, or else what is shipped."""
    if data.here():
        return choose_images(data, min(MOST_PICTURES, data.tested))[:2]
    sample = data.shipped_sample()
    return sample.images, sample.labels


def _learn(
    learning: Learning, data: DataSet, report: Report, cancelled: Callable[[], bool]
) -> Learning:
    give_way()  # the pages go first
    learner = learning.learner
    while learner.live:
        if cancelled():
            raise Cancelled
        started = time.monotonic()
        learning.seen = learner.advance()
        learning.seconds += time.monotonic() - started
        report(learner.step, learner.config.steps)
    if cancelled():
        raise Cancelled
    others = held_out(data, learner.config.target)
    asked = learner.model, others, learner.config
    found = become_target(*asked, learner.sticker)
    learning.without = rate_of(int(become_target(*asked).sum()), len(found))
    learning.success = rate_of(int(found.sum()), len(found))
    return learning
