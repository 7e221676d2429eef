"""Reference figures: the paper's own (section V), shown beside ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """One row of the paper's tables 1 to 3; shares, not percentages."""

    label: str
    defence: str
    clean: float
    asr: float


DEFENCES = (
    PaperRow("No defence", "vanilla", 0.932, 0.7097),
    PaperRow("AT", "at", 0.873, 0.4532),
    PaperRow("IT", "it", 0.891, 0.3876),
    PaperRow("DD", "dd", 0.865, 0.4189),
    PaperRow("APR", "apr", 0.908, 0.2143),
)
"""Table 1, CIFAR-10; the text names ResNet-18 and VGG-16 and does not say which this is. The first
success rate is also the one that section II.B quotes of Su et al.'s, on networks of theirs."""
IMAGENET = (
    PaperRow("No defence", "vanilla", 0.761, 0.6325),
    PaperRow("AT", "at", 0.724, 0.3987),
    PaperRow("IT", "it", 0.738, 0.3542),
    PaperRow("DD", "dd", 0.719, 0.3761),
    PaperRow("APR", "apr", 0.746, 0.1879),
)
"""Table 2, a subset of ImageNet."""
ABLATION = (
    PaperRow("Full APR", "apr", 0.908, 0.2143),
    PaperRow("w/o attention", "apr-no-attention", 0.895, 0.2876),
    PaperRow("w/o adversarial training", "apr-no-adversarial", 0.917, 0.3521),
    PaperRow("w/o regularisation", "apr-no-regularizer", 0.902, 0.2489),
)
"""Table 3, CIFAR-10."""
OVERHEAD = {"resnet18": (0.273, 0.086), "vgg16": (0.315, 0.092)}
"""Table 4: how much longer an epoch of training and one inference take with APR."""
