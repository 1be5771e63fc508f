"""Formats that other toolkits read and write."""
