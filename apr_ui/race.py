"""A race on the page: several models, one attack; watched live, and compared at the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.scoring import as_input
from apr_core.attacks.transfer import Cell, transfer_matrix
from apr_core.data.cifar10 import CLASSES
from apr_core.defences.lattice_masking import Certificate, Verdict, certify
from apr_core.recording import record
from apr_core.runs import AttackRequest, Ticket
from apr_core.types import InputError
from apr_core.zoo import Card
from apr_ui.certificate import wrapper
from apr_ui.charts import confidence_bars, describe_bars
from apr_ui.controls import KEEP, Choice, make_request
from apr_ui.downloads import offer_files
from apr_ui.player import player
from apr_ui.player.data import player_data
from apr_ui.race_link import MOST_MODELS
from apr_ui.race_report import (
    Runner,
    all_in_words,
    as_table,
    contact_sheet,
    news,
    png_of,
    race_curves,
    report_page,
    seal_words,
    shown_names,
    status_words,
    transfer_chart,
    transfer_table,
    transfer_words,
)
from apr_ui.resources import cards, model_label, probabilities, scorer, service

POLL_SECONDS = 0.25
FIRST_FRAME_SECONDS = 0.4
"""How long the page waits for the first model's first frame, rather than for the next poll."""
OVERLAP_POLLS = 4
"""A browser may skip a poll, so each sends again what the last four sent."""
NARROWEST = 160
"""Pixels of a picture: two stand side by side on a phone of 390."""
FIRST_DEFENCES = ("vanilla", "at", "it", "dd", "apr", "apr-plus")
FIRST_ARCHITECTURE = "resnet20"
_RACE, _PICTURE, _REPLAY = "compare.race", "compare.race-picture", "compare.replay"
_SENT, _COMPARED, _SEALS = "compare.sent", "compare.compared", "compare.seals"
_BARE = {"displayModeBar": False}


@dataclass(frozen=True)
class Race:
    """What was asked of each model, and the session's claims on the runs."""

    requests: tuple[AttackRequest, ...]
    tickets: tuple[Ticket, ...]

    @property
    def key(self) -> str:
        """Equal for equal races."""
        return "-".join(ticket.run_id for ticket in self.tickets)


def choose_models() -> tuple[str, ...]:
    """The models to race; at first one of each defence."""
    known, damaged = cards()
    for sentence in damaged:
        st.warning(sentence, icon=":material/broken_image:")
    kept = st.session_state.setdefault("compare.models", _one_of_each(known))
    if not set(kept) <= set(known):  # written only then, or a quick second choice would be undone
        st.session_state["compare.models"] = [name for name in kept if name in known]
    return tuple(
        st.multiselect(
            "Models that race",
            list(known),
            format_func=model_label,
            max_selections=MOST_MODELS,
            key="compare.models",
            wrap=True,
            **KEEP,
            help=f"Up to {MOST_MODELS}. “Clean” is the share of the 10,000 CIFAR-10 test images "
            "that a model gets right.",
        )
    )


def _one_of_each(known: dict[str, Card]) -> list[str]:
    wanted = [
        card.name
        for defence in FIRST_DEFENCES
        for card in known.values()
        if card.name == f"cifar10-{FIRST_ARCHITECTURE}-{defence}"
    ]
    return wanted or list(known)[:MOST_MODELS]


def requests_for(
    choice: Choice, models: Sequence[str], config: OnePixelConfig
) -> tuple[AttackRequest, ...]:
    """One request a model; a picture without a class has the one that the first model gives it."""
    first = make_request(choice, models[0], config)
    return tuple(replace(first, model=name) for name in models)


def start_race(requests: Sequence[AttackRequest], replay: bool = False) -> Race:
    """Submit every request, or join its run, and remember the race in place of the one before.

    Args:
        replay: whether a race that had been run already is played from its beginning.

    Raises:
        InputError: too many runs wait already; then none of these is left waiting.
    """
    tickets: list[Ticket] = []
    try:
        for request in requests:
            tickets.append(service().submit(request))
    except InputError:
        _give_up(tickets)
        raise
    race, before = Race(tuple(requests), tuple(tickets)), st.session_state.get(_RACE)
    if before:
        cancel_race(before)  # what both races share goes on: the new one has claimed it
    st.session_state[_RACE] = race
    st.session_state.pop(_PICTURE, None)
    st.session_state[_REPLAY] = replay
    return race


def current_race(picture: str) -> Race | None:
    """The session's race, while the picture that it was started on is the chosen one.

    Args:
        picture: key of the chosen picture, "" while there is none.
    """
    race: Race | None = st.session_state.get(_RACE)
    started_on = st.session_state.setdefault(_PICTURE, picture)
    return race if picture in ("", started_on) else None


