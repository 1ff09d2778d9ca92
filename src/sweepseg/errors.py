"""The exceptions that reach the user as one line, each with the exit code of the command line."""


class SweepsegError(Exception):
    """Base of the errors that are the user's to mend; anything else is a defect of ours (exit code 1)."""

    exit_code = 1


class UsageError(SweepsegError):
    """Wrong option, config or data set: nothing was started."""

    exit_code = 2


class InputError(SweepsegError):
    """One input that cannot be used; the run goes on with the others.

    Args:
        path: The input, as the user named it.
        reason: What is wrong with it and, where there is one, the remedy; one line.
    """

    exit_code = 3

    def __init__(self, path: object, reason: str):
        self.path, self.reason = path, reason
        super().__init__(f"{printable(path)}: {printable(reason)}")

    def __reduce__(self):  # keeps path and reason when a data-loading worker hands the error to its parent
        return type(self), (self.path, self.reason)


class OutputError(SweepsegError):
    """The output side failed: disk full, folder read-only, not a folder."""

    exit_code = 5


class ModelFileError(SweepsegError):
    """A model folder or training state that we refuse to load."""

    exit_code = 6


class Interrupted(SweepsegError):
    """SIGINT or SIGTERM; what was done so far is saved.

    Args:
        signum: The signal.
        message: What was saved and how to go on.
    """

    def __init__(self, signum: int, message: str):
        self.exit_code = 128 + signum
        super().__init__(message)


def printable(value: object) -> str:
    r"""``value`` as one harmless line: control characters, newlines and undecodable bytes are escaped.

    >>> printable("a" + chr(10) + "b")
    'a\\nb'
    """
    text = str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
