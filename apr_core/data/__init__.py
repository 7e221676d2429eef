"""Pictures: CIFAR-10 and people's own."""
