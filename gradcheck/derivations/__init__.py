"""Independent derivations of a gradient. None of them runs the backward pass under test."""
