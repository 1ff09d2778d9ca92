"""Pictures, clips and lines of real handwritten digits, each a function of (seed, split, index) and of nothing else.

All arithmetic is in integers, so every machine makes the same bits, in any order and any process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from ..io.images import read_image
from .layouts import SPLITS

EDITION = 1  # goes up with every change of what is drawn
SIDE = 64  # height and width of scenes and clips
LINE_HEIGHT = 32
VISIBLE = 80  # percent of each digit of a scene that the others leave to be seen, at least
FULL_INK = 240
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COLORS = {
    "red": (230, 60, 50),
    "green": (70, 190, 70),
    "blue": (80, 110, 250),
    "yellow": (235, 210, 60),
    "purple": (190, 80, 220),
    "white": (235, 235, 235),
}
# Which glyphs of each digit go to which split: cut out of the order of the file, because neighbours there look alike.
PARTS = (slice(0, 120), slice(120, 140), slice(140, None))

SCENES, CLIPS, LINES, SENTENCES = range(4)  # keeps the uses of one seed apart


@dataclass(frozen=True, eq=False)
class Scene:
    """Digits before a background: one picture, or a clip, whose arrays have a dimension of T frames in front.

    Attributes:
        image: (..., H, W, 3) uint8.
        instances: (..., H, W) uint8: 0 is background, n marks the pixels of the n-th digit that nothing hides.
        digits: What each of the N digits is, 0 to 9.
        colors: The name of each digit's colour, a key of `COLORS`.
    """

    image: np.ndarray
    instances: np.ndarray
    digits: tuple[int, ...]
    colors: tuple[str, ...]

    @property
    def mask(self) -> np.ndarray:
        """The class of each pixel, (..., H, W) uint8: 0 is background, d + 1 the digit d."""
        return np.array([0, *(digit + 1 for digit in self.digits)], np.uint8)[self.instances]

    @property
    def boxes(self) -> np.ndarray:
        """Around what is seen of each digit, (..., N, 4) int64: first row, first column, one past the last of both.

        All four are 0 where nothing of it is seen.
        """
        own = self.instances[..., None] == np.arange(1, len(self.digits) + 1)  # (..., H, W, N)
        both = own.any(axis=-2), own.any(axis=-3)  # (..., H, N) and (..., W, N)
        firsts = [seen.argmax(axis=-2) for seen in both]
        ends = [seen.any(axis=-2) * (seen.shape[-2] - seen[..., ::-1, :].argmax(axis=-2)) for seen in both]
        return np.stack([*firsts, *ends], axis=-1)

    @property
    def text(self) -> str:
        """The digits one behind the other; in a line that is from left to right."""
        return "".join(map(str, self.digits))


def scene(seed: int, split: str, index: int) -> Scene:
    """One to five digits before a textured background, with noise; at least `VISIBLE` percent of each are seen.

    Args:
        seed: Of the whole series, 0 or more.
        split: "train", "val" or "test"; each has glyphs of its own.
        index: Number in the series, 0 or more.

    Raises:
        ValueError: There is no such split.

    >>> example = scene(0, "train", 3)
    >>> example.image.shape, example.digits, example.colors
    ((64, 64, 3), (1, 4, 0, 8), ('red', 'red', 'white', 'blue'))
    """
    return draw_scene(generator(seed, SCENES, split, index), split)


def clip(seed: int, split: str, index: int, frames: int = 8) -> Scene:
    """Two to four digits that move in straight lines, bounce off the borders and pass each other and behind a pillar.

    The pillar counts as background. Fewer frames of the same clip are its beginning.

    Args:
        seed: As for `scene`.
        split: As for `scene`.
        index: As for `scene`.
        frames: T, at least 1.

    Raises:
        ValueError: There is no such split.

    >>> example = clip(0, "train", 0)
    >>> example.image.shape, example.boxes.shape
    ((8, 64, 64, 3), (8, 4, 4))
    """
    draw = generator(seed, CLIPS, split, index)
    background, pillar = _texture(draw, SIDE, SIDE), _texture(draw, SIDE, SIDE)
    hidden = np.zeros((SIDE, SIDE), bool)
    left, width = draw.integers(12, 40), draw.integers(8, 15)
    hidden[:, left : left + width] = True
    digits = [_Digit.drawn(draw, split, 18, 31) for _ in range(draw.integers(2, 5))]
    ranges = np.array([[SIDE - extent for extent in one.ink.shape] for one in digits])  # (N, 2), of upper left pixels
    starts = draw.integers(0, ranges + 1)
    steps = draw.integers(1, 4, ranges.shape) * (2 * draw.integers(0, 2, ranges.shape) - 1)  # pixels a frame
    images, instances = [], []
    for time in range(frames):
        places = ranges - abs(ranges - (starts + steps * time) % (2 * ranges))  # a straight line, folded at the borders
        images.append(np.where(hidden[..., None], pillar, _picture(background, digits, places)))
        instances.append(np.where(hidden, 0, _instances((SIDE, SIDE), digits, places)))
    return _scene(draw, np.stack(images), np.stack(instances), digits)


def line(seed: int, split: str, index: int) -> Scene:
    """Three to eight digits of one colour in a row, which `Scene.text` reads; `LINE_HEIGHT` high, as wide as they are.

    Args:
        seed: As for `scene`.
        split: As for `scene`.
        index: As for `scene`.

    Raises:
        ValueError: There is no such split.

    >>> example = line(0, "train", 0)
    >>> example.image.shape, example.text
    ((32, 63, 3), '210')
    """
    draw = generator(seed, LINES, split, index)
    color = [*COLORS][draw.integers(len(COLORS))]
    digits = [_Digit.drawn(draw, split, 18, 27, color) for _ in range(draw.integers(3, 9))]
    places, end = [], 0
    for one in digits:
        height, width = one.ink.shape
        left = end + int(draw.integers(6))
        places.append((int(draw.integers(LINE_HEIGHT - height + 1)), left))
        end = left + width
    background = _texture(draw, LINE_HEIGHT, end + int(draw.integers(6)))
    instances = _instances(background.shape[:2], digits, places)
    return _scene(draw, _picture(background, digits, places), instances, digits)


def draw_scene(draw: np.random.Generator, split: str) -> Scene:
    """The next scene that ``draw`` gives, as `scene` describes it."""
    background = _texture(draw, SIDE, SIDE)
    digits: list[_Digit] = []
    places: list[tuple[int, int]] = []
    for _ in range(draw.integers(1, 6)):
        more = [*digits, _Digit.drawn(draw, split, 18, 31)]
        for _ in range(20):  # places that hide too much are drawn again, and in the end the digit is left out
            top, left = (int(draw.integers(SIDE - extent + 1)) for extent in more[-1].ink.shape)
            instances = _instances((SIDE, SIDE), more, [*places, (top, left)])
            seen = np.bincount(instances.ravel(), minlength=len(more) + 1)[1:]
            if all(100 * count >= VISIBLE * one.covers.sum() for count, one in zip(seen, more, strict=True)):
                digits, places = more, [*places, (top, left)]
                break
    return _scene(draw, _picture(background, digits, places), _instances((SIDE, SIDE), digits, places), digits)


@cache
def glyphs(split: str) -> tuple[np.ndarray, ...]:
    """The handwritten digits of a split: for each of 0 to 9 (n, 8, 8) uint8, ink from 0 to `FULL_INK`.

    Source: Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits; `digits/NOTICE`.

    Raises:
        ValueError: There is no such split.

    >>> [len(rows) for rows in glyphs("train")]
    [120, 120, 120, 120, 120, 120, 120, 120, 120, 120]
    """
    part = PARTS[_number(split)]
    sheet = read_image(Path(str(resources.files(__package__).joinpath("digits", "glyphs.png"))))
    tiles = sheet.reshape(len(NAMES), 8, -1, 8).swapaxes(1, 2)  # (10, n, 8, 8); the last of a row may be blank
    parts = tuple(row[row.any(axis=(1, 2))][part] for row in tiles)
    for rows in parts:
        rows.flags.writeable = False  # all callers share them
    return parts


def generator(seed: int, use: int, split: str, index: int) -> np.random.Generator:
    """A generator that depends on nothing but its arguments."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, use, _number(split), index])))


