"""What a search may choose from: a recipe in which a list or a range stands in the place of a value."""

import difflib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from jsonargparse import ArgumentParser

from ..errors import UsageError, printable
from ..models import MODELS
from ..training.prepare import check_arguments
from ..training.settings import FREE, Settings

ARGUMENTS = "arguments."  # what the names of a builder's arguments begin with
FIXED = FREE | {"data", "seed", "task", "hold_out", "arguments"}  # settings that are no matter of choice


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones where both are.

    Args:
        low: The smallest.
        high: The largest.
        log: Whether each factor counts alike, instead of each difference; low is more than 0 then.
    """

    low: float
    high: float
    log: bool = False

    @property
    def ends(self) -> Sequence[Any]:
        """The values that show whether all of them can be used."""
        return self.low, self.high

    def suggest(self, trial: Any, name: str) -> Any:
        """The value for a trial of Optuna, with four significant digits."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return float(f"{trial.suggest_float(name, self.low, self.high, log=self.log):.4g}")


@dataclass(frozen=True)
class Choice:
    """One of a few values.

    Args:
        values: Plain values, or lists of them.
    """

    values: Sequence[Any]

    @property
    def ends(self) -> Sequence[Any]:
        """The values that show whether all of them can be used: all."""
        return self.values

    def suggest(self, trial: Any, name: str) -> Any:
        """The value for a trial of Optuna."""
        labels = {json.dumps(value): value for value in self.values}
        return labels[trial.suggest_categorical(name, [*labels])]


Space = Mapping[str, Range | Choice]

DEFAULT: Space = {
    "learning_rate": Range(5e-4, 1e-2, log=True),
    "weight_decay": Range(1e-4, 1e-1, log=True),
    "arguments.cell": Choice(["mingru", "minlstm", "gru", "lstm"]),
    "arguments.order": Choice(["four_ways", "snake", "hilbert"]),
    "arguments.units": Choice([16, 24, 32, 48, 64]),
}


def default_space(model: str, builders: Mapping[str, Callable[..., Any]] = MODELS) -> Space:
    """`DEFAULT` without the arguments that the model's builder does not take.

    >>> [*default_space("reseg")]
    ['learning_rate', 'weight_decay']
    """
    known = inspect.signature(builders[model]).parameters if model in builders else {}
    return {
        name: values
        for name, values in DEFAULT.items()
        if not name.startswith(ARGUMENTS) or name.removeprefix(ARGUMENTS) in known
    }


def read_space(path: str | Path) -> Space:
    """Read a search file.

    Its keys are settings of `train`, those under ``arguments`` arguments of the model's builder; a list holds values to
    choose from, ``{low: 1.0e-4, high: 1.0e-2, log: true}`` is a range.

    Raises:
        UsageError: The file cannot be read, or holds something else.
    """
    try:
        entries = yaml.safe_load(Path(path).read_text("utf8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{printable(path)}: {' '.join(str(error).split())}") from None
    if not isinstance(entries, dict) or not entries:
        raise UsageError(f"{printable(path)} holds no search; give lines such as `learning_rate: [0.001, 0.003]`")
    below = entries.pop("arguments", {})
    if not isinstance(below, dict):
        raise UsageError(f"{printable(path)}: arguments is {below!r}; give {{name: [values to choose from], ...}}")
    entries |= {f"{ARGUMENTS}{name}": entry for name, entry in below.items()}
    return {str(name): _entry(path, name, entry) for name, entry in entries.items()}


def _entry(path: str | Path, name: object, entry: object) -> Range | Choice:
    if isinstance(entry, list) and entry:
        return Choice(entry)
    if isinstance(entry, dict) and {"low", "high"} <= entry.keys() <= {"low", "high", "log"}:
        found = Range(**entry)
        sound = all(type(end) in (int, float) for end in found.ends) and type(found.log) is bool
        if sound and found.low <= found.high and (found.low > 0 or not found.log):
            return found
    raise UsageError(
        f"{printable(path)}: {printable(name)} is {printable(entry)}; give a list of values to choose from, or "
        "{low: number, high: number, log: true or false}, of which low is the smaller, and more than 0 with log"
    )


def applied(settings: Settings, chosen: Mapping[str, Any]) -> Settings:
    """Settings with what was chosen in its place.

    >>> applied(Settings(data="nuclei"), {"clip": 2.0, "arguments.cell": "gru"}).arguments
    {'cell': 'gru'}

    Raises:
        UsageError: There is no such setting, it is no matter of choice, or the value does not suit it.
    """
    arguments = {name.removeprefix(ARGUMENTS): v for name, v in chosen.items() if name.startswith(ARGUMENTS)}
    values = {name: _suited(name, value) for name, value in chosen.items() if not name.startswith(ARGUMENTS)}
    if arguments:
        values["arguments"] = _suited("arguments", (settings.arguments or {}) | arguments)
    return replace(settings, **values)


def _suited(name: str, value: Any) -> Any:
    """A value with the type of the setting, as the command line would read it."""
    known = [field.name for field in fields(Settings) if field.name not in FIXED]
    if name not in (*known, "arguments"):
        meant = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {meant[0]}?" if meant else f"; choose from {', '.join(known)}"
        raise UsageError(f"{printable(name)} cannot be searched{hint}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument(f"--{name}", type=get_type_hints(Settings)[name])
    try:
        return parser.parse_object({name: value})[name]
    except Exception:  # jsonargparse raises many kinds
        raise UsageError(f"{name} cannot be {printable(value)}; see sweepseg train --help") from None


def check_space(space: Space, settings: Settings, builders: Mapping[str, Callable[..., Any]] = MODELS) -> None:
    """Try every value of a search by itself, and the ends of ranges, before anything is trained.

    Raises:
        UsageError: One of them cannot be used; the message names it.
    """
    for name, values in space.items():
        for value in values.ends:
            check_arguments(applied(settings, {name: value}), builders)
