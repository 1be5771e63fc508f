"""Trained runs side by side: how good each is, whether a difference is more than chance, how fast, how large."""
