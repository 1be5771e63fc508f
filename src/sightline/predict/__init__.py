"""What all predictors share: a loaded run, one input as a model reads it, streaming, calibration."""
