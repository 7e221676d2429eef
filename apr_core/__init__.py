"""The engine of APR Lab: train, attack, defend, certify and explain image classifiers."""

from apr_core.attacks.attack import OnePixelAttack
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import AttackResult, Outcome, PixelEdit, Snapshot
from apr_core.base.types import Fitness, InputError, Status, Stop, Strategy
from apr_core.base.version import __version__
from apr_core.data.registry import load_images
from apr_core.zoo.checkpoints import Card, list_cards
from apr_core.zoo.target import load_model

__all__ = [
    "AttackResult",
    "Card",
    "Fitness",
    "InputError",
    "OnePixelAttack",
    "OnePixelConfig",
    "Outcome",
    "PixelEdit",
    "Snapshot",
    "Status",
    "Stop",
    "Strategy",
    "__version__",
    "list_cards",
    "load_images",
    "load_model",
]
