"""Reading images and masks, writing results; nothing is silently narrowed or half written."""

from .files import Found, atomic_write, find_images, remove_stale_temporaries
from .images import MAX_PIXELS, fit_channels, read_image, to_unit, write_image
from .masks import overlay, read_mask, write_mask
from .model_folder import read_model_folder, write_model_folder

__all__ = [
    "MAX_PIXELS",
    "Found",
    "atomic_write",
    "find_images",
    "fit_channels",
    "overlay",
    "read_image",
    "read_mask",
    "read_model_folder",
    "remove_stale_temporaries",
    "to_unit",
    "write_image",
    "write_mask",
    "write_model_folder",
]
