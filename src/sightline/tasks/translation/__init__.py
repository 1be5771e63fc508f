"""The task translation: all that is known of it."""
