"""Trained runs, ready for use: what the predictors of all tasks share."""
