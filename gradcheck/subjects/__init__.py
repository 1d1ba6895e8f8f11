"""What can be checked: a pair of cost and gradient, a network with its twin, a `torch.autograd.Function`."""
