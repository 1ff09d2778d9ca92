"""Segmentation networks, one architecture a file; `MODELS` is what the command line chooses from."""

from .sweepnet import sweepnet_small, sweepnet_small_control

MODELS = {
    "sweepnet_small": sweepnet_small,
    "sweepnet_small_control": sweepnet_small_control,
}

CONTROLS = {"sweepnet_small": "sweepnet_small_control"}  # recurrent model -> its no-recurrence control
