"""On the path of a test's server: CIFAR-10 is the shipped sample, to learn from and to be asked."""

from apr_core.data import cifar10, sample


def small(*_: object, **__: object) -> cifar10.Cifar10:
    shipped = sample.load_sample()
    return cifar10.Cifar10(shipped.images, shipped.labels, shipped.images, shipped.labels)


cifar10.fetch_cifar10 = small
