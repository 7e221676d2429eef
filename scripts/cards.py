"""Write into the shipped models' cards what the records say of their present weights.

    python -m scripts.cards

A test compares.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from apr_core.evaluation.certificates import CertSetting
from apr_core.evaluation.model_summary import Records, is_of
from apr_core.zoo.checkpoints import Card, is_own, list_cards, write_card


def with_records(card: Card, records: Records) -> Card:
    """The card with every rate that was measured on its weights."""
    return replace(
        card,
        attack=[
            {
                "attack": record.setting.attack,
                "lattice": record.setting.lattice,
                "pixels": level.pixels,
                "images": record.setting.images,
                "success_rate": asdict(level.asr),
                "robust_accuracy": asdict(level.robust),
                "command": record.command,
            }
            for record in records.evaluations
            if is_of(record, card)
            for level in record.levels
        ],
        certificates=[
            {
                **_masks(record.setting),
                "images": record.setting.images,
                "clean": asdict(record.clean),
                "certified": asdict(record.certified),
                "command": record.command,
            }
            for record in records.certificates
            if is_of(record, card)
        ],
    )


def _masks(setting: CertSetting) -> dict[str, int]:
    """The lattice, or the side of the patches that are covered and the masks along each axis."""
    if setting.patch:
        return {"patch": setting.patch, "masks": setting.masks}
    return {"spacing": setting.spacing}


def stale() -> list[Card]:
    """The shipped cards as they should be, where they are not so."""
    records = Records.read()
    shipped = [card for card in list_cards() if not is_own(card.name)]
    return [
        fresh
        for card in shipped
        for fresh in [with_records(card, records)]
        if asdict(fresh) != asdict(card)
    ]


if __name__ == "__main__":
    for fresh in stale():
        write_card(fresh)
        print(f"{fresh.name} has the rates of today's records.")
