"""Attention and other internals made visible: in the terminal and as pictures."""
