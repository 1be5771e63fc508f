"""Run directories in use: training and going on, loading by task, evaluation, the model card, the dry run."""
