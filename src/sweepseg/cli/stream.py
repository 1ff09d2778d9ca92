"""The verb `stream`: raw rows in, raw mask rows out."""

import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .terminal import say

if TYPE_CHECKING:
    import numpy as np

    from ..inference.streaming import StreamingSegmenter
    from ..training.interruption import Interruption

WAKE = 0.1  # seconds between looks for a signal, and for more of a file


def stream(
    input: str,
    model: str | None = None,
    width: int | None = None,
    channels: int = 1,
    dtype: Literal["uint8", "uint16"] = "uint8",
    output: str = "-",
    state: str | None = None,
    finish: bool = False,
    follow: float = 0.0,
    strip: int | None = None,
    quiet: bool = False,
) -> int:
    """Segment rows as they come from a line-scan sensor; the mask follows a fixed number of rows behind.

    Args:
        input: File or named pipe of rows without a header, the values of a pixel side by side; - for stdin.
        model: Folder of a model without bottom-up sweeps; train --model sweepnet_small_causal makes one.
        width: Pixels of a row.
        channels: Values of a pixel.
        dtype: Type of a value; uint16 in the byte order of this machine.
        output: File or named pipe for the mask rows, for each pixel a byte with its class; - for stdout.
        state: File for what the next rows depend on, written when the input ends and at an interrupt. Where it is
            there the stream goes on from it, on any machine; the masks together are those of one stream.
        finish: With --state, the end of the input is that of the picture; write the last rows and remove the state.
        follow: Seconds to wait for more at the end of the input, for a file that grows.
        strip: Rows to run the model on at once, a multiple of its stride; more take less time a row and come out later.
        quiet: No summary.
    """
    import numpy as np

    from ..errors import InputError, Interrupted, UsageError, printable
    from ..training.interruption import catching_signals

    if model is None or width is None or min(width, channels) < 1:
        raise UsageError("give --model, and --width and --channels of at least 1")
    _refuse_one_file_twice(input, output, state)
    segmenter = _begin(model, state, width, channels, strip)
    began, rest = segmenter.rows, b""
    row_bytes = width * channels * np.dtype(dtype).itemsize
    try:
        with (
            _state_kept(segmenter, state),
            _open_output(output, append=began > 0) as sink,
            _open_input(input) as source,
            catching_signals() as interruption,
        ):
            try:
                for data in _arriving(source, row_bytes, segmenter.strip, follow, interruption):
                    rest += data
                    whole = len(rest) - len(rest) % row_bytes
                    rows = np.frombuffer(rest[:whole], dtype).reshape(-1, 1, width, channels)
                    rest = rest[whole:]
                    for row in rows:  # one by one, so that those before one that is refused are taken
                        _write(sink, segmenter, segmenter.push(row))
                if interruption.signum is None and (finish or state is None):
                    _write(sink, segmenter, segmenter.finish())
            except ValueError as error:
                raise InputError(input, f"row {segmenter.rows}: {error}") from None
            if interruption.signum is None and rest:
                raise InputError(input, f"ends after {len(rest)} of the {row_bytes} bytes of row {segmenter.rows}")
            if interruption.signum is None and segmenter.rows == 0:
                raise InputError(input, f"empty; rows of {row_bytes} bytes were expected")
    except InputError as error:
        say(str(error))
        return 3 if segmenter.rows > began else 4
    goes_on = f"; {printable(state)} goes on from there" if state is not None and not segmenter.finished else ""
    summary = f"{segmenter.rows} rows in, {segmenter.rows_out} mask rows out{goes_on}"
    if interruption.signum is not None:
        raise Interrupted(interruption.signum, summary)
    if not quiet:
        say(summary)
    return 0


def _refuse_one_file_twice(*paths: str | None) -> None:
    from ..errors import UsageError

    files = [path for path in paths if path not in (None, "-") and (os.path.isfile(path) or not os.path.exists(path))]
    if len({os.path.realpath(path) for path in files}) < len(files):
        raise UsageError("input, --output and --state are one file; name another one for each")


def _begin(model: str, state: str | None, width: int, channels: int, strip: int | None) -> "StreamingSegmenter":
    """A new stream, or the one that the state is of."""
    import numpy as np

    from ..errors import ModelFileError, UsageError, printable
    from ..inference.streaming import StreamingSegmenter
    from ..io.images import fit_channels
    from ..models.folder import load

    segmenter = load(model)
    try:
        fit_channels(np.zeros((1, 1, channels)), len(segmenter.config.mean))
        if state is None or not os.path.lexists(state):
            return StreamingSegmenter(segmenter, strip=strip)
    except ValueError as error:
        raise UsageError(str(error)) from None
    resumed = StreamingSegmenter.from_state(segmenter, state)
    for name, here, there in (("width", width, resumed.width), ("strip", strip, resumed.strip)):
        if None not in (here, there) and here != there:
            raise ModelFileError(f"{printable(state)}: of a stream with --{name} {there}, not {here}; give that, too")
    return resumed


@contextmanager
def _state_kept(segmenter: "StreamingSegmenter", path: str | None) -> Iterator[None]:
    """Save the state however the block ends, unless the whole mask is out."""
    if path is None:
        yield
        return
    segmenter.save_state(path)  # shows before any row is read that it can be written
    try:
        yield
    finally:
        if segmenter.finished and segmenter.rows_out == segmenter.rows:
            Path(path).unlink(missing_ok=True)
        else:
            segmenter.save_state(path)


def _open_output(path: str, *, append: bool) -> FileIO:
    from ..errors import OutputError, printable
    from ..io.files import reason

    try:
        if path == "-":
            return FileIO(1, "w", closefd=False)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return FileIO(path, "a" if append else "w")
    except (OSError, ValueError) as error:
        raise OutputError(f"{printable(path)}: {reason(error)}") from None


def _open_input(path: str) -> FileIO:
    """Open the input; a named pipe waits for its writer."""
    from ..errors import UsageError, printable
    from ..io.files import reason

    try:
        return FileIO(0, closefd=False) if path == "-" else FileIO(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{printable(path)}: {reason(error)}") from None


def _arriving(
    source: FileIO, row_bytes: int, most: int, follow: float, interruption: "Interruption"
) -> Iterator[bytes]:
    """What comes, as soon as it is there, until it ends or a signal comes.

    At most ``most`` rows at once and up to the end of a row: what was read in part would be lost at a signal.
    """
    position, latest = 0, time.monotonic()
    while interruption.signum is None:
        if not select.select([source], [], [], WAKE)[0]:
            continue
        data = source.read(most * row_bytes - position % row_bytes)
        if data:
            position += len(data)
            yield data
            latest = time.monotonic()
        elif time.monotonic() - latest >= follow:
            return
        else:
            time.sleep(WAKE)


def _write(sink: FileIO, segmenter: "StreamingSegmenter", mask: "np.ndarray") -> None:
    """Write mask rows; those that cannot be written stay with the segmenter."""
    from ..errors import OutputError, printable
    from ..io.files import reason

    data, done = memoryview(mask.tobytes()), 0
    try:
        while done < len(data):
            done += sink.write(data[done:])
    except OSError as error:
        row_bytes = len(data) // len(mask)
        segmenter.take_back(mask[done // row_bytes :])
        if isinstance(error, BrokenPipeError):
            raise
        if os.path.isfile(sink.name):
            sink.truncate(sink.tell() - done % row_bytes)
        raise OutputError(f"{printable(sink.name)}: {reason(error)}") from None
