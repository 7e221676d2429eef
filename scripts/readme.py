"""Write the README's measured numbers from the records in the repository.

    python -m scripts.readme

What stands between the two markers is made here and nowhere else; a test compares.
"""

from __future__ import annotations

import json
from pathlib import Path

from apr_core.evaluation.cells import Measurement, Records, is_of
from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.record import Record, results_folder
from apr_core.report.overheads import signed
from apr_core.report.tables import PLUS, DefenceTable, make_tables, summaries
from apr_core.report.targets import is_aim
from apr_core.zoo.checkpoints import Card, caution_of, is_own, list_cards

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BENCH, OVERHEADS = "bench-cpu.json", "overhead-*.json"
MARK = "†"
"""Beside a model that a caution stands under the tables about."""
BEGIN, END = "<!-- numbers -->", "<!-- end of numbers -->"


def numbers() -> str:
    """The block of tables."""
    shipped = [card for card in list_cards() if not is_own(card.name)]
    folder, records = results_folder(), Records.read()
    marked = frozenset(card.name for card in shipped if caution_of(card))
    parts = ["", _models(shipped, marked), *_cautions(shipped)]
    parts += [_bench(json.loads((folder / BENCH).read_text()))]
    parts += [_overhead(json.loads(path.read_text())) for path in sorted(folder.glob(OVERHEADS))]
    evaluations = [r for r in records.evaluations if _is_of_any(r, shipped)]
    certificates = [r for r in records.certificates if _is_of_any(r, shipped)]
    parts += [_evaluations(evaluations, marked), _certificates(certificates, marked)]
    parts += _claims(shipped, records, marked)
    parts += [
        words(json.loads((folder / name).read_text()))
        for name, words in OF_THE_APP.items()
        if (folder / name).exists()
    ]
    return "\n\n".join([*parts, ""])


def _cautions(cards: list[Card]) -> list[str]:
    """A sentence for each thing that is wrong with the weights of marked models."""
    return [
        f"{MARK} {caution.capitalize()}."
        for caution in dict.fromkeys(map(caution_of, cards))
        if caution
    ]


def _called(model: str, marked: frozenset[str]) -> str:
    """A model's name, marked where there is a caution about it."""
    return f"`{model}` {MARK}" if model in marked else f"`{model}`"


def _is_of_any(record: Measurement, cards: list[Card]) -> bool:
    """Whether a record is of a model that is shipped, with the weights that it has today."""
    return any(is_of(record, card) for card in cards)


def _models(cards: list[Card], marked: frozenset[str]) -> str:
    rows = [
        "| model | clean accuracy, 10,000 test images | epochs | seed | trained on |",
        "|---|---|---|---|---|",
    ]
    rows += [
        f"| {_called(card.name, marked)} | {card.clean_accuracy:.2%} | {_trained(card)} |"
        for card in cards
    ]
    return "\n".join(rows)


def _trained(card: Card) -> str:
    """For how long, with which seed, and where."""
    if card.base:
        return f"none | {card.seed} | not at all: the weights are those of `{card.base}`"
    return f"{card.epochs} | {card.seed} | {card.hardware}, {card.wall_time / 60:.0f} min"


def _bench(record: dict) -> str:  # type: ignore[type-arg]
    ours = record["queries_per_second"]
    rows = [
        f"On {record['hardware']}, `{record['model']}`, {record['rounds']} alternating rounds "
        f"(medians; in brackets least and most), torch {record['versions']['torch']}:",
        "",
        "| | per second | ours over it |",
        "|---|---|---|",
        f"| this attack, queries | {ours:,.0f} | |",
        f"| the folded model's own forward, images | {record['forward_images_per_second']:,.0f} | "
        f"{record['ratio']:.2f} |",
    ]
    sweep = record.get("sweep_over_forward")
    if sweep:
        low, high = sweep["spread"]
        plain = record["plain_forward_images_per_second"] / sweep["queries_per_second"]
        rows.append(
            f"| the corner sweep of one image, queries | {sweep['queries_per_second']:,.0f} | "
            f"{1 / sweep['ratio']:.2f} |"
        )
        rows.append(
            f"| the same: its time over that of as many forwards | folded {sweep['ratio']:.2f} "
            f"({low:.2f} to {high:.2f}), as loaded {plain:.2f} | |"
        )
    rows += [
        f"| {name} {peer['version']}, queries | {peer['queries_per_second']:,.0f} | "
        f"{peer['ratio_of_ours']:.2f} ({' to '.join(f'{x:.2f}' for x in peer['ratio_spread'])}) |"
        for name, peer in record.get("peers", {}).items()
    ]
    return "\n".join(rows)


