"""Attribution maps: each pixel's part in a class's logit, by seven methods of Captum.

Captum's methods hook the modules of the model that they run on, or set its inputs' gradients: what
they run on here is always a copy, and the instance that was passed in, which other threads may be
attacking meanwhile, is never touched. Nothing is drawn from a global generator: draws come from a
seed, the same ones for every image, so that an image gets the same map in any company.

Each method says how far to trust it. Where a map should add up to a difference of logits
(completeness), its figure is Captum's convergence delta, by how much it does not. The others have
Captum's infidelity: every value of the image is moved by a small Gaussian share of its distance to
the baseline, the map predicts the change of the logit up to one factor of its own, and the figure
is the mean squared error of that. Both come with a scale, of which they are best read as a share.

The baseline, which stands for "nothing there", is black unless the configuration says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from apr_core.base import random
from apr_core.base.types import InputError
from apr_core.explain.attention import own_copy
from apr_core.explain.methods import METHODS, Figure, Method
from apr_core.explain.task import AttributionConfig, Task, rows_for
from apr_core.models.inference import Model, device_of
from apr_core.models.inputs import COLOURED, as_floats, as_labels, check_classes
from apr_core.models.outputs import (
    Logits,
    blaming_model,
    check_briefly,
    check_logits,
    out_of_memory,
    reason_of,
)

REMEDIES = {
    "deeplift": "give every activation a module of its own that is used once in a pass, or choose "
    "another method",
}
"""What makes a model fit a method that fails on it."""


class Cancelled(Exception):  # noqa: N818  nothing went wrong
    """The caller's `cancelled` said so; there is no result."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """One method's maps of a batch, on the CPU.

    Attributes:
        method: its name in `METHODS`.
        targets: the classes whose logits are explained, (B,) int64.
        maps: (B, H, W) float32: `raw` summed over channels, with signs where the method has them,
            of absolute values for saliency, as Captum gives it; GradCAM's is never negative.
        raw: (B, C, H, W) float32, Captum's own; None for GradCAM of a picture in colour, for it has
            one value a place.
        figure: (B,) float32, what `figure_name` says.
        scale: (B,) float32, what a figure is a part of: the difference of logits that the map
            should add up to, without its sign; or the mean squared change that it should predict.
        figure_name: which figure it is.
    """

    method: str
    targets: Tensor
    maps: Tensor
    raw: Tensor | None
    figure: Tensor
    scale: Tensor
    figure_name: Figure


def attribute(
    model: Model,
    images: object,
    targets: object,
    method: str = "integrated-gradients",
    config: AttributionConfig | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Attribution:
    """What each pixel of each image has to do with the logit of its target.

    Args:
        model: images (B, C, H, W) in [0, 1] -> logits (B, K); a copy of it does the work.
        images: (B, C, H, W), uint8 or float in [0, 1].
        targets: (B,) whole numbers, classes.
        method: a name in `METHODS`.
        config: by default, the defaults.
        report: told after every pass how many images went through the model, and how many will.
        cancelled: asked after every pass.

    Raises:
        InputError: unknown method, wrong images or targets, or a model that the method cannot use.
        Cancelled: `cancelled` said so.
    """
    entry, config = METHODS.get(method), config or AttributionConfig()
    given = as_floats(images, *COLOURED)
    own = own_copy(model)
    device = device_of(own)
    with torch.inference_mode(False), torch.enable_grad():
        pictures = given.clone(memory_format=torch.contiguous_format).to(device).float()
        classes = as_labels("target", targets, len(pictures)).clone().to(device)
        own = _tried(own, pictures, classes)
        total = len(pictures) * entry.passes(config, *pictures.shape[2:])
        own.register_forward_hook(_counter(total, report, cancelled))
        chunk = max(1, rows_for(pictures) // config.probes)
        with _blaming_method(method):
            found = [
                _explain(entry, Task(own, part.requires_grad_(), some, config))
                for part, some in zip(
                    torch.split(pictures, chunk), torch.split(classes, chunk), strict=True
                )
            ]
    raw, figure, scale = (torch.cat(parts).detach().cpu() for parts in zip(*found, strict=True))
    maps = raw.sum(1)
    whole = raw if raw.shape[1] == given.shape[1] else None
    return Attribution(method, classes.cpu(), maps, whole, figure, scale, entry.figure)


def _tried(model: nn.Module, images: Tensor, targets: Tensor) -> nn.Module:
    """The model, seen to answer in logits with a gradient before a method stumbles over it."""
    check_briefly(model, images)
    with blaming_model(model, images[:1]):
        answer = model(images[:1].clone().requires_grad_())
    logits = check_logits(answer, 1)
    check_classes("target", targets, logits.shape[1])
    if not logits.requires_grad:
        raise InputError(
            "The model's logits have no gradient, which attributions follow; choose a PyTorch "
            "model that can be trained."
        )
    return model if isinstance(answer, Tensor) else Logits(model)


@contextmanager
def _blaming_method(method: str) -> Iterator[None]:
    """Turn what a method raises on a model that it was not made for into one sentence."""
    try:
        yield
    except (InputError, Cancelled):
        raise
    except Exception as error:
        remedy = "explain fewer images at a time" if out_of_memory(error) else REMEDIES.get(method)
        raise InputError(
            f"The method {method} fails on this model ({reason_of(error)}); "
            f"{remedy or 'choose another method'}."
        ) from error


def _counter(
    total: int, report: Callable[[int, int], None], cancelled: Callable[[], bool]
) -> Callable[[nn.Module, Any, Tensor], None]:
    """A forward hook that counts images; DeepLift hooks the model too, but later, so what this one
    sees are the model's own logits."""
    done = 0

    def count(_module: nn.Module, _inputs: Any, logits: Tensor) -> None:
        nonlocal done
        if cancelled():
            raise Cancelled
        done += len(logits)
        report(done, total)

    return count


def _explain(entry: Method, task: Task) -> tuple[Tensor, Tensor, Tensor]:
    """Raw values (b, C or 1, H, W), figures (b,) and their scales (b,)."""
    raw, delta = entry.compute(task)
    raw = raw.detach().float().contiguous()
    if delta is not None:
        return raw, delta.float(), (raw.sum((1, 2, 3)) - delta).abs().float()
    return raw, *_infidelity(task, raw.expand_as(task.images).contiguous(), entry.share)


def _infidelity(task: Task, values: Tensor, share: bool) -> tuple[Tensor, Tensor]:
    """Captum's infidelity of values (b, C, H, W), and that of a map that predicts no change."""
    from captum.metrics import infidelity  # noqa: PLC0415  slow

    shape = (task.config.probes, *task.images.shape[1:])
    shares = task.config.probe * random.normal(task.key, 0, shape)[0]

    def perturb(images: Tensor) -> tuple[Tensor, Tensor]:
        each = shares.repeat(len(images) // len(shares), 1, 1, 1)
        moves = each * (images - task.config.baseline)
        return (each if share else moves), images - moves

    def mean_error(map_: Tensor, normalize: bool) -> Tensor:
        error: Tensor = infidelity(
            task.model, perturb, task.images.detach(), map_, target=task.targets,
            n_perturb_samples=len(shares), normalize=normalize,
        )  # fmt: skip
        return error.clamp(min=0).float()

    return mean_error(values, True), mean_error(torch.zeros_like(values), False)
