"""Sightline: train, compare, open up and ship sequence models."""

__version__ = "0.1.0"
