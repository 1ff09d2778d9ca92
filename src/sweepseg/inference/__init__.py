"""Segmenting new images."""
