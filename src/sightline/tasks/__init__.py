"""Tasks join a model with data, a loss and metrics."""
