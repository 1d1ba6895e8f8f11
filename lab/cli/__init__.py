"""The commands: what they take, and the order in which they do their work."""
