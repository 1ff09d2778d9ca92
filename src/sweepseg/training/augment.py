"""Paired augmentation: one random view of an image or clip and its masks, drawn from (seed, epoch, index) alone.

The draws are ours, so that a run can be repeated and resumed; the pixel operations are torch's and kornia's. Scale,
crop, flips and rotation are one affine map, so the image is resampled once; the mask takes the nearest label, never a
blend.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

HUE = 0.3  # radians of hue shift at full strength


@dataclass(frozen=True)
class Augmentation:
    """How far a view may differ from its picture; the fields are those of `Settings`.

    Args:
        crop: (height, width) of the view in pixels; None for those of the picture.
        scale: Smallest and largest scale.
        flip: Left-right flips.
        flip_vertical: Top-bottom flips.
        rotate: Largest rotation in degrees.
        colour: Strength of the colour changes, 0 to 1.
        blur: Probability of a Gaussian blur.
        noise: Largest standard deviation of Gaussian noise.
        oversample_foreground: Share of the views that are sure to show a pixel of `foreground_pixel`.
        ignore_index: Label of pixels that lie outside of the picture.

    >>> view, target = Augmentation(crop=(4, 6), flip=True)(
    ...     torch.rand(3, 8, 8), torch.zeros(8, 8, dtype=torch.int64), np.random.default_rng(0)
    ... )
    >>> view.shape, target.shape
    (torch.Size([3, 4, 6]), torch.Size([4, 6]))
    """

    crop: tuple[int, int] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = False
    flip_vertical: bool = False
    rotate: float = 0.0
    colour: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    oversample_foreground: float = 0.0
    ignore_index: int = 255

    def __call__(self, image: Tensor, target: Tensor, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw a view.

        Args:
            image: (C, H, W) float in [0, 1]; or the frames of a clip (T, C, H, W), which are all changed alike.
            target: int64 (H, W), or (K, H, W) for multilabel; float (K, H, W) for maps of numbers; of a clip (T, H, W)
                or (T, K, H, W). One without rows and columns, such as a class or a text, stays as it is.
            draw: The only source of randomness.

        Returns:
            The view (C, h, w) in [0, 1] and its target (h, w) or (K, h, w), with (h, w) = ``crop``; of a clip T of
            each.
        """
        forced = self.oversample_foreground and draw.random() < self.oversample_foreground
        pixel = None
        if forced:
            shown = target if image.dim() == 3 else _annotated_frame(target, self.ignore_index, draw)
            pixel = foreground_pixel(shown, self.ignore_index, draw)
        height, width = image.shape[-2:]
        size = self.crop or (height, width)
        matrix = self._affine(height, width, size, pixel, draw)
        image, target = warp(image, target, matrix, size, self.ignore_index)
        return self._recolour(image, draw), target

    def _affine(
        self, height: int, width: int, size: tuple[int, int], pixel: np.ndarray | None, draw: np.random.Generator
    ) -> np.ndarray:
        """The map from pixels of a view of ``size`` to pixels of the picture, (2, 3), in (column, row) coordinates.

        A ``pixel`` of the picture, if given, is the one that some pixel of the view maps to exactly.
        """
        scale = math.exp(draw.uniform(math.log(self.scale[0]), math.log(self.scale[1])))
        angle = math.radians(draw.uniform(-self.rotate, self.rotate))
        mirror = -1.0 if self.flip and draw.random() < 0.5 else 1.0
        mirror_vertical = -1.0 if self.flip_vertical and draw.random() < 0.5 else 1.0
        cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
        linear = np.array([[cos * mirror, -sin * mirror_vertical], [sin * mirror, cos * mirror_vertical]])
        # the crop lies inside the scaled picture where it fits, else the picture inside the crop
        slack = np.array([width - size[1] / scale, height - size[0] / scale]) / 2
        middle, half = np.array([width - 1, height - 1]) / 2, np.array([size[1] - 1, size[0] - 1]) / 2
        place = draw.uniform(-1, 1, 2)
        if pixel is None:
            offset = middle + place * np.abs(slack) - linear @ half
        else:
            centre = np.clip(pixel - linear @ (place * (half + 0.5)), middle - np.abs(slack), middle + np.abs(slack))
            shown_at = np.rint(np.linalg.solve(linear, pixel - centre) + half)
            offset = pixel - linear @ shown_at.clip(0, 2 * half)  # a turned crop may have lost it
        if scale == 1 and angle == 0:
            offset = np.rint(offset)  # crops and flips copy pixels instead of blurring them
        return np.concatenate([linear, offset[:, None]], axis=1)

    def _recolour(self, image: Tensor, draw: np.random.Generator) -> Tensor:
        brightness, contrast, saturation, hue = draw.uniform(-1, 1, 4) * self.colour
        blurred, sigma = draw.random() < self.blur, draw.uniform(0.3, 1.5)
        deviation = draw.uniform(0, self.noise)
        if self.colour:
            # summed in numpy: torch's sum depends on the number of threads in its last bits
            mean = float(image.numpy().mean(dtype=np.float64))
            mixed = (image - mean) * (1 + contrast)
            if image.shape[-3] == 3:
                matrix = torch.from_numpy(colour_matrix(1 + saturation, hue * HUE)).float()
                mixed = sum(matrix[:, i, None, None] * mixed[..., i : i + 1, :, :] for i in range(3))
            image = (mixed + (mean + brightness / 2)).clamp(0, 1)
        if blurred:
            import kornia

            frames = image.view(-1, *image.shape[-3:])
            image = kornia.filters.gaussian_blur2d(frames, (7, 7), (sigma, sigma)).view_as(image)
        if deviation:
            noise = draw.standard_normal(tuple(image.shape), dtype=np.float32) * np.float32(deviation)
            image = image + torch.from_numpy(noise)
        return image.clamp(0, 1)


