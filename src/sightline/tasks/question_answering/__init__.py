"""The task question_answering: all that is known of it."""
