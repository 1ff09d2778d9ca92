"""From the words on the command line to a function and its arguments.

A verb's options are the parameters of its function, or the fields of its settings: the type, the default and the line
in the docstring's "Args" are the option. Parameters without a default are positional.
"""

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import NoReturn

from docstring_parser import parse as parse_docstring
from jsonargparse import ActionYesNo, ArgumentParser

from ..training.settings import Settings
from . import commands
from .training import train

VERBS: dict[str, Callable[..., int]] = {
    "check": commands.check,
    "train": train,
    "val": commands.val,
    "predict": commands.predict,
    "list": commands.list,
    "info": commands.info,
    "doctor": commands.doctor,
}
SETTINGS = {train: Settings}  # verbs whose options are the fields of a class too


class Parser(ArgumentParser):
    """An argument parser whose errors are one line, with the option that was probably meant."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Leave with exit code 2."""
        names = [parameter.name for function in VERBS.values() for parameter, _ in _options(function)]
        wrong = [word.replace("-", "_") for pair in re.findall(r"'(\w+)'|--([\w-]+)", message) for word in pair if word]
        close = [match for word in wrong if word not in names for match in difflib.get_close_matches(word, names, 1)]
        hint = f"; did you mean {_hyphened(close[0])}?" if close else ""
        sys.exit(_print_error(f"{' '.join(message.split())}{hint}"))


def _print_error(message: str) -> int:
    print(f"sweepseg: {message}", file=sys.stderr)
    return 2


def build() -> ArgumentParser:
    """The parser of the whole command line."""
    description = "Image segmentation with recurrent layers that sweep over the picture."
    parser = Parser(prog="sweepseg", description=description, version=version("sweepseg"))
    verbs = parser.add_subcommands(title="verbs", metavar="VERB")
    for name, function in VERBS.items():
        summary = parse_docstring(function.__doc__ or "").short_description or ""
        verb = Parser(description=summary)
        verb.add_argument("--config", action="config", help="YAML file whose keys are the options below")
        for parameter, text in _options(function):
            _add_option(verb, parameter, text)
        verbs.add_subcommand(name, verb, help=summary)
    return parser


def parse(arguments: Sequence[str]) -> tuple[Callable[..., int], dict]:
    """The function of the verb and its keyword arguments; leaves with code 2 and one line where they make no sense."""
    values = build().parse_args([*arguments])
    verb = values["subcommand"]
    chosen = values[verb].as_dict()
    chosen.pop("config", None)
    return VERBS[verb], chosen


def _options(function: Callable) -> Iterator[tuple[inspect.Parameter, str]]:
    """The options of a verb with their help texts."""
    for declared in (SETTINGS[function], function) if function in SETTINGS else (function,):
        helps = {entry.arg_name: entry.description or "" for entry in parse_docstring(declared.__doc__ or "").params}
        for name, parameter in inspect.signature(declared).parameters.items():
            if parameter.kind is not parameter.VAR_KEYWORD:
                yield parameter, helps[name]


def _add_option(parser: ArgumentParser, parameter: inspect.Parameter, text: str) -> None:
    flag = f"--{_hyphened(parameter.name)}"
    if parameter.default is parameter.empty:
        parser.add_argument(parameter.name, type=parameter.annotation, help=text)
    elif parameter.annotation is bool:
        action = ActionYesNo(yes_prefix="", no_prefix="no-")
        parser.add_argument(flag, action=action, default=parameter.default, help=text)
    else:
        parser.add_argument(flag, type=parameter.annotation, default=parameter.default, help=text)


def _hyphened(name: str) -> str:
    return name.replace("_", "-")
