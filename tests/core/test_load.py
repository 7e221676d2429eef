"""Figures of a load test, and its command."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from apr_core.base.types import InputError
from apr_core.cli import main
from benchmarks.cli import bench, load
from benchmarks.load import server
from benchmarks.load.case import LoadConfig, hunts
from benchmarks.load.figures import (
    Diary,
    Seconds,
    Seen,
    Waits,
    every,
    fairness,
    growth,
    rate,
    throughput,
)
from benchmarks.load.record import Alone, ClassLink, Crowd, LoadResult, Memory, judge
from benchmarks.load.server import App
from tests.conftest import figures

RUNS = [
    Seen(0, 10.0, "a", [(11.0, 8), (13.0, 24)], ended=13.0),
    Seen(1, 10.5, "b", [(11.5, 16)]),
    Seen(0, 14.0),
]
DIARY = Diary(RUNS, clicks=[(0.3, 0.1)])
WAITS = Waits.of([DIARY])


def test_waits_are_counted_from_the_request() -> None:
    assert WAITS.first_frame == Seconds(2, 1.0, 1.0, 1.0)
    assert WAITS.frame_interval == Seconds(1, 2.0, 2.0, 2.0)
    assert WAITS.end == Seconds(1, 3.0, 3.0, 3.0)
    assert WAITS.click == Seconds(1, 0.3, 0.3, 0.3)
    assert WAITS.click_drawn == Seconds(1, 0.1, 0.1, 0.1)
    assert Waits.of([Diary(RUNS[2:])]) == Waits(None, None, None, None, None)
    assert DIARY.ended == RUNS[:1]


def test_the_99th_percentile_lies_just_below_the_longest() -> None:
    taken = Seconds.of([float(value) for value in range(101)])
    assert taken == Seconds(101, 50.0, 99.0, 100.0)


def test_throughput_begins_at_the_first_frame_of_all() -> None:
    assert throughput(RUNS) == (16 + 16, 2.0)
    assert rate(RUNS) == 16.0
    assert rate(RUNS[2:]) is None  # no frame was seen


def test_fairness_is_of_each_visitors_mean_run() -> None:
    taken = {0: [1.0, 3.0], 1: [4.0], 2: [6.0]}
    runs = [
        Seen(visitor, 5.0, ended=5.0 + seconds)
        for visitor, durations in taken.items()
        for seconds in durations
    ]
    assert fairness(runs) == (1.5, 3.0)


def test_growth_is_that_of_what_lies_between() -> None:
    samples = [(0.0, 900.0), *((float(at), 100 + at / 30) for at in range(60, 180, 10))]
    assert growth(samples, 60, 180) == pytest.approx(2.0)
    assert growth(samples, 200, 300) == 0.0


def test_what_rises_and_falls_back_does_not_grow() -> None:
    wave = [(float(at), 500.0 + at % 60) for at in range(0, 240, 5)]
    assert growth(wave, 0, 240) == 0.0
    assert growth([(at, size + at / 60) for at, size in wave], 0, 240) == pytest.approx(1.0)


def test_the_series_has_one_sample_of_each_half_minute() -> None:
    samples = [(10.0, 1.04), (25.0, 2.0), (41.0, 3.0), (69.0, 4.0), (130.0, 5.0)]
    assert every(samples, 30) == (1.0, 3.0, 5.0)


def test_no_two_runs_of_a_measurement_are_the_same() -> None:
    config = LoadConfig(sessions=3, population=8, generations=2)
    visits = [visit for phase in (1, 2) for visit in hunts(config, [4, 5, 6], phase, 20.0)]
    queries = [parse_qs(visit.query) for visit in visits]
    assert len({query["seed"][0] for query in queries}) == 6
    assert [query["index"] for query in queries] == [["4"], ["5"], ["6"]] * 2
    assert all(query["stop"] == ["budget"] for query in queries)
    assert [visit.delay for visit in visits[:3]] == pytest.approx([0, 0.1, 0.2])
    assert config.queries == 8 * 3


@pytest.mark.parametrize(
    "wrong", [{"sessions": 0}, {"sessions": 201}, {"generations": 0}, {"minutes": -1.0}]
)
def test_config_refuses_what_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        LoadConfig(**wrong)


CROWD = Crowd(30, 30, 3000, 1.0, 3000.0, 0.97, WAITS, 1.2, 1.4, 2.0, 0.5)
LINK = ClassLink(30, 1, 1, 400, WAITS)
MEMORY = Memory(700.0, 900.0, 850.0, None)


def unmet(*crowds: Crowd, link: ClassLink = LINK, memory: Memory = MEMORY) -> list[str]:
    return [aim.what for aim in judge(crowds, None, link, memory) if not aim.met]


def test_photographs_may_take_more_memory_and_have_no_class_link() -> None:
    much = replace(MEMORY, peak=5_000.0)
    assert unmet(CROWD, memory=much) == ["memory, MB, at most"]
    aims = judge((CROWD,), None, None, much, large=True)
    assert all(aim.met for aim in aims)
    assert not [aim for aim in aims if "class link" in aim.what]


def test_each_aim_is_held_against_what_was_measured() -> None:
    assert unmet(CROWD) == []
    assert unmet(replace(CROWD, over_alone=0.94)) == ["throughput, over a run's alone, at least"]
    assert unmet(replace(CROWD, over_alone=None)) == []
    assert "median one" in unmet(replace(CROWD, slowest_over_median=1.6))[0]
    assert "class link" in unmet(CROWD, link=replace(LINK, runs_seen=2))[0]
    assert "class link" in unmet(CROWD, link=replace(LINK, runs_noted=2))[0]
    assert "memory, MB" in unmet(CROWD, memory=replace(MEMORY, peak=3073.0))[0]
    assert "growth" in unmet(CROWD, memory=replace(MEMORY, growth=6.0))[0]
    slow = replace(CROWD, waits=replace(WAITS, click=Seconds(9, 0.4, 1.1, 1.2)))
    assert len(unmet(CROWD, slow)) == 2


def result(config: LoadConfig) -> LoadResult:
    """A made-up record."""
    aims = judge((CROWD,), CROWD, LINK, MEMORY)
    return LoadResult(
        config.model, "cpu", asdict(config),
        Alone(3100.0, (3000.0, 3200.0), WAITS), (CROWD,), LINK, CROWD, MEMORY, aims, ("Oh.",),
        hardware="a processor", versions={"torch": "2"}, commit="abc", date="today",
    )  # fmt: skip


def test_command_line_prints_and_writes_one_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[LoadConfig] = []

    def quick(config: LoadConfig, report: Any) -> LoadResult:
        asked.append(config)
        report(1, 2, "a run alone")
        return result(config)

    monkeypatch.setattr(bench, "measure_load", quick)
    out = tmp_path / "load.json"
    arguments = ["bench", "--load", "30", "--population", "40", "--minutes", "20"]
    assert main([*arguments, "--json", "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.read_text())
    assert printed["rounds"][0]["waits"]["end"]["median"] == 3.0
    assert asked[0] == LoadConfig(population=40, minutes=20.0)
    assert main([*arguments, "--generations", "7", "--rounds", "2"]) == 0
    assert (asked[1].generations, asked[1].rounds) == (7, 2)
    words = capsys.readouterr().out
    lines = [figures(line) for line in words.splitlines()]
    for told in (["30", "3,000", "0.970"], ["30", "1", "1"]):
        assert any(line[: len(told)] == told for line in lines), told
    assert "20 minutes" in words
    assert "Oh." in words
    assert load.in_words(replace(result(asked[0]), long=None)) != words


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--load", "0"], "sessions is 0"),
        (["--load", "3", "--overhead"], "give one of them"),
        (["--load", "3", "--peers"], "--peers goes without --load only; leave --peers out"),
        (["--load", "3", "--device", "cpu"], "--device goes without --load only"),
        (["--load", "3", "--steps", "2"], "--steps goes with --overhead only"),
        (["--minutes", "20"], "--minutes goes with --load only; leave --minutes out"),
        (["--overhead", "--generations", "2"], "--generations goes without --overhead only"),
        (["--load", "2", "--model", "cifar10-resnet20-none"], "There is no model"),
    ],
)
def test_command_line_refuses_bad_input(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main(["bench", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_an_app_that_does_not_start_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "app.py").touch()
    (tmp_path / "streamlit.py").write_text("raise SystemExit('It is not installed.')")
    monkeypatch.setattr(server, "ROOT", tmp_path)
    with pytest.raises(InputError, match=r"did not start \(It is not installed.\)"), App():
        pass
    (tmp_path / "app.py").unlink()
    with pytest.raises(InputError, match="in a checkout"):
        App()
