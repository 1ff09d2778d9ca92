"""The classes of a data set: names, mask values and colours, from `classes.txt` or `classes.json`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from .dataset import Color

IGNORED_NAMES = {"ignore", "unlabeled", "unlabelled", "void"}


@dataclass(frozen=True)
class Label:
    """One value that may stand in a mask. A name of `IGNORED_NAMES` marks pixels that are not to be learned."""

    name: str
    value: int
    color: Color | None = None

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
    count from 0. A label named void, ignore, unlabeled or unlabelled is not a class: its pixels are ignored.

    Raises:
        UsageError: The file cannot be understood, or two labels share a name, value or colour.
    """
    for name, parse in (("classes.json", _parse_json), ("classes.txt", _parse_text)):
        path = root / name
        if path.is_file():
            try:
                labels = parse(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
                raise UsageError(f"{path}: {error}") from None
            return checked(labels, path)
    return None


def checked(labels: tuple[Label, ...], source: object) -> tuple[Label, ...]:
    """``labels`` themselves, if they can serve; ``source`` is named in errors.

    Raises:
        UsageError: There is no class, or two labels share a name, value or colour.
    """
    if all(label.ignored for label in labels):
        raise UsageError(f"{source}: holds no class; write one a line: value name red green blue")
    for field in ("name", "value", "color"):
        present = [getattr(label, field) for label in labels if getattr(label, field) is not None]
        twice = [item for item in present if present.count(item) > 1]
        if twice:
            raise UsageError(f"{source}: the {field} {twice[0]} stands there twice; every label needs its own")
    return labels


def _parse_text(text: str) -> tuple[Label, ...]:
    lines = (line.split() for line in text.splitlines())
    return tuple(_parse_line(fields, place) for place, fields in enumerate(f for f in lines if f and f[0][0] != "#"))


def _parse_line(fields: list[str], place: int) -> Label:
    value = _value(int(fields.pop(0))) if len(fields) > 1 and fields[0].isdecimal() else place
    color = None
    if len(fields) > 3 and all(field.isdecimal() for field in fields[-3:]):
        color = _color([int(field) for field in fields[-3:]])
        del fields[-3:]
    return Label(" ".join(fields), value, color)


def _parse_json(text: str) -> tuple[Label, ...]:
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise ValueError('not a list; write [{"name": "road", "value": 0, "color": [128, 64, 128]}, ...]')
    return tuple(_parse_entry(entry, place) for place, entry in enumerate(entries))


def _parse_entry(entry: object, place: int) -> Label:
    fields = {"name": entry} if isinstance(entry, str) else entry
    if (
        not isinstance(fields, dict)
        or not isinstance(fields.get("name"), str)
        or fields.keys() - {*Label.__annotations__}
    ):
        raise ValueError(f'entry {place} is {entry!r}; write a name or {{"name": ..., "value": ..., "color": ...}}')
    color = _color(fields["color"]) if "color" in fields else None
    return Label(fields["name"], _value(fields.get("value", place)), color)


def _value(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 65535:
        raise ValueError(f"the mask value {value!r} is not an integer from 0 to 65535")
    return value


def _color(values: object) -> Color:
    if not isinstance(values, list) or len(values) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in values):
        raise ValueError(f"the colour {values!r} is not three integers from 0 to 255")
    red, green, blue = values
    return red, green, blue
