"""What is measured: rows of the table, and the cases that fill them; nothing is timed before it is right."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import SweepsegError
from ..ops._dispatch import choose, use_backend
from .timing import Timer

REFERENCE = "reference loop"
TOLERANCE = 1e-5  # of the largest element: float32 sums in another order, also over long sequences

Run = Callable[[], Sequence[Tensor]]


@dataclass(frozen=True)
class Row:
    """A line of the table: a figure, once measured.

    Args:
        name: What was measured.
        size: On which data.
        against: Beside what; empty where the figure stands for itself.
        unit: Of the figure; "x" is a ratio.
        goal: The figure to reach, None if it is only informative.
        at_most: Whether the goal is an upper bound.
        scale: What times' ratio, theirs over ours, is multiplied with to be the figure, or our time if ``against`` is
            empty.
        quantity: What ``ours`` and ``theirs`` are.
        value: The figure, None if it was not measured.
        ours: Median of what was measured.
        theirs: Median of what it stands beside.
        repeats: How often it was measured.
        note: Why it was not measured.
    """

    name: str
    size: str
    against: str = ""
    unit: str = "x"
    goal: float | None = None
    at_most: bool = False
    scale: float = 1.0
    quantity: Literal["seconds", "bytes"] = "seconds"
    value: float | None = None
    ours: float | None = None
    theirs: float | None = None
    repeats: int = 0
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without goal or figure."""
        if self.goal is None or self.value is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal


@dataclass(frozen=True)
class Case:
    """Rows that are measured together.

    Args:
        rows: The rows, not measured yet.
        measure: Fills them.
        operations: Those of `sweepseg.ops` whose kernels they are about.
        missing: Why they cannot be measured on this machine whatever the kernels, or None.
    """

    rows: Sequence[Row]
    measure: Callable[[Timer, Sequence[Row]], list[Row]]
    operations: Sequence[Callable[..., Any]] = ()
    missing: str | None = None

    def run(self, timer: Timer) -> list[Row]:
        """The rows, measured or with a note why not.

        Raises:
            SweepsegError: A result differs from the reference's; see `check_parity`.
        """
        missing = next(filter(None, (self.missing, *map(missing_kernel, self.operations))), None)
        if missing is not None:
            return [replace(row, note=missing) for row in self.rows]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.measure(timer, self.rows)


def missing_kernel(op: Callable[..., Any]) -> str | None:
    """Why an operation of `sweepseg.ops` runs on the reference backend here; None if it does not."""
    backends = sys.modules[op.__module__].BACKENDS
    if choose(backends, None, torch.device("cpu")) is not backends["reference"].run:
        return None
    problems = (backend.problem for backend in backends.values() if backend.devices is None or "cpu" in backend.devices)
    return next(filter(None, problems), "it has no kernel yet")


def comparison(build: Callable[[], Mapping[str, Run]]) -> Callable[[Timer, Sequence[Row]], list[Row]]:
    """Measure rows by timing, in one loop, the functions that they name.

    Args:
        build: Makes the functions by the names in ``Row.name`` and ``Row.against``; those in ``Row.name`` return the
            tensors in which they must agree with the reference. `REFERENCE` needs no entry: it is the first of these,
            run on the reference backend.
    """

    def measure(timer: Timer, rows: Sequence[Row]) -> list[Row]:
        runs = dict(build())
        for name in dict.fromkeys(row.name for row in rows):
            check_parity(f"{name}, {rows[0].size}", runs[name](), on_reference(runs[name])())
        if any(row.against == REFERENCE for row in rows):
            runs[REFERENCE] = on_reference(runs[rows[0].name])
        times = dict(zip(runs, timer([*runs.values()]), strict=True))
        return [_filled(row, times[row.name], times.get(row.against)) for row in rows]

    return measure


def _filled(row: Row, ours: Sequence[float], theirs: Sequence[float] | None) -> Row:
    """The row with its figure: the median over rounds of the ratio within a round."""
    figures = ours if theirs is None else [their / our for our, their in zip(ours, theirs, strict=True)]
    return replace(
        row,
        value=row.scale * median(figures),
        ours=median(ours),
        theirs=None if theirs is None else median(theirs),
        repeats=len(ours),
    )


def on_reference(run: Run) -> Run:
    """The same on the reference backend."""

    def run_on_reference() -> Sequence[Tensor]:
        with use_backend("reference"):
            return run()

    return run_on_reference


@torch.no_grad()
def check_parity(name: str, actual: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """Compare results.

    Raises:
        SweepsegError: An element is off by more than `TOLERANCE` of the largest.
    """
    for index, (a, b) in enumerate(zip(actual, expected, strict=True)):
        error, largest = (a - b).abs().max().item(), b.abs().max().item()
        if not error <= TOLERANCE * largest:  # so that NaN does not pass
            raise SweepsegError(
                f"{name}: result {index} is off by {error:.1e} where the reference's largest element is {largest:.1e}; "
                "a wrong kernel is not timed, please report it with the output of `sweepseg doctor`"
            )
