"""How far rounding may move each entry of a gradient, measured by stochastic arithmetic."""
