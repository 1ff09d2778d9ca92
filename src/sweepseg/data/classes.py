"""The classes of a data set: names, mask values and colours, from `classes.txt` or `classes.json`."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from .dataset import Color

IGNORED_NAMES = {"ignore", "unlabeled", "unlabelled", "void"}


@dataclass(frozen=True)
class Label:
    """What may stand in a mask: one value or, up to ``last``, a range of them.

    A name of `IGNORED_NAMES` marks pixels that are not to be learned.
    """

    name: str
    value: int
    color: Color | None = None
    last: int | None = None

    @property
    def values(self) -> range:
        """The values of its pixels."""
        return range(self.value, (self.value if self.last is None else self.last) + 1)

    @property
    def ignored(self) -> bool:
        """Whether pixels of this label are left out of the loss and of metrics."""
        return self.name.lower() in IGNORED_NAMES


def named(names: Sequence[str]) -> tuple[Label, ...]:
    """Labels whose values are 0, 1, 2, ... in the order of ``names``."""
    return tuple(Label(name, value) for value, name in enumerate(names))


def voc_palette(num_classes: int) -> tuple[Color, ...]:
    """The colours of Pascal VOC: the bits of the index, spread over red, green and blue from the highest bit down.

    Source: Everingham et al., The PASCAL Visual Object Classes Challenge, development kit, `VOClabelcolormap`.

    >>> voc_palette(4)
    ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    """

    def channel(index: int, first_bit: int) -> int:
        return sum((index >> (3 * bit + first_bit) & 1) << (7 - bit) for bit in range(8))

    return tuple((channel(i, 0), channel(i, 1), channel(i, 2)) for i in range(num_classes))


def read_classes(root: Path) -> tuple[Label, ...] | None:
    """The labels of ``root/classes.json`` or ``root/classes.txt``; None where there is neither.

    A line of the text file is `name`, `value name` or `value name red green blue`; `#` starts a comment line. The JSON
    file is a list of names or of objects with `name` and, if wanted, `value` and `color`. Without values the labels
    count from 0. A value may be a range: `0-127 ground` and `128-255 road` for masks with soft edges, `1-65535 cell`
    for numbered objects. A label named void, ignore, unlabeled or unlabelled is not a class: its pixels are ignored.

    Raises:
        UsageError: The file cannot be understood, or two labels share a name, value or colour.
    """
    for name, parse in (("classes.json", _parse_json), ("classes.txt", lambda text: parse_lines(text.splitlines()))):
        path = root / name
        if path.is_file():
            try:
                labels = parse(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
                raise UsageError(f"{path}: {error}") from None
            return checked(labels, path)
    return None


def parse_lines(lines: Iterable[str]) -> tuple[Label, ...]:
    """The labels in the lines of a `classes.txt`.

    Raises:
        ValueError: A value or colour is none.

    >>> [(label.name, label.values) for label in parse_lines(["0 ground", "128-255 road"])]
    [('ground', range(0, 1)), ('road', range(128, 256))]
    """
    rows = (line.split() for line in lines)
    return tuple(_parse_row(fields, place) for place, fields in enumerate(f for f in rows if f and f[0][0] != "#"))


def parse_entries(entries: Iterable[object]) -> tuple[Label, ...]:
    """The labels in the list of a `classes.json`: names, or objects with `name`, `value` and `color`.

    Raises:
        ValueError: An entry is neither, or a value or colour is none.
    """
    return tuple(_parse_entry(entry, place) for place, entry in enumerate(entries))


def checked(labels: tuple[Label, ...], source: object) -> tuple[Label, ...]:
    """``labels`` themselves, if they can serve; ``source`` is named in errors.

    Raises:
        UsageError: There is no class, or two labels share a name, value or colour.
    """
    if all(label.ignored for label in labels):
        raise UsageError(f"{source}: holds no class; write one a line: value name red green blue")
    present: dict[str, list] = {
        "name": [label.name for label in labels],
        "value": [value for label in labels for value in label.values],
        "color": [label.color for label in labels if label.color is not None],
    }
    for field, items in present.items():
        for item, count in Counter(items).items():
            if count > 1:
                raise UsageError(f"{source}: the {field} {item} stands there twice; every label needs its own")
    return labels


def _parse_row(fields: list[str], place: int) -> Label:
    value = fields.pop(0) if len(fields) > 1 and re.fullmatch(r"\d+(-\d+)?", fields[0]) else place
    color = None
    if len(fields) > 3 and all(field.isdecimal() for field in fields[-3:]):
        color = _color([int(field) for field in fields[-3:]])
        del fields[-3:]
    return _label(" ".join(fields), value, color)


def _parse_json(text: str) -> tuple[Label, ...]:
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise ValueError('not a list; write [{"name": "road", "value": 0, "color": [128, 64, 128]}, ...]')
    return parse_entries(entries)


def _parse_entry(entry: object, place: int) -> Label:
    fields = {"name": entry} if isinstance(entry, str) else entry
    if (
        not isinstance(fields, dict)
        or not isinstance(fields.get("name"), str)
        or fields.keys() - {"name", "value", "color"}
    ):
        raise ValueError(f'entry {place} is {entry!r}; write a name or {{"name": ..., "value": ..., "color": ...}}')
    color = _color(fields["color"]) if "color" in fields else None
    return _label(fields["name"], fields.get("value", place), color)


def _label(name: str, value: object, color: Color | None) -> Label:
    """The label of one value or of the range in a text such as "128-255"."""
    bounds = re.fullmatch(r"(\d+)(?:-(\d+))?", str(value)) if type(value) in (int, str) else None
    first, last = (int(bounds[1]), int(bounds[2] or bounds[1])) if bounds else (0, -1)
    if not first <= last <= 65535:
        raise ValueError(f"the mask value {value} is not an integer from 0 to 65535 or a range such as 128-255")
    return Label(name, first, color, last if last > first else None)


def _color(values: object) -> Color:
    if not isinstance(values, list) or len(values) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in values):
        raise ValueError(f"the colour {values!r} is not three integers from 0 to 255")
    red, green, blue = values
    return red, green, blue
