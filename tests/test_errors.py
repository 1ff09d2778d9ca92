import pickle
import signal

import pytest

from sweepseg.errors import (
    InputError,
    Interrupted,
    ModelFileError,
    OutputError,
    SweepsegError,
    UsageError,
    printable,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SweepsegError("x"), 1),
        (UsageError("x"), 2),
        (InputError("x", "y"), 3),
        (OutputError("x"), 5),
        (ModelFileError("x"), 6),
        (Interrupted(signal.SIGINT, "x"), 130),
        (Interrupted(signal.SIGTERM, "x"), 143),
    ],
)
def test_every_error_has_the_exit_code_that_is_documented(error, code):
    assert isinstance(error, SweepsegError) and error.exit_code == code


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain \u00fc \U0001f600 %s", "plain \u00fc \U0001f600 %s"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x9b", "\\x1b[31mred\\x9b"),
        ("not utf-8: \udcff", "not utf-8: \\udcff"),
        ("turned \u202e around", "turned \\u202e around"),
    ],
)
def test_printable_escapes_what_could_harm_a_terminal_and_nothing_else(text, line):
    assert printable(text) == line
    assert line.isprintable()


def test_input_error_is_one_harmless_line_and_survives_pickling():
    error = InputError("a\n.png", "not\x1b an image")
    assert str(error) == "a\\n.png: not\\x1b an image"
    again = pickle.loads(pickle.dumps(error))
    assert (again.path, again.reason, str(again)) == (error.path, error.reason, str(error))
