"""The task classification: all that is known of it."""
