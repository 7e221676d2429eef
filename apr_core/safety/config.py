"""Pipeline configs: the layers between a picture and an answer, as a value and as JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from apr_core.base import schema
from apr_core.base.types import InputError, check_ranges
from apr_core.certification.lattice_masking import SPACING, SPACINGS
from apr_core.safety.calibration import TEMPERATURES
from apr_core.safety.checks import SCORES, USUAL, VIEWS

MOST_DRAWS, MOST_HELD_OUT = 1000, 10**7
LAYERS = ("temperature", "checks", "confidence", "ensemble", "certificate")
"""In the order in which a picture passes them."""


@dataclass(frozen=True)
class Checks:
    """Input diversity: withhold where the score of the views lies above the threshold.

    Attributes:
        score: of `SCORES`.
        draws: over which a random view is averaged.
    """

    threshold: float
    views: tuple[str, ...] = USUAL
    score: str = "doubt"
    draws: int = 8

    def __post_init__(self) -> None:
        titles = {
            "threshold": "The threshold of the layer 'checks'",
            "draws": "The draws of the layer 'checks' (--draws)",
        }
        check_ranges(self, {"threshold": (0.0, 1.0), "draws": (1, MOST_DRAWS)}, titles)
        if not self.views or len(set(self.views)) < len(self.views):
            raise InputError(
                f"The views of the layer 'checks' (--views) are {', '.join(self.views) or 'none'}; "
                f"give one at least, each once: {', '.join(VIEWS)}."
            )
        for name in self.views:
            VIEWS.get(name)
        if self.score not in SCORES:
            raise InputError(
                f"There is no score '{self.score:.40}' of the layer 'checks' (--score); the known "
                f"ones are: {', '.join(SCORES)}."
            )

    @property
    def random(self) -> bool:
        """Whether a decision depends on chance."""
        return any(VIEWS.get(name).random for name in self.views)


@dataclass(frozen=True)
class Confidence:
    """Withhold where the calibrated probability of the answer lies below the threshold."""

    threshold: float

    def __post_init__(self) -> None:
        title = "The threshold of the layer 'confidence'"
        check_ranges(self, {"threshold": (0.0, 1.0)}, {"threshold": title})


@dataclass(frozen=True)
class Ensemble:
    """Withhold where less than a share of all models, the pipeline's own among them, agree with it.

    Attributes:
        models: names of the others.
    """

    models: tuple[str, ...]
    threshold: float = 1.0

    def __post_init__(self) -> None:
        title = "The threshold of the layer 'ensemble' (--agreement)"
        check_ranges(self, {"threshold": (0.0, 1.0)}, {"threshold": title})
        if not self.models or len(set(self.models)) < len(self.models):
            raise InputError(
                f"The other models of the layer 'ensemble' (--others) are "
                f"{', '.join(self.models) or 'none'}; name one at least, each once."
            )


@dataclass(frozen=True)
class CertificateLayer:
    """Withhold where no certificate holds that an edit of one pixel leaves the answer as it is."""

    spacing: int = SPACING

    def __post_init__(self) -> None:
        title = "The spacing of the layer 'certificate' (--spacing)"
        check_ranges(self, {"spacing": SPACINGS}, {"spacing": title})


@dataclass(frozen=True)
class PipelineConfig:
    """The layers around a model, in the order in which a picture passes them; None is left out.

    Attributes:
        model, data: names; "" for the model's own data.
        temperature: of the probabilities that checks and confidence go by; it withholds nothing.
        false_alarms: that thresholds were set for, of each layer; 0 where they were chosen by hand.
        held_out: images that temperature and thresholds were set on; 0 where by hand.
    """

    model: str
    data: str = ""
    temperature: float | None = None
    checks: Checks | None = None
    confidence: Confidence | None = None
    ensemble: Ensemble | None = None
    certificate: CertificateLayer | None = None
    false_alarms: float = 0.0
    held_out: int = 0

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError(
                "A pipeline of 0 layers withholds nothing; give one at least: temperature, checks, "
                "confidence, ensemble or certificate."
            )
        if self.temperature is not None:
            check_ranges(self, {"temperature": TEMPERATURES})
        check_ranges(self, {"false_alarms": (0.0, 1.0), "held_out": (0, MOST_HELD_OUT)})
        if self.ensemble is not None and self.model in self.ensemble.models:
            raise InputError(
                f"{self.model} is the pipeline's own model and in its ensemble besides; name other "
                "models."
            )

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that there are, in order."""
        return tuple(name for name in LAYERS if getattr(self, name) is not None)

    @property
    def random(self) -> bool:
        """Whether a decision depends on chance."""
        return self.checks is not None and self.checks.random

    @property
    def sha256(self) -> str:
        """Of the config, whatever the order of its fields in a file."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> PipelineConfig:
        """Undo `to_json`.

        Raises:
            InputError: the text is no config of a pipeline.
        """
        try:
            return schema.build(cls, schema.parse(text))
        except InputError:
            raise
        except ValueError as error:
            raise InputError(
                f"This is no pipeline ({error}); make one with `python -m apr_core guard build`."
            ) from None
