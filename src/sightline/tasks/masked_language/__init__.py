"""The task masked_language: all that is known of it."""
