import sys
from dataclasses import replace

import pytest
import torch
from torch import nan

from sweepseg.benchmark.case import REFERENCE, TOLERANCE, Case, Row, check_parity, comparison
from sweepseg.errors import SweepsegError
from sweepseg.ops import linear_scan
from sweepseg.ops._dispatch import Backend
from sweepseg.ops.linear_scan import BACKENDS


class FixedTimer:
    """Answers with times instead of taking them."""

    def __init__(self, *times):
        self.times, self.asked = times, 0

    def __call__(self, functions):
        self.asked += 1
        assert len(functions) == len(self.times)
        return [list(times) for times in self.times]


def scan():
    return linear_scan(torch.full((1, 3, 2), 0.5), torch.ones(1, 3, 2))[:1]


@pytest.mark.parametrize(
    ("value", "goal", "at_most", "reached"),
    [
        (2, 1, False, True),
        (1, 1, False, True),
        (0.9, 1, False, False),
        (2, 1, True, False),
        (0.9, 1, True, True),
        (None, 1, False, None),
        (1, None, True, None),
    ],
)
def test_goals(value, goal, at_most, reached):
    assert Row("a", "", value=value, goal=goal, at_most=at_most).reached is reached


def test_figure_is_the_median_ratio_of_rounds():
    row = Row("ours", "", "theirs", scale=10)
    timer = FixedTimer([1, 2, 10], [9, 4, 10])  # ratios 9, 2, 1
    (filled,) = comparison(lambda: {"ours": scan, "theirs": scan})(timer, [row])
    assert (filled.value, filled.ours, filled.theirs, filled.repeats) == (20, 2, 9, 3)


def test_figure_without_a_counterpart_is_our_time():
    (filled,) = comparison(lambda: {"ours": scan})(FixedTimer([1, 3, 2]), [Row("ours", "", scale=1e3)])
    assert (filled.value, filled.ours, filled.theirs) == (2e3, 2, None)


def test_rows_share_one_loop():
    rows = [Row(name, "", against) for against in ("c", REFERENCE) for name in ("a", "b")]
    timer = FixedTimer([1], [2], [6], [8])
    filled = comparison(lambda: {"a": scan, "b": scan, "c": scan})(timer, rows)
    assert [row.value for row in filled] == [6, 3, 8, 4] and timer.asked == 1


def test_reference_is_ours_on_the_reference_backend(monkeypatch):
    calls = []

    def counting(name):
        backend = BACKENDS[name]
        return Backend(lambda *arguments: calls.append(name) or backend.run(*arguments), backend.devices)

    for name in BACKENDS:
        monkeypatch.setitem(BACKENDS, name, counting(name))
    timer = lambda functions: [[function() and 1.0] for function in functions]  # noqa: E731
    comparison(lambda: {"ours": scan})(timer, [Row("ours", "", REFERENCE)])
    assert calls == ["cpu", "reference"] * 2, "the parity check, then the times"


@pytest.mark.parametrize("fault", [2 * TOLERANCE, -2 * TOLERANCE, nan])
def test_wrong_kernel_is_not_timed(fault, monkeypatch):
    def wrong(decay, update, initial, reverse):
        output, final = BACKENDS["reference"].run(decay, update, initial, reverse)
        output[0, 1, 1] += fault * output.max()
        return output, final

    monkeypatch.setitem(BACKENDS, "cpu", Backend(wrong))
    timer = FixedTimer([1], [1])
    with pytest.raises(SweepsegError, match=r"^ours, 3 steps: result 0 is off by .* not timed") as refusal:
        comparison(lambda: {"ours": scan, "theirs": scan})(timer, [Row("ours", "3 steps", "theirs")])
    assert refusal.value.exit_code == 1 and "\n" not in str(refusal.value)
    assert timer.asked == 0


def test_parity_leaves_room_for_rounding_and_for_nothing_else():
    exact = torch.tensor([1000.0, -1.0, 0.0])
    check_parity("op", [exact + torch.tensor([0, 0, 0.9e-2])], [exact])
    with pytest.raises(SweepsegError):
        check_parity("op", [exact + torch.tensor([0, 0, 1.1e-2])], [exact])
    check_parity("op", [torch.zeros(2)], [torch.zeros(2)])
    with pytest.raises(SweepsegError, match="result 1"):
        check_parity("op", [exact, exact + 1], [exact, exact])


def test_what_cannot_be_measured_says_why():
    rows = [Row("a", "", goal=1), Row("b", "")]
    case = Case(rows, comparison(dict), missing="no kernel")
    assert [(row.name, row.value, row.note) for row in case.run(FixedTimer())] == [
        ("a", None, "no kernel"),
        ("b", None, "no kernel"),
    ]


def test_same_numbers_at_every_run_and_the_callers_are_kept():
    drawn = []
    case = Case([], lambda timer, rows: drawn.append(torch.rand(1)) or [])
    before = torch.get_rng_state()
    case.run(FixedTimer()), case.run(FixedTimer())
    assert drawn[0] == drawn[1] and torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("backends", "reason"),
    [
        ({"cpu": Backend(None, problem="built without kernels")}, "built without kernels"),
        ({}, "it has no kernel yet"),
        ({"gpu": Backend(None, devices=("cuda",), problem="no GPU")}, "it has no kernel yet"),
        ({"cpu": Backend(None)}, None),
    ],
    ids=["not built", "not written", "for another device", "there"],
)
def test_rows_without_a_kernel_are_not_measured(backends, reason, monkeypatch):
    monkeypatch.setattr(
        sys.modules[linear_scan.__module__], "BACKENDS", backends | {"reference": BACKENDS["reference"]}
    )
    case = Case([Row("a", "")], lambda timer, rows: [replace(rows[0], value=1.0)], [linear_scan])
    (row,) = case.run(FixedTimer())
    assert (row.value, row.note) == ((1.0, "") if reason is None else (None, reason))
