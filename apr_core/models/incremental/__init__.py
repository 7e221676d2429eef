"""Incremental inference: what an edit of a few pixels changes, and nothing else, is computed anew.

The rule for the windows is that of Nakandala, Kumar and Papakonstantinou, "Incremental and
Approximate Inference for Faster Occlusion-based Deep CNN Explanations" (SIGMOD 2019).
"""

from apr_core.models.incremental.engine import DENSE, EditEngine, choose_engine
from apr_core.models.incremental.graph import UntraceableError, trace
from apr_core.models.incremental.growth import Layer, layers_of, multiplied
from apr_core.models.incremental.network import IncrementalNetwork, Split

__all__ = [
    "DENSE",
    "EditEngine",
    "IncrementalNetwork",
    "Layer",
    "Split",
    "UntraceableError",
    "choose_engine",
    "layers_of",
    "multiplied",
    "trace",
]
