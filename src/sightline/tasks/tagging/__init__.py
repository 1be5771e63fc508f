"""The task tagging: all that is known of it."""
