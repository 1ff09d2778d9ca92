"""Layers that join cells and scan orders into sweeps over maps."""
