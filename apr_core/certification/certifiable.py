"""What a certificate takes for granted of a model, looked at before one is given.

The theorem is of a function of one picture. A model whose answer depends on what else is asked of
it in the same call, or on chance, is none: what it said of a masked picture today, beside these
neighbours, says nothing of what it will say beside others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.models.outputs import query_model


def check_company(model: nn.Module, image: Tensor, logits: Tensor, forgiven: float) -> None:
    """Ask once more about a picture: by itself, and beside a black and a white one.

    Args:
        image: (1, C, H, W).
        logits: (K,), what the model said of it in other company.
        forgiven: by how much a logit may differ, for rounding.

    Raises:
        InputError: one differs by more.
    """
    ends = torch.cat([torch.zeros_like(image), torch.ones_like(image)])
    for company in (image[:0], ends):
        asked = torch.cat([image, company])
        again = query_model(model, asked)[0].float()
        moved = float((again - logits.float()).abs().max())
        if moved > forgiven:
            raise InputError(
                f"A logit of the same picture moved by {moved:.2g} in other company, over the "
                f"{forgiven:.2g} that a certificate allows for, so the model's answers depend on "
                "the batch or on chance; use stored statistics (model.eval(), "
                "track_running_stats), no dropout, and full precision."
            )
