"""The experiments of the five student reports, and what was measured in each."""
