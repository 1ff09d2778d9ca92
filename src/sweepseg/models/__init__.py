"""Segmentation networks, one architecture a file; `MODELS` is what the command line chooses from."""

from collections.abc import Callable

from ..layers.stages import StagedModel
from .r2unet import r2unet, r2unet_control
from .recurrent_unet import recurrent_unet_small, recurrent_unet_small_control
from .reseg import reseg, reseg_control
from .sweepnet import (
    sweepnet_base,
    sweepnet_base_control,
    sweepnet_nano,
    sweepnet_nano_causal,
    sweepnet_nano_causal_control,
    sweepnet_nano_control,
    sweepnet_small,
    sweepnet_small_causal,
    sweepnet_small_causal_control,
    sweepnet_small_control,
)
from .video import sweepnet_small_video, sweepnet_small_video_control

MODELS: dict[str, Callable[..., StagedModel]] = {
    "sweepnet_small": sweepnet_small,
    "sweepnet_small_control": sweepnet_small_control,
    "sweepnet_small_causal": sweepnet_small_causal,
    "sweepnet_small_causal_control": sweepnet_small_causal_control,
    "sweepnet_nano": sweepnet_nano,
    "sweepnet_nano_control": sweepnet_nano_control,
    "sweepnet_nano_causal": sweepnet_nano_causal,
    "sweepnet_nano_causal_control": sweepnet_nano_causal_control,
    "sweepnet_base": sweepnet_base,
    "sweepnet_base_control": sweepnet_base_control,
    "recurrent_unet_small": recurrent_unet_small,
    "recurrent_unet_small_control": recurrent_unet_small_control,
    "reseg": reseg,
    "reseg_control": reseg_control,
    "r2unet": r2unet,
    "r2unet_control": r2unet_control,
    "sweepnet_small_video": sweepnet_small_video,
    "sweepnet_small_video_control": sweepnet_small_video_control,
}

CONTROLS = {  # recurrent model -> its no-recurrence control
    "sweepnet_small": "sweepnet_small_control",
    "sweepnet_small_causal": "sweepnet_small_causal_control",
    "sweepnet_nano": "sweepnet_nano_control",
    "sweepnet_nano_causal": "sweepnet_nano_causal_control",
    "sweepnet_base": "sweepnet_base_control",
    "recurrent_unet_small": "recurrent_unet_small_control",
    "reseg": "reseg_control",
    "r2unet": "r2unet_control",
    "sweepnet_small_video": "sweepnet_small_video_control",  # recurrent over time
}
