"""The names of CIFAR-10's classes, apart from `cifar10.py`, which needs torchvision."""

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