def any_race() -> bool:
    """Whether the session has one, on this picture or another."""
    return _RACE in st.session_state


def requests_of(run_ids: Sequence[str]) -> tuple[AttackRequest, ...]:
    """What was asked of the runs that an address names.

    Raises:
        InputError: one of them is no longer in memory.
    """
    found = []
    for run_id in run_ids:
        view = service().view(run_id)
        if view is None or not isinstance(view.request, AttackRequest):
            raise InputError(
                f"The run {run_id[:16]} is no longer in memory, and pictures that people bring are "
                "kept nowhere else; choose a picture and start again."
            )
        found.append(view.request)
    return tuple(found)


def cancel_race(race: Race) -> None:
    """Give up every claim."""
    _give_up(race.tickets)


def _give_up(tickets: Sequence[Ticket]) -> None:
    for ticket in tickets:
        service().cancel(ticket.run_id, ticket.token)


def watch_race(race: Race) -> list[Runner]:
    """The small pictures, redrawn while any run is live; none if the race is not in memory."""
    first = race.tickets[0]
    service().view(first.run_id, first.token, wait=FIRST_FRAME_SECONDS)
    runners = _runners(race)
    live = any(runner.view.live for runner in runners)
    if runners:
        st.fragment(_poll, run_every=POLL_SECONDS if live else None)(race, live)
    else:
        st.info("The race is no longer in memory; press **Race** to run it again.")
    return runners


def _runners(race: Race) -> list[Runner]:
    views = [service().view(ticket.run_id, ticket.token) for ticket in race.tickets]
    names = shown_names([request.model for request in race.requests], cards()[0])
    if any(view is None for view in views):
        return []
    return [Runner(name, view) for name, view in zip(names, views, strict=True) if view]


def _poll(race: Race, was_live: bool) -> None:
    runners = _runners(race)
    live = [runner for runner in runners if runner.view.live]
    progress = st.empty()  # keeps its place, or the pictures below would be made anew at the end
    if live:
        progress.caption(f"{len(live)} of {len(runners)} still searching{_time_left(live)}.")
    replay = bool(st.session_state.pop(_REPLAY, False)) and not was_live
    grid = st.grid(max(2, len(runners)), min_column_width=NARROWEST)
    for number, runner in enumerate(runners):
        with grid.cell():
            player(_frames(runner, replay), key=f"compare.player-{number}")
            st.markdown(f"**{runner.name}**  \n{status_words(runner.view)}")
    if was_live and not live:
        st.rerun()


def _time_left(live: Sequence[Runner]) -> str:
    known = [runner.view.seconds_left for runner in live if runner.view.seconds_left]
    if not known:
        return ""
    seconds = max(known)
    words = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f", at most about {words} left"


def _frames(runner: Runner, replay: bool) -> dict[str, object]:
    """What one small player is sent: the newest frames, and at the least the last one."""
    view = runner.view
    sent: dict[str, deque[int]] = st.session_state.setdefault(_SENT, {})
    counts = sent.setdefault(view.request.run_id, deque(maxlen=OVERLAP_POLLS))
    newest = max(0, len(view.snapshots) - 1)
    first = 0 if replay else min(counts[0] if counts else newest, newest)
    counts.append(len(view.snapshots))
    data = player_data(record(view), view, first)
    return {**data, "compact": True, "title": f"{runner.name}, the search", "autoplay": replay}


def show_end(race: Race, runners: Sequence[Runner], link: str) -> None:
    """How the race ended: words, a table, figures, and files to take away."""
    finished = [runner for runner in runners if runner.view.outcome]
    matrix, before, after = _compared(race, finished)
    st.subheader("Who fell, and when", anchor=False)
    table = as_table(runners)
    share = st.column_config.NumberColumn(format="percent")
    columns = {name: share for name in table if name.startswith(("Sure", "True"))}
    columns["Queries"] = st.column_config.NumberColumn(format="localized")
    columns["Model"] = st.column_config.TextColumn(pinned=True)
    st.dataframe(
        table,
        hide_index=True,
        key="compare.table",
        alt=news(runners),
        column_config=columns,
        placeholder="–",
    )
    _downloads(runners, matrix, link)
    if not finished:
        return
    curves, transfer = st.columns(2, gap="medium")
    with curves:
        _curves(runners)
    with transfer:
        _transfer(finished, matrix)
    st.dataframe(
        transfer_table(finished, matrix),
        hide_index=True,
        key="compare.answers",
        column_config={"Edit found on": st.column_config.TextColumn(width=170, pinned=True)},
        alt="What each model reads in each edited picture.",
    )
    _confidence(finished, before, after)


