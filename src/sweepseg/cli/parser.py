"""From the words on the command line to a function and its arguments.

A verb's options are the parameters of its function, or the fields of its settings: the type, the default and the line
in the docstring's "Args" are the option. Parameters without a default are positional.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from types import NoneType
from typing import Any, Literal, NoReturn, get_args, get_origin

from docstring_parser import parse as parse_docstring
from jsonargparse import ActionYesNo, ArgumentParser

from ..errors import UsageError
from ..training.settings import Settings
from . import commands
from .compare import compare
from .explain import explain
from .generate import generate
from .stream import stream
from .training import train
from .tune import tune
from .video import video

VERBS: dict[str, Callable[..., int]] = {
    "check": commands.check,
    "train": train,
    "val": commands.val,
    "predict": commands.predict,
    "stream": stream,
    "video": video,
    "generate": generate,
    "benchmark": commands.benchmark,
    "compare": compare,
    "tune": tune,
    "explain": explain,
    "list": commands.list,
    "info": commands.info,
    "doctor": commands.doctor,
}
SETTINGS = {train: Settings, compare: Settings, tune: Settings}  # verbs whose options are the fields of a class too
PER_RUN = {compare: {"model", "seed", "resume"}, tune: {"resume"}}  # fields that a verb sets for each run


class Parser(ArgumentParser):
    """An argument parser that raises its errors."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(" ".join(message.split()))


def build(chosen: str | None) -> ArgumentParser:
    """The parser of the command line, with the options of the chosen verb; those of all take four times as long."""
    description = "Image segmentation with recurrent layers that sweep over the picture."
    parser = Parser(prog="sweepseg", description=description, version=version("sweepseg"), allow_abbrev=False)
    verbs = parser.add_subcommands(title="verbs", metavar="VERB")
    for name, function in VERBS.items():
        summary = parse_docstring(function.__doc__ or "").short_description or ""
        verb = Parser(description=summary)
        verb.add_argument("--config", action="config", help="YAML file whose keys are the options below")
        for parameter, text in _options(function) if name == chosen else ():
            _add_option(verb, parameter, text)
        verbs.add_subcommand(name, verb, help=summary)
    return parser


def parse(arguments: Sequence[str]) -> tuple[Callable[..., int], dict]:
    """The function of the verb and its keyword arguments.

    Raises:
        UsageError: They make no sense; the message is one line and names the option that was probably meant.
    """
    verb = arguments[0] if arguments and arguments[0] in VERBS else None
    try:
        values = build(verb).parse_args([*arguments])
    except UsageError as error:
        raise UsageError(_in_our_words(str(error), verb)) from None
    chosen = values[values["subcommand"]].as_dict()
    chosen.pop("config", None)
    return VERBS[values["subcommand"]], chosen


def _in_our_words(message: str, verb: str | None) -> str:
    """What jsonargparse says, with names as they are typed and the one that was probably meant."""
    if verb is None:
        wrong = re.search(r"invalid choice: '(.*?)'|unrecognized arguments: (\S+)", message)
        given = wrong[1] or wrong[2] if wrong else ""
        hint = _meant(given, VERBS) or f"; the verbs are {', '.join(VERBS)}"
        return f"{given!r} is no verb{hint}" if given else f"no verb was given{hint}"
    kinds = {parameter.name: parameter.annotation for parameter, _ in _options(VERBS[verb])}
    if wrong := re.match(r'Parser key "(\w+)"(?: element \d+)?: .*?(?:Got|Given) value: (.*)', message):
        return f"{wrong[1]} is {wrong[2]!r}; give {_wanted(kinds[wrong[1]])}"
    if wrong := re.search(r"does not accept option '(.*)'", message):
        return f"{verb} does not take {wrong[1]!r}{_meant(wrong[1], kinds)}"
    if wrong := re.match(r"unrecognized arguments: (\S+)", message):
        flags = [f"--{_hyphened(name)}" for name in ("config", "help", *kinds)]
        return f"{verb} does not take {wrong[1]!r}{_meant(wrong[1].partition('=')[0], flags)}"
    if wrong := re.match(rf"the following arguments are required: {verb}\.(\w+)", message):
        return f"{wrong[1]} is missing; see sweepseg {verb} --help"
    return message


def _meant(word: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, [*names], 1)
    return f"; did you mean {close[0]}?" if close else ""


_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}


def _wanted(kind: Any) -> str:
    """What an option takes, in words."""
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return f"[{', '.join(map(_wanted, get_args(kind)))}]"
    if get_origin(kind) is dict:
        return "{name: value, ...}"
    return _KINDS.get(kind) or " or ".join(map(_wanted, get_args(kind)))


def _options(function: Callable) -> Iterable[tuple[inspect.Parameter, str]]:
    """The options of a verb with their help texts; one of its own takes the place of a field of that name."""
    found = {}
    for declared in (SETTINGS[function], function) if function in SETTINGS else (function,):
        helps = {entry.arg_name: entry.description or "" for entry in parse_docstring(declared.__doc__ or "").params}
        for name, parameter in inspect.signature(declared).parameters.items():
            if parameter.kind is not parameter.VAR_KEYWORD and name not in PER_RUN.get(function, ()):
                found[name] = parameter, helps[name]
    return found.values()


def _add_option(parser: ArgumentParser, parameter: inspect.Parameter, text: str) -> None:
    flag = f"--{_hyphened(parameter.name)}"
    if get_origin(parameter.annotation) is list:
        (kind,) = get_args(parameter.annotation)
        given = {"type": kind, "nargs": "+", "help": text}
        if parameter.default is parameter.empty:
            parser.add_argument(parameter.name, **given)
        else:
            parser.add_argument(flag, default=parameter.default, **given)
    elif parameter.default is parameter.empty:
        parser.add_argument(parameter.name, type=parameter.annotation, help=text)
    elif parameter.annotation is bool:
        action = ActionYesNo(yes_prefix="", no_prefix="no-")
        parser.add_argument(flag, action=action, default=parameter.default, help=text)
    else:
        parser.add_argument(flag, type=parameter.annotation, default=parameter.default, help=text)


def _hyphened(name: str) -> str:
    return name.replace("_", "-")
