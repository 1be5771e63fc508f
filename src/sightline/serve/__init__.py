"""Trained runs as a web page and an HTTP API."""
