"""Maps over a picture, drawn side by side."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import UsageError
from .region import Region

DECADES = 4  # of a receptive field that are told apart


def draw_attribution(image: np.ndarray, region: Region, found: np.ndarray, title: str) -> bytes:
    """The picture with its region, and beside it what counts for it: red for, blue against; a PNG.

    Args:
        image: (H, W, C) in [0, 1].
        region: The place that was asked about.
        found: (H, W), see `attribute`.
        title: What was asked.
    """
    signed = bool((found < 0).any())
    limit = float(np.quantile(np.abs(found), 0.995)) or float(np.abs(found).max()) or 1.0  # a few pixels stand out
    colours = {"cmap": "seismic" if signed else "inferno", "vmin": -limit if signed else 0, "vmax": limit}
    return _draw(image, region, [(title, found, colours)], "")


def draw_fields(image: np.ndarray, region: Region, fields: Sequence[tuple[str, np.ndarray]]) -> bytes:
    """The picture with its region, and beside it receptive fields, each with a title; a PNG.

    Args:
        image: (H, W, C) in [0, 1].
        region: The place whose logits they are of.
        fields: Title and (H, W) of each, drawn as powers of ten of its largest value.
    """
    panels = []
    for title, field in fields:
        powers = np.log10(np.maximum(field / (field.max() or 1.0), 10.0**-DECADES))
        panels.append((title, powers, {"cmap": "inferno", "vmin": -DECADES, "vmax": 0}))
    return _draw(image, region, panels, "power of ten")


def _draw(
    image: np.ndarray, region: Region, panels: Sequence[tuple[str, np.ndarray, dict[str, Any]]], scale: str
) -> bytes:
    """A PNG of the picture and the panels: title, values and colours of each, with the name of the scale."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
    except ImportError:
        raise UsageError('matplotlib is not installed; pip install "sweepseg[explain]"') from None
    shown = image if image.shape[2] == 3 else image[..., 0]
    height, width = shown.shape[:2]
    size = (3.4 * (len(panels) + 1), 3.4 * min(height / width, 3) + 0.5)  # inches
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    axes = figure.subplots(1, len(panels) + 1, squeeze=False)[0]
    axes[0].imshow(shown, cmap="gray", vmin=0, vmax=1)
    axes[0].set_title("picture", fontsize=9)
    for one, (title, values, colours) in zip(axes[1:], panels, strict=True):
        drawn = one.imshow(values, interpolation="nearest", **colours)
        figure.colorbar(drawn, ax=one, shrink=0.7, label=scale)
        one.set_title(title, fontsize=9)
    for one in axes:
        one.set_axis_off()
        corner = (region.left - 1.5, region.top - 1.5)  # a pixel around it
        sides = (region.right - region.left + 2, region.bottom - region.top + 2)
        one.add_patch(Rectangle(corner, *sides, fill=False, edgecolor="lime", linewidth=1))
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()
