"""The task image_classification: all that is known of it."""
