"""Defences by name."""

from __future__ import annotations

from apr_core.defences.apr import APR
from apr_core.defences.vanilla import Vanilla
from apr_core.registry import Registry
from apr_core.training.recipes import Defence

DEFENCES: Registry[Defence] = Registry("defence")
DEFENCES.add("vanilla", Vanilla())
DEFENCES.add("apr", APR())
