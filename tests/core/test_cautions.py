"""Cautions: what must stand beside every rate on some data, in words and in JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from apr_core.attacks.ladder import Verdict
from apr_core.base.provenance import provenance
from apr_core.cli import agreement, certify, evaluate, main
from apr_core.data.registry import DATASETS
from apr_core.evaluation.attribution.agreement import AgreementRecord, AgreementSetting
from apr_core.evaluation.certificates import CertRecord, CertSetting
from apr_core.evaluation.metrics import rate_of
from apr_core.evaluation.record import Record, Setting, levels_of
from apr_core.report.imagenet import NOTICES, notices
from apr_core.zoo.fronts import fronted_sha256

CAUTIOUS = [name for name in DATASETS if DATASETS.get(name).caution]
ORIGIN = provenance(torch.device("cpu"), "", 1.0)


def evaluated(data: str) -> Record:
    setting = Setting("a model", "", "corners", ("corners",), (1,), 2, "", 0, data=data)
    verdicts = (Verdict(0, 1, 0, ()), Verdict(1, 1, 0, ()))
    return Record(setting, rate_of(0, 2), None, levels_of(setting, verdicts), verdicts, **ORIGIN)


def certified(data: str) -> CertRecord:
    setting = CertSetting("a model", "", 4, 2, "", data=data)
    return CertRecord(setting, rate_of(1, 2), rate_of(1, 2), 16.0, 1.0, (), **ORIGIN)


def agreed(data: str) -> AgreementRecord:
    setting = AgreementSetting("a model", "", 2, "", 0.1, 4, {}, data)
    return AgreementRecord(setting, rate_of(1, 2), (), **ORIGIN)


def test_pictures_that_are_easy_or_of_patients_have_a_caution() -> None:
    assert {"nips2017", "breastmnist", "retinamnist"} <= set(CAUTIOUS)
    assert "easier" in DATASETS.get("nips2017").caution
    assert "no medical device" in DATASETS.get("breastmnist").caution


@pytest.mark.parametrize("data", CAUTIOUS)
def test_every_rate_has_its_caution(data: str) -> None:
    caution = DATASETS.get(data).caution
    assert caution in evaluate.in_words(evaluated(data))
    assert caution in certify.in_words(certified(data))
    assert caution in agreement.in_words(agreed(data))
    assert evaluate.summary(evaluated(data))["cautions"] == [caution]
    assert certify.summary(certified(data))["cautions"] == [caution]
    assert agreement.summary(agreed(data))["cautions"] == [caution]


def test_other_data_have_none() -> None:
    assert evaluate.summary(evaluated("cifar10"))["cautions"] == []
    assert certify.summary(certified("/some/pictures"))["cautions"] == []


def test_the_clean_accuracies_of_models_have_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert said.count(DATASETS.get("breastmnist").caution) == 1
    assert main(["models", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)


@pytest.mark.parametrize("front", ["", "it", "clamp"])
def test_weights_whose_licence_asks_for_a_notice_have_it_under_any_name(front: str) -> None:
    for weights, notice in NOTICES.items():
        given = fronted_sha256(weights, front) if front else weights
        assert notice in list(notices([(given, "nips2017")]))


def test_weights_of_a_similar_name_have_no_notice_of_others() -> None:
    named = replace(certified("cifar10").setting, model="torchvision:resnet50:my-permute.pth")
    record = replace(certified("cifar10"), setting=named)
    assert certify.summary(record)["cautions"] == []
