"""The methods of attribution, by name: how Captum computes each, and how far to trust it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

from apr_core.base import random
from apr_core.base.registry import Registry
from apr_core.base.types import InputError
from apr_core.explain.task import AttributionConfig, Task, rows_for
from apr_core.models.inference import default_chunk
from apr_core.models.resnet import ResNet
from apr_core.models.switches import QUIET_HOOKS
from apr_core.models.vgg import VGG


class Figure(StrEnum):
    """How far a map can be trusted; nearer 0 is better."""

    CONVERGENCE_DELTA = "convergence delta"
    """Sum of the map, minus the target's logit for the image, plus that for the baseline."""
    INFIDELITY = "infidelity"
    """Mean squared error, in logits squared, of the changes that the map predicts (Yeh et al.,
    2019), under the best factor for the map's unit."""


Compute = Callable[[Task], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Method:
    """One way to attribute.

    Attributes:
        compute: from a task, (B, C, H, W), or (B, 1, H, W) for GradCAM, and convergence deltas
            (B,), or None where infidelity is to be taken.
        description: one sentence for a person.
        reference: authors and year.
        figure: which check figure it has.
        passes: images that go through the model for one of size (H, W), the figure's included.
        signed: whether values below zero speak against the class.
        share: whether values are of a pixel's whole distance to the baseline, and not of one unit.
    """

    compute: Compute
    description: str
    reference: str
    figure: Figure
    passes: Callable[[AttributionConfig, int, int], int]
    signed: bool = True
    share: bool = True


METHODS: Registry[Method] = Registry("attribution method")


def _method(name: str, *about: Any, **flags: Any) -> Callable[[Compute], Compute]:
    """Register a function under a name; the rest are the further fields of `Method`."""

    def add(compute: Compute) -> Compute:
        METHODS.add(name, Method(compute, *about, **flags))
        return compute

    return add


def _windows(config: AttributionConfig, height: int, width: int) -> int:
    """Places where occlusion's square stands; the last of a row may overhang its stride."""
    window, stride = config.square(height, width)
    down, across = (-(-(side - window) // stride) + 1 for side in (height, width))
    return down * across


def _probes(config: AttributionConfig) -> int:
    """Passes of `_infidelity`: the probes and the image itself, twice."""
    return 2 * (config.probes + 1)


def _captum() -> Any:
    """`captum.attr`, loaded when first used: it takes seconds, for it loads matplotlib as well."""
    import captum.attr  # noqa: PLC0415

    return captum.attr


@_method(
    "integrated-gradients",
    "The gradient at many points on the straight line from a black image to this one, "
    "averaged, times the difference between the two.",
    "Sundararajan, Taly and Yan, 2017",
    Figure.CONVERGENCE_DELTA,
    lambda config, height, width: config.steps + 2,
)
def _integrated_gradients(task: Task) -> tuple[Tensor, Tensor]:
    raw, delta = _captum().IntegratedGradients(task.model).attribute(
        task.images, task.start, task.targets, n_steps=task.config.steps,
        internal_batch_size=max(rows_for(task.images), len(task.images)),
        return_convergence_delta=True,
    )  # fmt: skip
    return raw, delta


@_method(
    "saliency",
    "How fast the class's logit changes with each pixel, whichever way it changes.",
    "Simonyan, Vedaldi and Zisserman, 2014",
    Figure.INFIDELITY,
    lambda config, height, width: 1 + _probes(config),
    signed=False,
    share=False,
)
def _saliency(task: Task) -> tuple[Tensor, None]:
    return _captum().Saliency(task.model).attribute(task.images, task.targets), None


@_method(
    "input-x-gradient",
    "The gradient times the pixel's value: what a straight-line view of the model says that "
    "the pixel contributes.",
    "Shrikumar, Greenside, Shcherbina and Kundaje, 2016",
    Figure.INFIDELITY,
    lambda config, height, width: 1 + _probes(config),
)
def _input_x_gradient(task: Task) -> tuple[Tensor, None]:
    # Captum's takes black for the baseline; the gradient times the distance to any other is this.
    gradient = _captum().Saliency(task.model).attribute(task.images, task.targets, abs=False)
    return gradient * (task.images.detach() - task.config.baseline), None


@_method(
    "gradcam",
    "Where the last convolutional features speak for the class, on their coarse grid, "
    "enlarged to the picture.",
    "Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, 2017",
    Figure.INFIDELITY,
    lambda config, height, width: 1 + _probes(config),
    signed=False,
)
def _gradcam(task: Task) -> tuple[Tensor, None]:
    attr = _captum()
    coarse = attr.LayerGradCam(task.model, feature_layer(task.model, task.images)).attribute(
        task.images, task.targets, relu_attributions=True
    )
    size = tuple(task.images.shape[2:])
    return attr.LayerAttribution.interpolate(coarse, size, "bilinear"), None


def feature_layer(model: nn.Module, images: Tensor) -> nn.Module:
    """Where GradCAM looks: a ResNet's last stage, the last of a VGG before its last pooling, or the
    last module of another model that gives features at more than one place.

    Args:
        images: (B, C, H, W), which the model can take.

    Raises:
        InputError: the model has no such module.
    """
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, ResNet):
        return backbone.stages[-1]
    if isinstance(backbone, VGG):
        return backbone.features[-2]
    if layer := _last_spatial(model, images):
        return layer
    found = type(backbone or model)
    raise InputError(
        "GradCAM looks at the last convolutional features, and there are none, for this is a "
        f"{found.__module__}.{found.__qualname__}; choose another method."
    )


def _last_spatial(model: nn.Module, images: Tensor) -> nn.Module | None:
    """The last module, no pooling and called once, that gives features (B, F, h, w), hw > 1."""
    seen: list[nn.Module] = []

    def note(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
            seen.append(module)

    # a sequence's output is its last part's, which is looked at itself
    parts = [part for part in model.modules() if not isinstance(part, nn.Sequential)]
    handles = [part.register_forward_hook(note) for part in parts]
    try:
        with torch.no_grad():
            model.forward(images[:1])  # past the hook that counts passes
    finally:
        for handle in handles:
            handle.remove()
    fitting = [part for part in seen if seen.count(part) == 1 and "Pool" not in type(part).__name__]
    return fitting[-1] if any(isinstance(part, nn.Conv2d) for part in seen) and fitting else None


@_method(
    "occlusion",
    "By how much the class's logit falls when a small black square covers the pixel.",
    "Zeiler and Fergus, 2014",
    Figure.INFIDELITY,
    lambda config, height, width: 1 + _windows(config, height, width) + _probes(config),
)
def _occlusion(task: Task) -> tuple[Tensor, None]:
    _, channels, height, width = task.images.shape
    side, stride = task.config.square(height, width)
    least = min(height, width)
    if side > least:
        raise InputError(f"window is {side}, but the images are only {least} across; lower it.")
    with torch.no_grad():
        raw = _captum().Occlusion(task.model).attribute(
            task.images.detach(), (channels, side, side), (channels, stride, stride), task.start,
            task.targets,
            perturbations_per_eval=max(1, rows_for(task.images) // len(task.images)),
        )  # fmt: skip
    return raw, None


@_method(
    "deeplift",
    "Each unit's change from its value on a black image, handed back to the pixels in "
    "proportion; it adds up where the model neither multiplies what depends on the image, as a "
    "gate does, nor rounds it.",
    "Shrikumar, Greenside and Kundaje, 2017",
    Figure.CONVERGENCE_DELTA,
    lambda config, height, width: 2 + 2,
)
def _deeplift(task: Task) -> tuple[Tensor, Tensor]:
    """Differences from the baseline, handed back by DeepLift's rescale rule."""
    _teach_rescaling()
    pools = [module for module in task.model.modules() if isinstance(module, nn.MaxPool2d)]
    handles = [pool.register_forward_pre_hook(_apart) for pool in pools]
    try:
        with QUIET_HOOKS.held():  # `catch_warnings` is not safe between threads
            raw, delta = (
                _captum()
                .DeepLift(task.model)
                .attribute(task.images, task.start, task.targets, return_convergence_delta=True)
            )
    finally:
        for handle in handles:
            handle.remove()
    return raw, delta


def _teach_rescaling() -> None:
    """Have Captum hand differences back through the activations that it takes for linear ones."""
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR as KNOWN  # noqa: PLC0415

    for kind in (nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid):
        KNOWN.setdefault(kind, KNOWN[nn.ReLU])


def _apart(_pool: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What a pooling is given, as a tensor of its own.

    Where one tensor is a ReLU's output and a pooling's input, Captum 0.9 has the ReLU's rule go on
    from a gradient to which the pooling's has not been applied yet (its issue 1104), and the map
    does not add up.
    """
    return (inputs[0].clone(),)


@_method(
    "gradient-shap",
    "The gradient at random points on lines from plain pictures of random colours to slightly "
    "noisy copies of this one, times the difference, averaged.",
    "Lundberg and Lee, 2017; Erion, Janizek, Sturmfels, Lundberg and Lee, 2021",
    Figure.CONVERGENCE_DELTA,
    lambda config, height, width: 3 * config.draws,
)
def _gradient_shap(task: Task) -> tuple[Tensor, Tensor]:
    """As Captum's GradientShap, but for the draws, which Captum takes from global generators."""
    attr, draws = _captum(), task.config.draws
    owner = torch.arange(len(task.images), device=task.images.device).repeat_interleave(draws)
    images = task.images.detach()[owner]  # dim -> (b * draws x C x H x W)

    def each(drawn: Tensor) -> Tensor:
        return drawn[0].repeat(len(task.images), 1, 1, 1).expand_as(images)

    images = images + task.config.noise * each(
        random.normal(task.key, 1, (draws, *images.shape[1:]))
    )
    starts = each(random.uniform(task.key, 2, (draws, images.shape[1], 1, 1)))
    points = starts + each(random.uniform(task.key, 3, (draws, 1, 1, 1))) * (images - starts)
    saliency, classes = attr.Saliency(task.model), task.targets[owner]
    rows = rows_for(images)
    gradients = [
        saliency.attribute(part.requires_grad_(), some, abs=False)
        for part, some in zip(torch.split(points, rows), torch.split(classes, rows), strict=True)
    ]
    parts = (images - starts) * torch.cat(gradients)
    shap, chunk = attr.GradientShap(task.model), default_chunk(images.device, *images.shape[2:])
    asked = (torch.split(whole, chunk) for whole in (parts, starts, images, classes))
    deltas = torch.cat([shap.compute_convergence_delta(*some) for some in zip(*asked, strict=True)])
    parts = parts.view(-1, draws, *parts.shape[1:])
    return parts.mean(1), deltas.view(-1, draws).mean(1)
