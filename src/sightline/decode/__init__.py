"""Search over any `step(tokens, state) -> (logits, state)`."""
