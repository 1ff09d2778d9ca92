"""The command line: ``sweepseg VERB ...``; every option is also a key of a YAML file given with ``--config``."""

import os
import signal
import sys
from collections.abc import Sequence


def main() -> None:
    """Run one verb and leave with its exit code.

    0 done; 1 internal error; 2 usage, data or config; 3 some inputs failed; 4 all failed; 5 the output side failed;
    6 a model file was refused; 130 / 143 interrupted.
    """
    # Pictures of many sizes would fill oneDNN's cache of compiled kernels, which looks like a leak (pytorch#27971).
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that reports are still written
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one verb and return its exit code; errors become one line, those of ours too unless SWEEPSEG_DEBUG is set."""
    from ..errors import SweepsegError, printable

    code = 0
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except SweepsegError as error:
        for line in str(error).split("\n"):  # a list of problems has one line for each
            print(f"sweepseg: {printable(line)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("sweepseg: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be said to a closed pipe
        return code
    except Exception as error:
        if os.environ.get("SWEEPSEG_DEBUG"):
            raise
        line = printable(f"{type(error).__name__}: {error}")
        print(f"sweepseg: internal error, SWEEPSEG_DEBUG=1 shows where: {line}", file=sys.stderr)
        return 1


def _run(arguments: Sequence[str]) -> int:
    from .parser import parse

    try:
        command, values = parse(arguments)
    except SystemExit:  # --help and --version have printed their text
        return 0
    return command(**values)