@dataclass(frozen=True, eq=False)
class _Digit:
    """A digit as it is painted: ink (h, w), 0 to `FULL_INK`, of one colour (3,)."""

    digit: int
    color: str
    ink: np.ndarray
    rgb: np.ndarray

    @classmethod
    def drawn(
        cls, draw: np.random.Generator, split: str, smallest: int, largest: int, color: str | None = None
    ) -> "_Digit":
        """One of any digit, glyph and proportions, ``smallest`` to ``largest`` - 1 pixels high."""
        digit = int(draw.integers(len(NAMES)))
        rows = glyphs(split)[digit]
        height = int(draw.integers(smallest, largest))
        width = height * int(draw.integers(75, 106)) // 100
        ink = enlarged(rows[draw.integers(len(rows))], height, width)
        color = color or [*COLORS][draw.integers(len(COLORS))]
        return cls(digit, color, ink, np.array(COLORS[color]) + draw.integers(-20, 21, 3))

    @property
    def covers(self) -> np.ndarray:
        """Its pixels, (h, w) bool: where there is at least two fifths of the ink that there can be."""
        return 5 * self.ink >= 2 * FULL_INK

    def window(self, top: int, left: int) -> tuple[slice, slice]:
        """The rows and columns that it takes."""
        height, width = self.ink.shape
        return slice(top, top + height), slice(left, left + width)


