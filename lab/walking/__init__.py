"""The walk: a few updates of the very twin that will train, beside PyTorch, before anything is trained."""
