"""Certificate attack check: certified images, attacked behind the masking."""

from __future__ import annotations

from dataclasses import dataclass

from apr_core.certification.lattice_masking import Verdict
from apr_core.evaluation.metrics import Rate, rate_of
from apr_core.evaluation.model_summary import Records, find_certificates, is_of
from apr_core.zoo.checkpoints import Card


@dataclass(frozen=True)
class CertificateAttackCheck:
    """One model behind one lattice.

    Attributes:
        attacks: that were run on it end to end, at one pixel.
        turned: of the certified images that were attacked, those that some attack turned: none, or
            the proof or its code is wrong.
        others: the same of the images that are answered rightly without being certified.
        which: indices of the certified images that were turned.
    """

    model: str
    lattice: int
    attacks: tuple[str, ...]
    turned: Rate
    others: Rate
    which: tuple[int, ...]


def check_certificates(card: Card, records: Records) -> list[CertificateAttackCheck]:
    """A trial for each lattice that the model's present weights were both certified and attacked
    behind."""
    attacked = [
        record
        for record in records.evaluations
        if is_of(record, card)
        and record.setting.lattice
        and record.setting.sparse
        and record.level(1) is not None
    ]
    trials = []
    for lattice in sorted({record.setting.lattice for record in attacked}):
        proven = find_certificates(records.certificates, card, lattice)
        if proven is None:
            continue
        runs = [record for record in attacked if record.setting.lattice == lattice]
        broken: dict[int, bool] = {}
        for record in runs:
            for index, fell in record.broken(1).items():
                broken[index] = broken.get(index, False) or fell
        verdicts = {index: verdict for index, verdict in proven.verdicts if index in broken}
        certified = [i for i, verdict in verdicts.items() if verdict == Verdict.CERTIFIED]
        others = [i for i, verdict in verdicts.items() if verdict == Verdict.UNCERTIFIED]
        which = tuple(index for index in certified if broken[index])
        trials.append(
            CertificateAttackCheck(
                model=card.name,
                lattice=lattice,
                attacks=tuple(dict.fromkeys(record.setting.attack for record in runs)),
                turned=rate_of(len(which), len(certified)),
                others=rate_of(sum(broken[index] for index in others), len(others)),
                which=which,
            )
        )
    return trials
