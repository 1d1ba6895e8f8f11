"""Training: what a run is asked to do, its updates and records, and the files that it leaves."""