def _compared(
    race: Race, finished: Sequence[Runner]
) -> tuple[list[list[Cell]], list[Tensor], list[Tensor]]:
    """The transfer matrix, and each model's probabilities before and after its own edit."""
    image, label = race.requests[0].image, race.requests[0].label
    ends = [(r.view.request.model, r.view.outcome) for r in finished if r.view.outcome]
    kept: tuple[object, tuple[list[list[Cell]], list[Tensor], list[Tensor]]] | None
    kept = st.session_state.get(_COMPARED)
    if kept is None or kept[0] != (race.key, ends):
        scorers = [scorer(model) for model, _ in ends]
        matrix = transfer_matrix(scorers, image, label, [found.edits for _, found in ends])
        both = [probabilities(model, [image, found.apply(image)]) for model, found in ends]
        sure = [answer[0] for answer in both], [answer[1] for answer in both]
        kept = st.session_state[_COMPARED] = ((race.key, ends), (matrix, *sure))
    return kept[1]


def _curves(runners: Sequence[Runner]) -> None:
    st.subheader("How it went", anchor=False)
    st.markdown("How sure the model still was of the true class, for the best edit so far.")
    st.plotly_chart(
        race_curves(runners),
        key="compare.curves",
        config=_BARE,
        alt=f"The true class's probability against queries. {all_in_words(runners)}",
    )


def _transfer(finished: Sequence[Runner], matrix: list[list[Cell]]) -> None:
    st.subheader("Do the edits carry over?", anchor=False)
    sentences = transfer_words(finished, matrix) or ["No attack broke its model."]
    st.markdown("\n".join(f"- {sentence}" for sentence in sentences))
    st.plotly_chart(
        transfer_chart(finished, matrix),
        key="compare.transfer",
        config=_BARE,
        alt=" ".join(sentences).replace("**", ""),
    )
    st.caption(
        "A row is the edit found on one model, shown to all; on the diagonal, to its own. ✗: it "
        "breaks the model. In brackets: misread even without an edit. Below: what each reads."
    )


def _confidence(
    finished: Sequence[Runner], before: Sequence[Tensor], after: Sequence[Tensor]
) -> None:
    st.subheader("Before and after, on each model's own edit", anchor=False)
    grid = st.grid("auto", min_column_width=300)
    for number, runner in enumerate(finished):
        with grid.cell():
            st.markdown(f"**{runner.name}**")
            st.plotly_chart(
                confidence_bars(CLASSES, before[number], after[number], most=3),
                key=f"compare.bars-{number}",
                config=_BARE,
                alt=describe_bars(CLASSES, before[number], after[number]),
            )


def _downloads(runners: Sequence[Runner], matrix: list[list[Cell]], link: str) -> None:
    name = f"race-{runners[0].view.request.run_id}"
    files = (
        ("PNG", lambda: png_of(contact_sheet(runners)), "image/png", "Every edited picture"),
        ("CSV", lambda: as_table(runners).to_csv(index=False), "text/csv", "The table"),
        ("HTML", lambda: report_page(runners, matrix, link), "text/html", "All of it as one page"),
    )
    offer_files("compare", name, files)


def offer_seals(race: Race, runners: Sequence[Runner]) -> None:
    """A certificate for each model, for those who ask."""
    finished = [runner for runner in runners if runner.view.outcome]
    if not finished:
        return
    st.subheader("Could any pixel do it? Ask for a proof", anchor=False)
    st.markdown(
        "Behind **lattice masking**, each model is asked with one part in sixteen of the picture "
        "masked, and with two. If all 136 answers agree, no single pixel, of any colour, can "
        "change the answer that they give together. The promise is the masked model's: the bare "
        "one, which raced above, may fall all the same."
    )
    if st.button("Certify for every model", key="compare.certify", icon=":material/verified:"):
        st.session_state[_SEALS] = (race.key, _certified(race, finished))
    asked, found = st.session_state.get(_SEALS, ("", {}))
    if asked == race.key:
        grid = st.grid("auto", min_column_width=300)
        for name, certificate in found.items():
            sealed = certificate.verdict is Verdict.CERTIFIED
            tell = grid.success if sealed else grid.warning
            icon = ":material/verified:" if sealed else ":material/gpp_maybe:"
            tell(f"{name}  \n{seal_words(certificate)}", icon=icon)


def _certified(race: Race, finished: Sequence[Runner]) -> dict[str, Certificate]:
    """What is proven for each model, by the name that it has in the race."""
    image, label = race.requests[0].image[None], race.requests[0].label
    found, bar = {}, st.empty()
    for done, runner in enumerate(finished):
        bar.progress(done / len(finished), f"Asking {runner.name}")
        model = runner.view.request.model
        device = scorer(model).device
        labels = torch.tensor([label], device=device)
        (found[runner.name],) = certify(wrapper(model), as_input(image.to(device)), labels)
    bar.empty()
    return found
