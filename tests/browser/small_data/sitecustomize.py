"""On the path of a test's server: CIFAR-10 is some of the shipped sample, to learn from and to be
asked; and who looked at a training once is looking."""

from dataclasses import replace

from apr_core.data import registry
from apr_core.data.dataset import Split
from apr_core.training import service as training_service

FEW = 192


def few(split: str) -> Split:
    shipped = registry.find_dataset().shipped_sample()
    return Split.in_memory(shipped.images[:FEW], shipped.labels[:FEW])


whole = registry.find_dataset()
small = replace(whole, load=few, fetch=lambda source, say: None)
registry.DATASETS._entries[whole.name] = small
training_service.CLAIM_SECONDS = 1e9
