"""FGSM and PGD on the Attack page: every pixel is moved a little, and the result shows how."""

from __future__ import annotations

import atexit
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

import streamlit as st
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.shift import (
    ShiftConfig,
    ShiftStep,
    describe_shift,
    has_flipped,
    magnify,
    shift,
)
from apr_core.base.hardware import give_way
from apr_core.base.types import InputError, shown
from apr_core.base.words import percent
from apr_core.data.images import OWN_PICTURE, to_png
from apr_core.serving.requests import AttackRequest
from apr_ui.address import keep_address, share_link
from apr_ui.choose_picture import Choice
from apr_ui.controls import MOST_REACH, make_request, show_request
from apr_ui.dataset import class_name, one_of
from apr_ui.downloads import SHARED, offer_files
from apr_ui.errors import errors_on_page
from apr_ui.jobs import Job, Jobs, Report
from apr_ui.model_names import model_title
from apr_ui.permalink import from_params, to_params
from apr_ui.pictures import contact_sheet, enlarge, scale_to
from apr_ui.resources import scorer
from apr_ui.result_view import Bar, Result, Tone, result_view
from apr_ui.stage import PREVIEW_WIDTH, SHARE_SIDE
from apr_ui.state import OnPicture
from apr_ui.words import count_text, plain

MOST_KEPT = 32
FIRST_SECONDS, POLL_SECONDS = 0.3, 0.5


@dataclass(frozen=True, eq=False)
class ShiftRequest:
    """One picture to shift.

    Attributes:
        base: the picture, its class and the model; of its settings, the seed alone counts.
    """

    base: AttackRequest
    config: ShiftConfig

    @cached_property
    def run_id(self) -> str:
        """Equal for equal requests."""
        return f"{self.base.run_id}-{self.config.reach}-{self.config.steps}"

    @property
    def model(self) -> str:
        return self.base.model


@dataclass(frozen=True, eq=False)
class ShiftRun:
    """A request as far as it came: the clean picture, then a step each."""

    request: ShiftRequest
    steps: tuple[ShiftStep, ...]
    seconds: float

    @property
    def flipped(self) -> bool:
        return has_flipped(self.steps, self.request.base.label)

    @property
    def cut(self) -> bool:
        """Whether it was cancelled before its last step."""
        first = int(self.steps[0].probabilities.argmax())
        whole = len(self.steps) > self.request.config.steps
        return first == self.request.base.label and not (whole or self.flipped)


SHIFT: OnPicture[ShiftRequest] = OnPicture("attack.shift")


@st.cache_resource(show_spinner=False)
def _jobs() -> Jobs[ShiftRun]:
    jobs: Jobs[ShiftRun] = Jobs(MOST_KEPT)
    atexit.register(jobs.close)  # else a thread, inside torch, takes the process with it
    return jobs


def _work(request: ShiftRequest, report: Report, cancelled: Callable[[], bool]) -> ShiftRun:
    give_way()  # the pages go first
    base, config, seen = request.base, request.config, list[ShiftStep]()
    started = time.monotonic()
    for step in shift(scorer(base.model), base.image, base.label, config, base.index):
        seen.append(step)
        run = ShiftRun(request, tuple(seen), time.monotonic() - started)
        report(len(seen), config.steps + 1, run)
        if cancelled():
            break
    return run


def job_of(request: ShiftRequest) -> Job[ShiftRun]:
    """The work on it: ended, under way, or begun now."""
    return _jobs().ask(request.run_id, partial(_work, request))


def shift_to_params(request: ShiftRequest) -> dict[str, str]:
    """The query parameters that make this request again."""
    config = request.config
    return to_params(request.base) | {"reach": str(config.reach), "steps": str(config.steps)}


def shift_from_params(params: Mapping[str, str]) -> ShiftRequest | None:
    """The request that a link stands for; None if it stands for none.

    Raises:
        InputError: the link names a setting, an image or a class that cannot be.
    """
    if "reach" not in params and "steps" not in params:
        return None
    base = from_params(params)
    if base is None:
        return None
    given = {name: params[name] for name in ("reach", "steps") if name in params}
    for name, text in given.items():
        if not text.isdecimal():
            raise InputError(f"The link's {name} is '{shown(text)}'; use a whole number.")
    numbers = {name: int(text[:9]) for name, text in given.items()}
    if numbers.get("reach", 0) > MOST_REACH:
        raise InputError(
            f"The link's reach is {numbers['reach']}, but must lie between 0 and {MOST_REACH}."
        )
    return ShiftRequest(base, ShiftConfig(**numbers, seed=base.config.seed))


def found_shift(run_id: str) -> ShiftRequest | None:
    """The request of a run that the server still has, by its number."""
    job = _jobs().get(run_id)
    run = job.made or job.seen if job else None
    return run.request if isinstance(run, ShiftRun) else None


def show_asked_shift(request: ShiftRequest) -> None:
    """Set the controls to a request, and show it; call before they are drawn."""
    show_request(request.base)
    for name, value in asdict(request.config).items():
        st.session_state[f"attack.{name}"] = value
    st.session_state["attack.every"] = True
    SHIFT.put(request)


def ask_shift(choice: Choice, model: str, config: ShiftConfig) -> ShiftRequest:
    """Begin on the chosen picture."""
    base = make_request(choice, model, OnePixelConfig(seed=config.seed))
    request = ShiftRequest(base, config)
    job = _jobs().get(request.run_id)
    if job and (job.error or (job.made and job.made.cut)):
        _jobs().drop(request.run_id)
    return SHIFT.put(request)


