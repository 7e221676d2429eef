"""The methods of attribution, by name: what each is, and how far it says that it can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from apr_core.base.registry import Registry
from apr_core.explain import computing
from apr_core.explain.task import AttributionConfig, Task


class Figure(StrEnum):
    """How far a map can be trusted; nearer 0 is better."""

    CONVERGENCE_DELTA = "convergence delta"
    """Sum of the map, minus the target's logit for the image, plus that for the baseline."""
    INFIDELITY = "infidelity"
    """Mean squared error, in logits squared, of the changes that the map predicts (Yeh et al.,
    2019), under the best factor for the map's unit."""


@dataclass(frozen=True)
class Method:
    """One way to attribute.

    Attributes:
        compute: from a task, (B, 3, H, W), or (B, 1, H, W) for GradCAM, and convergence deltas
            (B,), or None where infidelity is to be taken.
        description: one sentence for a person.
        reference: authors and year.
        figure: which check figure it has.
        passes: images that go through the model for one of size (H, W), the figure's included.
        signed: whether values below zero speak against the class.
        share: whether values are of a pixel's whole distance to the baseline, and not of one unit.
    """

    compute: Callable[[Task], tuple[Tensor, Tensor | None]]
    description: str
    reference: str
    figure: Figure
    passes: Callable[[AttributionConfig, int, int], int]
    signed: bool = True
    share: bool = True


METHODS: Registry[Method] = Registry("attribution method")


def _windows(config: AttributionConfig, height: int, width: int) -> int:
    """Places where occlusion's square stands; the last of a row may overhang its stride."""
    down, across = (-(-(side - config.window) // config.stride) + 1 for side in (height, width))
    return down * across


def _probes(config: AttributionConfig) -> int:
    """Passes of `_infidelity`: the probes and the image itself, twice."""
    return 2 * (config.probes + 1)


METHODS.add(
    "integrated-gradients",
    Method(
        computing.integrated_gradients,
        "The gradient at many points on the straight line from a black image to this one, "
        "averaged, times the difference between the two.",
        "Sundararajan, Taly and Yan, 2017",
        Figure.CONVERGENCE_DELTA,
        lambda config, height, width: config.steps + 2,
    ),
)
METHODS.add(
    "saliency",
    Method(
        computing.saliency,
        "How fast the class's logit changes with each pixel, whichever way it changes.",
        "Simonyan, Vedaldi and Zisserman, 2014",
        Figure.INFIDELITY,
        lambda config, height, width: 1 + _probes(config),
        signed=False,
        share=False,
    ),
)
METHODS.add(
    "input-x-gradient",
    Method(
        computing.input_x_gradient,
        "The gradient times the pixel's value: what a straight-line view of the model says that "
        "the pixel contributes.",
        "Shrikumar, Greenside, Shcherbina and Kundaje, 2016",
        Figure.INFIDELITY,
        lambda config, height, width: 1 + _probes(config),
    ),
)
METHODS.add(
    "gradcam",
    Method(
        computing.gradcam,
        "Where the last convolutional features speak for the class, on their coarse grid, "
        "enlarged to the picture.",
        "Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, 2017",
        Figure.INFIDELITY,
        lambda config, height, width: 1 + _probes(config),
        signed=False,
    ),
)
METHODS.add(
    "occlusion",
    Method(
        computing.occlusion,
        "By how much the class's logit falls when a small black square covers the pixel.",
        "Zeiler and Fergus, 2014",
        Figure.INFIDELITY,
        lambda config, height, width: 1 + _windows(config, height, width) + _probes(config),
    ),
)
METHODS.add(
    "deeplift",
    Method(
        computing.deeplift,
        "Each unit's change from its value on a black image, handed back to the pixels in "
        "proportion; it adds up where the model neither multiplies what depends on the image, as a "
        "gate does, nor rounds it.",
        "Shrikumar, Greenside and Kundaje, 2017",
        Figure.CONVERGENCE_DELTA,
        lambda config, height, width: 2 + 2,
    ),
)
METHODS.add(
    "gradient-shap",
    Method(
        computing.gradient_shap,
        "The gradient at random points on lines from plain pictures of random colours to slightly "
        "noisy copies of this one, times the difference, averaged.",
        "Lundberg and Lee, 2017; Erion, Janizek, Sturmfels, Lundberg and Lee, 2021",
        Figure.CONVERGENCE_DELTA,
        lambda config, height, width: 3 * config.draws,
    ),
)
