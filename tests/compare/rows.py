"""Rows to test with."""

from sweepseg.compare.results import Row


def row(**changes) -> Row:
    values = {
        "data": "nuclei",
        "split": "test",
        "model": "sweepnet_small",
        "seed": 0,
        "settings": "0123456789ab",
        "steps": 600,
        "crop": "192x192",
        "parameters": 999_201,
        "multiply_adds": 606_339_072,
        "train_seconds": 200.0,
        "seconds": 0.02,
        "peak_mb": 12.0,
        "mean_iou": 0.8,
        "class_iou": '{"background": 0.9, "nucleus": 0.7}',
        "torch": "2.13.0",
    }
    return Row(**values | changes)