def _annotated_frame(target: Tensor, ignore_index: int, draw: np.random.Generator) -> Tensor:
    """A random one of the targets (T, ...) in which something counts, of all where nothing does."""
    annotated = (target != ignore_index).flatten(1).any(1).nonzero()[:, 0].tolist() or range(len(target))
    return target[annotated[draw.integers(len(annotated))]]


def foreground_pixel(target: Tensor, ignore_index: int, draw: np.random.Generator) -> np.ndarray | None:
    """A random pixel of a random class, each class alike: of all that are in the target but the most frequent one.

    So rare classes and thin structures are found wherever they are, whichever index the background has.
    Source: Isensee et al., nnU-Net, Nature Methods 18, 2021, which chooses among all classes but index 0.

    Args:
        target: int64 (H, W), or (K, H, W) for multilabel, where all K classes count.
        ignore_index: Label of pixels that are never drawn.
        draw: The source of randomness.

    Returns:
        Its (column, row); None where no class is left.

    >>> foreground_pixel(torch.tensor([[0, 0, 0], [255, 0, 1]]), 255, np.random.default_rng(0))
    array([2, 1])
    """
    labels = target.numpy()
    if labels.ndim == 2:
        counts = np.bincount(labels[labels != ignore_index])
        classes = [label for label in counts.nonzero()[0].tolist() if label != counts.argmax()]
    else:
        classes = [k for k, plane in enumerate(labels) if (plane == 1).any()]
    if not classes:
        return None
    label = classes[draw.integers(len(classes))]
    rows, columns = (labels == label if labels.ndim == 2 else labels[label] == 1).nonzero()
    chosen = draw.integers(len(rows))
    return np.array([columns[chosen], rows[chosen]])


def colour_matrix(saturation: float, hue: float) -> np.ndarray:
    """The map of (red, green, blue) that scales the distance from grey and turns by ``hue`` radians around grey.

    >>> colour_matrix(1.0, 2 * math.pi / 3).round(12) + 0  # a third of a turn: red becomes green, green blue, blue red
    array([[0., 0., 1.],
           [1., 0., 0.],
           [0., 1., 0.]])
    """
    grey = np.full((3, 3), 1 / 3)
    turn = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)  # the cross product with the grey axis
    return grey + saturation * (math.cos(hue) * (np.eye(3) - grey) + math.sin(hue) * turn)


def warp(
    image: Tensor, target: Tensor, matrix: np.ndarray, size: tuple[int, ...], ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Resample a pair through an affine map: the image bilinearly, the target by the nearest label.

    Args:
        image: (..., C, H, W); of volumes, with a matrix (3, 4), (C, D, H, W).
        target: int64 (..., H, W) or (..., K, H, W); of volumes (D, H, W). One of fewer dimensions stays as it is. Maps
            of numbers are floats, and take the nearest value too: one between near and far would be nowhere.
        matrix: (2, 3), from (column, row) of the result to (column, row) of the input, pixel centres at integers; or
            (3, 4), for (column, row, slice).
        size: (h, w) or (d, h, w) of the result.
        ignore_index: Label where the result shows nothing of the input, in maps of numbers NaN; the image repeats its
            border there.
    """
    axes = len(size)
    extent = image.shape[-axes:]
    places = np.indices(size).reshape(axes, -1)[::-1]  # (column, row), and slice
    source = matrix[:, :axes] @ places + matrix[:, axes:]  # (2, h * w) or (3, d * h * w)
    grid = torch.from_numpy((2 * source.T + 1) / extent[::-1] - 1).float().view(1, *size, axes)
    channels = image.reshape(1, -1, *extent)  # of all frames of a clip
    view = torch.nn.functional.grid_sample(
        channels, grid, mode="bilinear", padding_mode="border", align_corners=False
    ).view(*image.shape[:-axes], *size)
    if target.dim() < axes:
        return view, target
    nearest = np.rint(source[::-1]).astype(np.int64)  # (row, column), and slice in front
    inside = ((nearest >= 0) & (nearest < np.reshape(extent, (-1, 1)))).all(0)
    flat = np.ravel_multi_index(tuple(np.where(inside, nearest, 0)), tuple(extent))
    index = torch.from_numpy(flat).view(size)
    labels = target.flatten(-axes)[..., index]
    unknown = math.nan if labels.is_floating_point() else ignore_index
    return view, labels.masked_fill(~torch.from_numpy(inside).view(size), unknown)