def follow_shift(request: ShiftRequest) -> None:
    """The run as it goes and as it ended, its files and its link; a fragment redraws it."""
    job = _jobs().get(request.run_id)  # it may have been cancelled, and be in its last step
    if job is None or (job.ended.is_set() and not (job.made or job.error)):
        job = job_of(request)
    live = not job.wait(FIRST_SECONDS)
    st.fragment(_progress, run_every=POLL_SECONDS if live else None)(request, job, live)
    params, own = shift_to_params(request), request.base.index == OWN_PICTURE
    keep_address("attack", {"run": request.run_id} if own else params)
    if isinstance(job.made, ShiftRun):
        _show_end(job.made)
    share_link("A link to this run", params)


def _progress(request: ShiftRequest, job: Job[ShiftRun], was_live: bool) -> None:
    """It asks for no other job than that which the page began: that one may have been cancelled."""
    over = job.wait(0)
    if was_live and over:
        st.rerun()
    if not over:
        st.button("Cancel", key="attack.cancel", on_click=job.cancel)
    if job.error:
        st.error(plain(job.error), icon=":material/error:")
    run = job.made or job.seen
    if not isinstance(run, ShiftRun):
        return
    last = len(run.steps) - 1
    number = last
    if over and last > 1:
        number = st.slider("Step", 0, last, last, key=f"attack.step-{request.run_id}")
    with errors_on_page():
        result_view("attack.result", _result(run, number, over))
    if run.steps[number].image.ne(request.base.image).any():
        times = request.config.times
        image = enlarge(magnify(request.base.image, run.steps[number].image, times))
        strong = f", {times} times as strong" if times > 1 else ""
        words = f"What has changed{strong}; grey is no change"
        st.image(image, words, width=PREVIEW_WIDTH, alt=words)


def _result(run: ShiftRun, number: int, over: bool) -> Result:
    base, steps = run.request.base, run.steps
    clean, now = steps[0].probabilities, steps[number].probabilities
    verdict, detail, tone = _ending(run) if over else ("Searching", _so_far(run), "live")
    captions = (_caption("The picture", clean), "Nothing is changed yet")
    if number:
        captions = (captions[0], _caption(count_text(number, "step", "steps"), now))
    bars = _bars(clean, now, base.label)
    return Result(base.image, (), captions, verdict, detail, bars, tone, steps[number].image)


def _caption(what: str, answer: Tensor) -> str:
    return f"{what}: {class_name(int(answer.argmax()))}, {percent(float(answer.max()))}"


def _so_far(run: ShiftRun) -> str:
    return f"Step {len(run.steps) - 1} of {run.request.config.steps}."


def _ending(run: ShiftRun) -> tuple[str, str, Tone]:
    """How it went: a few words, a sentence, and the tone."""
    base, last = run.request.base, run.steps[-1].probabilities
    true, after = class_name(base.label), int(last.argmax())
    if int(run.steps[0].probabilities.argmax()) != base.label:
        detail = f"The model already says {one_of(after)}. Choose another picture or another model."
        return "Nothing to flip", detail, "plain"
    steps = count_text(len(run.steps) - 1, "step", "steps")
    reach = f"no value of a pixel changed by more than {run.request.config.reach} of 255"
    if run.flipped:
        sure = percent(float(last[after]))
        detail = f"After {steps}, {reach}, and the model is {sure} sure of {class_name(after)}."
        return f"Flipped: {true} → {class_name(after)}", detail, "fooled"
    if run.cut:
        return "Stopped early", f"After {steps}.", "plain"
    detail = f"After {steps}, {reach}. The model is still {percent(float(last[after]))} sure."
    return f"Survived: still {true}", detail, "held"


def _bars(clean: Tensor, now: Tensor, label: int) -> list[Bar]:
    """The true class, and the likeliest of the others."""
    others = now.clone()
    others[label] = -1
    return [
        Bar(
            name=class_name(one),
            value=float(now[one]),
            before=float(clean[one]),
            rival=one != label,
        )
        for one in (label, int(others.argmax()))
    ]


def _show_end(run: ShiftRun) -> None:
    """Files of a run to download."""
    base, last = run.request.base, run.steps[-1].image
    files = (
        (SHARED, lambda: _share_picture(run), "Before, after and what changed, side by side"),
        ("PNG", lambda: to_png(last), "The changed image"),
        ("JSON", lambda: json.dumps(_record(run), indent=1), "The run, step by step"),
    )
    how = f"to-{class_name(int(run.steps[-1].probabilities.argmax()))}"
    how = how if run.flipped else "not-fooled"
    config = run.request.config
    name = f"{class_name(base.label)}-{how}-{config.name.lower()}{config.reach}-{base.model}"
    offer_files("attack", name, files)


def _share_picture(run: ShiftRun) -> bytes:
    base, last = run.request.base, run.steps[-1]
    scale, (verdict, detail, _) = scale_to(base.image, SHARE_SIDE), _ending(run)
    times = run.request.config.times
    tiles = (
        (enlarge(base.image, scale), _caption("Before", run.steps[0].probabilities)),
        (enlarge(last.image, scale), _caption("After", last.probabilities)),
        (enlarge(magnify(base.image, last.image, times), scale), f"What changed, × {times}"),
    )
    model = model_title(base.model)
    return contact_sheet(tiles, 3, f"{verdict}. {detail} Model: {model}. Made with APR Lab.")


def _record(run: ShiftRun) -> dict[str, Any]:
    base, config = run.request.base, run.request.config
    asked = (base.model, base.data, base.label, base.index, config)
    return describe_shift(*asked, run.steps, run.seconds)
