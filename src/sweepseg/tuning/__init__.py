"""Choosing settings by experiment."""
