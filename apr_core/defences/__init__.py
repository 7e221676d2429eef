"""Defences by name: the paper's five rows, its ablations, and variants of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_type_hints

from torch import nn

from apr_core.base import schema
from apr_core.base.registry import Registry
from apr_core.base.types import InputError
from apr_core.defences.adversarial_training import AdversarialTraining
from apr_core.defences.apr import APR, Regularizer
from apr_core.defences.apr_plus import APRPlus
from apr_core.defences.distillation import Distillation
from apr_core.defences.input_transform import InputTransformation
from apr_core.defences.recipe import Defence
from apr_core.defences.vanilla import Vanilla

DEFENCES: Registry[Defence] = Registry("defence")
DEFENCES.add("vanilla", Vanilla())
DEFENCES.add("at", AdversarialTraining())
DEFENCES.add("at-fgsm", AdversarialTraining(examples="fgsm"))
DEFENCES.add("at-pgd", AdversarialTraining(examples="pgd"))
DEFENCES.add("it", InputTransformation())
DEFENCES.add("dd", Distillation())
DEFENCES.add("apr", APR())
DEFENCES.add("apr-exact", APR(regularizer=Regularizer.EXACT))
DEFENCES.add("apr-no-attention", APR(attention=False))
DEFENCES.add("apr-no-adversarial", APR(adversarial=False))
DEFENCES.add("apr-no-regularizer", APR(regularizer=Regularizer.NONE))
DEFENCES.add("apr-plus", APRPlus())
DEFENCES.add("apr-plus-no-clamp", APRPlus(clamp=False))
DEFENCES.add("apr-plus-no-attention", APRPlus(attention=False))
DEFENCES.add("apr-plus-no-adversarial", APRPlus(adversarial=False))
DEFENCES.add("apr-plus-no-regularizer", APRPlus(beta=0.0))
DEFENCES.add("apr-plus-no-masks", APRPlus(masked=0.0))


def has_old_penalty(name: str, constants: dict[str, Any]) -> bool:
    """Whether weights were trained while the finite difference came from two forward passes.

    Batch normalisation made most of that penalty, and the slope of the network little. Today's
    defences take it from one pass, and say so by the constant `paired`.

    Args:
        constants: of the defence, as a card has them.
    """
    defence = DEFENCES.get(name) if name in DEFENCES else None
    if not isinstance(defence, APR | APRPlus) or "paired" in constants:
        return False
    finite = Regularizer.FINITE_DIFFERENCE
    used = finite if isinstance(defence, APRPlus) else defence.regularizer
    return constants.get("regularizer", used) == finite and bool(
        constants.get("beta", defence.beta)
    )


def restore_front(name: str, constants: dict[str, Any], channels: int = 3) -> nn.Module | None:
    """What a defence with the constants that a card gives it puts before the network.

    Raises:
        InputError: the name is unknown, or a constant is, or makes no sense.
    """
    defence = DEFENCES.get(name)
    kinds = get_type_hints(type(defence))
    try:
        given = schema.build(dict[str, Any], constants)
        known = {key: schema.build(kinds.get(key, Any), value) for key, value in given.items()}
        return replace(defence, **known).make_front(channels)  # type: ignore[type-var]
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The card's constants do not fit the defence {name} ({error}); restore the card."
        ) from None
