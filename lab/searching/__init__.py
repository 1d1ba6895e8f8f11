"""A search for hyperparameters: the points to try, the work shared through an Optuna study, training many at once, ranking."""
