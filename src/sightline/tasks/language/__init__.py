"""The task language: all that is known of it."""
