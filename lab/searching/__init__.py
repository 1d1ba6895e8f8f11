"""A search for hyperparameters: the points to try, the work shared through an Optuna study, training many at once, ranking."""

import optuna

# What it tells of every study and trial would stand between our own lines.
optuna.logging.set_verbosity(optuna.logging.WARNING)
