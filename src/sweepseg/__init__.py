"""Image segmentation with recurrent layers that sweep over the picture."""

__version__ = "0.1.0"
