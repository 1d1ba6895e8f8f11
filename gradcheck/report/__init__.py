"""A result as sentences, as tables, and as a page."""
