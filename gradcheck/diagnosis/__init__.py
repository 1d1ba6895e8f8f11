"""Which bug makes a gradient wrong in the way that it is."""
