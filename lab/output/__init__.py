"""Results as files and tables. Nothing in here computes a result."""