def _overhead(record: dict) -> str:  # type: ignore[type-arg]
    rows = [
        f"What APR and APR+ cost, {record['architecture']} on {record['hardware']}, batch "
        f"{record['config']['batch_size']}, {record['config']['rounds']} alternating rounds "
        "(medians of the rounds' ratios; in brackets 95 % intervals):",
        "",
        "| | over the undefended model |",
        "|---|---|",
    ]
    costs = [(f"a training step, `{cost['defence']}`", cost) for cost in record["training"]]
    costs += [
        (f"inference as {cost['form']}, `{cost['defence']}`", cost) for cost in record["inference"]
    ]
    rows += [
        f"| {what} | {signed(cost['overhead'], cost['interval'])} |"
        for what, cost in costs
        if cost["defence"] != "vanilla"
    ]
    return "\n".join(rows)


def _evaluations(records: list[Record], marked: frozenset[str]) -> str:
    rows = [
        "| model | lattice | attack | changed | success rate | 95 % interval | of images |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {_called(record.setting.model, marked)} | {record.setting.lattice or ''} | "
        f"{record.setting.attack} | "
        f"{record.setting.reach(level.pixels)} | {_words(level.asr)} |"
        for record in records
        for level in record.levels
    ]
    return "\n".join(rows)


def _certificates(records: list[CertRecord], marked: frozenset[str]) -> str:
    rows = [
        "| model | lattice | right | certified | 95 % interval | of images |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {_called(record.setting.model, marked)} | {record.setting.spacing} | "
        f"{record.clean.rate:.1%} | {_words(record.certified)} |"
        for record in records
    ]
    return "\n".join(rows)


def _claims(cards: list[Card], records: Records, marked: frozenset[str]) -> list[str]:
    """What APR+ was to reach, and what its parts gain, as tables 1 and 3 settle it."""
    tables = [table for table in make_tables(records) if isinstance(table, DefenceTable)]
    plus = {card.architecture: card.name for card in cards if card.defence == PLUS}
    rows = ["| model | asked of it | | found |", "|---|---|---|---|"]
    rows += [
        f"| {_called(plus[claim.architecture], marked)} | {claim.text} | {claim.holds} | "
        f"{claim.found} |"
        for claim in tables[0].claims
        if is_aim(claim) and claim.architecture in plus
    ]
    aims = "\n".join(["What APR+ was to reach, and whether it did:", "", *rows])
    return [aims, *summaries(tables[-1])]


def _words(rate: Rate) -> str:
    if rate.rate is None:
        return "none | | 0"
    return f"{rate.rate:.1%} | {rate.low:.1%} to {rate.high:.1%} | {rate.total:,}"


def _load(record: dict) -> str:  # type: ignore[type-arg]
    config = record["config"]
    stay = f", and for {config['minutes']:g} minutes" if config["minutes"] else ""
    rows = [
        f"The app under {config['sessions']} sessions{stay}, `{record['model']}` on "
        f"{record['hardware']} (`bench --load {config['sessions']}`):",
        "",
        "| | aim | measured |",
        "|---|---|---|",
    ]
    rows += [
        f"| {aim['what']} | {aim['wanted']:g} | {aim['measured']:.4g}"
        f"{'' if aim['met'] else ', missed'} |"
        for aim in record["aims"]
    ]
    return "\n".join(rows)


def _race(record: dict) -> str:  # type: ignore[type-arg]
    aims, races = record["aims"], record["races"]
    rows = [
        f"A race of {len(record['models'])} ResNet-20 models in a browser on the same machine, "
        f"{record['hardware']}: {record['within_first_frame']} of {len(races)} begin within "
        f"{aims['first_frame']:g} s, {record['within_end']} end within {aims['end']:g} s.",
        "",
        "| gallery's picture | models that survive all | first frame, s | end, s |",
        "|---|---|---|---|",
    ]
    rows += [
        f"| {race['title']} | {race['statuses'].count('survived')} | {race['first_frame']} | "
        f"{race['end']} |"
        for race in races
    ]
    return "\n".join(rows)


OF_THE_APP = {"load.json": _load, "race.json": _race}


def rewritten(text: str) -> str:
    """The README with the block made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{numbers()}{END}{after}"


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text()))
    print(f"{README.name} has the numbers of today's records.")
