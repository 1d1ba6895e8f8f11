"""The data sets, their splits and their normalisation."""
