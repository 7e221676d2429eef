"""The pipeline: a model, the layers around it, and their decision to answer or to ask a person.

All layers together are one function of a picture, which an attack can go by: see
`apr_core.safety.attack`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from apr_core.attacks.oracle import CONFIRMING, ModelOracle
from apr_core.certification.lattice_masking import (
    LatticeMasking,
    are_sure,
    behind_lattice,
    certify,
)
from apr_core.models import Classifier
from apr_core.models.inputs import as_input, as_uint8
from apr_core.safety.checks import SCORES, Diversity, look_again
from apr_core.safety.config import PipelineConfig
from apr_core.safety.decision import Decision, Sight, decided, excess_of
from apr_core.safety.redundancy import agreement, check_classes_alike
from apr_core.zoo.target import TargetModel, dataset_of, load_model, load_target


class Pipeline:
    """A model and the layers around it.

    Args:
        target: the model, and the data that it is of.
        others: the ensemble's other models, by the names in the config.
    """

    def __init__(
        self,
        config: PipelineConfig,
        target: TargetModel,
        others: Mapping[str, nn.Module] | None = None,
    ) -> None:
        self.config, self.target, self.data = config, target, target.data
        self.oracle = _oracle(target.model)
        self.device = self.oracle.device
        self.others = {name: _oracle(model) for name, model in (others or {}).items()}

    @classmethod
    def load(cls, config: PipelineConfig, device: torch.device) -> Pipeline:
        """The pipeline of a config, its models loaded.

        Raises:
            InputError: there is no such model, or the ensemble's have other classes.
        """
        names = config.ensemble.models if config.ensemble else ()
        if names:
            check_classes_alike({name: dataset_of(name) for name in (config.model, *names)})
        target, _ = load_target(config.model, device, data=config.data)
        return cls(config, target, {name: load_model(name, device) for name in names})

    def under(self, config: PipelineConfig) -> Pipeline:
        """The same models with other thresholds or another temperature."""
        other = copy.copy(self)
        other.config = config
        return other

    @torch.no_grad()
    def see(self, images: object, lazy: bool = False, many: bool = False) -> Sight:
        """Every layer's scores of pictures (B, C, H, W), uint8 or float in [0, 1].

        Args:
            lazy: leave the certificate out, its excess 0, where a layer before it withholds.
            many: average random views over other draws, `CONFIRMING` times as many: an attack that
                chose among many candidates was lucky on the draws that it saw.

        Raises:
            InputError: no such pictures, or a model fails on them.
        """
        config, pictures = self.config, as_uint8(images).to(self.device)
        logits = self.oracle.query_images(pictures)
        confidence = (logits / (config.temperature or 1.0)).softmax(1).amax(1)
        scores: dict[str, Tensor] = {}
        diversity = self._look_again(pictures, logits, many)
        if config.checks and diversity:
            scores["checks"] = SCORES[config.checks.score](diversity)
        if config.confidence:
            scores["confidence"] = confidence
        votes = {name: one.query_images(pictures).argmax(1) for name, one in self.others.items()}
        if config.ensemble:
            scores["ensemble"] = agreement(torch.stack([logits.argmax(1), *votes.values()]))
        excess = {layer: excess_of(config, layer, score) for layer, score in scores.items()}
        if config.certificate:
            scores["certificate"] = torch.ones_like(confidence)
            passing = torch.ones_like(confidence, dtype=torch.bool)
            if lazy and excess:
                passing = torch.stack(list(excess.values())).amax(0) <= 0
            shares = self._agreeing(pictures[passing], logits.argmax(1)[passing])
            scores["certificate"][passing] = shares
            excess["certificate"] = excess_of(config, "certificate", scores["certificate"])
        return Sight(logits, confidence, scores, excess, votes, diversity)

    def decide(self, images: object) -> list[Decision]:
        """A label or "ask a person" for each picture, with the reason; see `see`."""
        config, seen = self.config, self.see(images)
        return [decided(config, seen, row, self.data) for row in range(len(seen.logits))]

    def _look_again(self, pictures: Tensor, logits: Tensor, many: bool) -> Diversity | None:
        checks = self.config.checks
        if checks is None:
            return None
        most = checks.draws
        draws = range(most, most * (1 + CONFIRMING)) if many else range(most)
        temperature = self.config.temperature or 1.0
        model = self.oracle.query_images
        return look_again(model, pictures, logits, checks.views, temperature, draws)

    @cached_property
    def _masked(self) -> LatticeMasking:
        assert self.config.certificate is not None
        return behind_lattice(self.target.model, self.config.certificate.spacing, self.data)

    @cached_property
    def _pairs(self) -> Tensor:
        """Every two masks, once the model was found to be one that a certificate can be of."""
        height, width = self.data.size
        grey = torch.full((1, self.data.channels, height, width), 0.5, device=self.device)
        certify(self._masked, grey, torch.zeros(1, dtype=torch.int64))
        return torch.tensor(self._masked.pairs, device=self.device)

    def _agreeing(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """Share of masked predictions that are the labels (B,); 1 is a certificate, (B,).

        Where one mask already leaves a doubt, of the predictions with one mask.
        """
        shares = torch.zeros(len(pictures), device=self.device)
        if not len(pictures):
            return shares
        images, pairs = as_input(pictures), self._pairs
        sure = are_sure(self._masked.one_mask_logits(images), labels)
        for row in range(len(images)):
            found = sure[row]
            if bool(found.all()):
                second = self._masked.masked_logits(images[row : row + 1], pairs)
                found = torch.cat([found, are_sure(second, labels[row : row + 1])[0]])
            shares[row] = found.float().mean()
        return shares


def _oracle(model: nn.Module) -> ModelOracle:
    return ModelOracle(model, checked=isinstance(model, Classifier))
