"""The command line: ``sweepseg VERB ...``; every option is also a key of a YAML file given with ``--config``."""

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and leave with its exit code.

    0 done; 1 internal error; 2 usage, data or config; 3 some inputs failed; 4 all failed; 5 the output side failed;
    6 a model file was refused; 130 / 143 interrupted.
    """
    # Pictures of many sizes would fill oneDNN's cache of compiled kernels, which looks like a leak (pytorch#27971).
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one verb and return its exit code; errors that are the user's become one line."""
    from ..errors import SweepsegError
    from .parser import parse

    try:
        command, values = parse(arguments)
        code = command(**values)
        sys.stdout.flush()
        return code
    except SweepsegError as error:
        print(f"sweepseg: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("sweepseg: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be said to a closed pipe
        return 0
