"""Data sets: finding, checking and reading pairs of image and mask."""
