"""How Captum is asked for each method's values.

Each function takes a task and returns values (B, 3, H, W), or (B, 1, H, W) for GradCAM, and
convergence deltas (B,), or None where infidelity is to be taken instead.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from apr_core.base import random
from apr_core.base.types import InputError
from apr_core.explain.task import Task, rows_for
from apr_core.models.resnet import ResNet
from apr_core.models.switches import QUIET_HOOKS
from apr_core.models.vgg import VGG


def _captum() -> Any:
    """`captum.attr`, loaded when first used: it takes seconds, for it loads matplotlib as well."""
    import captum.attr  # noqa: PLC0415

    return captum.attr


def integrated_gradients(task: Task) -> tuple[Tensor, Tensor]:
    """The gradient along the line from the baseline, averaged, times its length."""
    raw, delta = _captum().IntegratedGradients(task.model).attribute(
        task.images, task.start, task.targets, n_steps=task.config.steps,
        internal_batch_size=max(rows_for(task.images.device), len(task.images)),
        return_convergence_delta=True,
    )  # fmt: skip
    return raw, delta


def saliency(task: Task) -> tuple[Tensor, None]:
    """The gradient's size."""
    return _captum().Saliency(task.model).attribute(task.images, task.targets), None


def input_x_gradient(task: Task) -> tuple[Tensor, None]:
    """The gradient times the distance to the baseline."""
    # Captum's takes black for the baseline; the gradient times the distance to any other is this.
    gradient = _captum().Saliency(task.model).attribute(task.images, task.targets, abs=False)
    return gradient * (task.images.detach() - task.config.baseline), None


def gradcam(task: Task) -> tuple[Tensor, None]:
    """The last features, weighted by their mean gradients, (B, 1, H, W)."""
    attr = _captum()
    coarse = attr.LayerGradCam(task.model, feature_layer(task.model)).attribute(
        task.images, task.targets, relu_attributions=True
    )
    size = tuple(task.images.shape[2:])
    return attr.LayerAttribution.interpolate(coarse, size, "bilinear"), None


def feature_layer(model: nn.Module) -> nn.Module:
    """Where GradCAM looks: a ResNet's last stage, or the last of a VGG before its last pooling.

    Raises:
        InputError: the model is neither.
    """
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, ResNet):
        return backbone.stages[-1]
    if isinstance(backbone, VGG):
        return backbone.features[-2]
    found = type(backbone or model)
    raise InputError(
        "GradCAM knows where the last convolutional features are in this package's own ResNets and "
        f"VGGs alone, and this is a {found.__module__}.{found.__qualname__}; choose another method."
    )


def occlusion(task: Task) -> tuple[Tensor, None]:
    """The fall of the logit under a square, averaged over the squares that cover a pixel."""
    side, stride = task.config.window, task.config.stride
    least = min(task.images.shape[2:])
    if side > least:
        raise InputError(f"window is {side}, but the images are only {least} across; lower it.")
    with torch.no_grad():
        raw = _captum().Occlusion(task.model).attribute(
            task.images.detach(), (3, side, side), (3, stride, stride), task.start, task.targets,
            perturbations_per_eval=max(1, rows_for(task.images.device) // len(task.images)),
        )  # fmt: skip
    return raw, None


def deeplift(task: Task) -> tuple[Tensor, Tensor]:
    """Differences from the baseline, handed back by DeepLift's rescale rule."""
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


def _apart(_pool: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What a pooling is given, as a tensor of its own.

    Where one tensor is a ReLU's output and a pooling's input, Captum 0.9 has the ReLU's rule go on
    from a gradient to which the pooling's has not been applied yet (its issue 1104), and the map
    does not add up.
    """
    return (inputs[0].clone(),)


def gradient_shap(task: Task) -> tuple[Tensor, Tensor]:
    """As Captum's GradientShap, but for the draws, which Captum takes from global generators."""
    attr, draws = _captum(), task.config.draws
    owner = torch.arange(len(task.images), device=task.images.device).repeat_interleave(draws)
    images = task.images.detach()[owner]  # dim -> (b * draws x 3 x H x W)

    def each(drawn: Tensor) -> Tensor:
        return drawn[0].repeat(len(task.images), 1, 1, 1).expand_as(images)

    images = images + task.config.noise * each(
        random.normal(task.key, 1, (draws, *images.shape[1:]))
    )
    starts = each(random.uniform(task.key, 2, (draws, 3, 1, 1)))
    points = starts + each(random.uniform(task.key, 3, (draws, 1, 1, 1))) * (images - starts)
    saliency, classes = attr.Saliency(task.model), task.targets[owner]
    rows = rows_for(images.device)
    gradients = [
        saliency.attribute(part.requires_grad_(), some, abs=False)
        for part, some in zip(torch.split(points, rows), torch.split(classes, rows), strict=True)
    ]
    parts = (images - starts) * torch.cat(gradients)
    deltas = attr.GradientShap(task.model).compute_convergence_delta(parts, starts, images, classes)
    parts = parts.view(-1, draws, *parts.shape[1:])
    return parts.mean(1), deltas.view(-1, draws).mean(1)