Places = Sequence[tuple[int, int]] | np.ndarray  # of the upper left pixel of each digit


def _picture(background: np.ndarray, digits: Sequence[_Digit], places: Places) -> np.ndarray:
    """The digits before a background (H, W, 3), later ones before earlier ones."""
    picture = background.copy()
    for one, (top, left) in zip(digits, places, strict=True):
        window, ink = picture[one.window(top, left)], one.ink[..., None]
        window[:] = (window * (FULL_INK - ink) + one.rgb * ink) // FULL_INK
    return picture


def _instances(size: tuple[int, ...], digits: Sequence[_Digit], places: Places) -> np.ndarray:
    """Whose each pixel is, (H, W) uint8; see `Scene.instances`."""
    instances = np.zeros(size, np.uint8)
    for number, (one, (top, left)) in enumerate(zip(digits, places, strict=True), 1):
        instances[one.window(top, left)][one.covers] = number
    return instances


def _texture(draw: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Blurred patches of a dark colour, (height, width, 3)."""
    cells = int(draw.integers(3, 10))
    grey = draw.integers(20, 80) + draw.integers(-25, 26, (1, cells, cells))
    return enlarged(grey + draw.integers(-15, 16, (3, cells, cells)), height, width).transpose(1, 2, 0)


def _scene(draw: np.random.Generator, picture: np.ndarray, instances: np.ndarray, digits: Sequence[_Digit]) -> Scene:
    """The scene, with noise of a drawn strength on every sample of its picture (..., H, W, 3)."""
    strength = draw.integers(2, 17)
    noise = draw.integers(-strength, strength + 1, picture.shape)
    image = np.clip(picture + noise, 0, 255).astype(np.uint8)
    return Scene(image, instances, tuple(one.digit for one in digits), tuple(one.color for one in digits))


def enlarged(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """(..., h, w) -> (..., height, width), int64: linear in both directions, without a rounding that could differ."""
    rows, columns = _weights(grid.shape[-2], height), _weights(grid.shape[-1], width)
    return rows @ grid.astype(np.int64) @ columns.T // (4 * height * width)


@cache
def _weights(old: int, new: int) -> np.ndarray:
    """Shares of the ``old`` pixels in the ``new`` ones, (new, old); each row adds up to 2 * new."""
    unit = 2 * new  # an old pixel, in which all centres below are integers
    centres = ((2 * np.arange(new) + 1) * old - new).clip(0, unit * (old - 1))
    return np.maximum(unit - abs(centres[:, None] - unit * np.arange(old)), 0)


def _number(split: str) -> int:
    if split not in SPLITS:
        raise ValueError(f"the split is {split!r}; choose one of {', '.join(SPLITS)}")
    return SPLITS.index(split)
