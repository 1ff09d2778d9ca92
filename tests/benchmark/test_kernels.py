import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sweepseg.benchmark import kernels
from sweepseg.benchmark.kernels import GEMM, MAMBAPY, NO_BFLOAT16, TRIAD, cases
from sweepseg.benchmark.limits import GEMM_FLOPS
from sweepseg.cells import GRU
from sweepseg.errors import SweepsegError
from sweepseg.ops import _native, use_backend


class Products(TorchDispatchMode):
    """Counts the multiplications and additions of matrix products, with torch's formulas."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if count := flop_registry.get(function._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


class WorkTimer:
    """Answers with multiplications instead of seconds, and keeps what the functions return.

    The reference does the products in torch, where they can be counted.
    """

    def __init__(self):
        self.results = []

    def __call__(self, functions):
        self.results, work = [], []
        for function in functions:
            with use_backend("reference"), Products() as products:
                self.results.append(function())
            work.append([products.total or 1.0])
        return work


@pytest.fixture(scope="module")
def measured():
    """(rows, results of the functions) of every small case."""
    found, timer = [], WorkTimer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sweepseg.benchmark.layers.peak_bytes", lambda builds: [len(builds), 4])
        for case in cases(quick=True):
            timer.results = []
            found.append((case.run(timer), timer.results))
    return found


def rows_of(measured):
    return [row for rows, _ in measured for row in rows]


def test_every_row_is_measured_or_says_why_not(measured):
    rows = rows_of(measured)
    assert all((row.value is None) == bool(row.note) for row in rows)
    assert len({(row.name, row.size, row.against) for row in rows}) == len(rows)
    notes = {row.note for row in rows if row.against != MAMBAPY}
    assert notes == ({""} if _native.multiplies_bfloat16() else {"", NO_BFLOAT16})


def test_multiplications_are_counted_right(measured):
    """The time of a row is its work here, so a rate equal to the limit's means that both were counted alike."""
    rates = {(row.name, row.size): row.value for row in rows_of(measured) if row.against == GEMM and not row.note}
    assert len(rates) == 34
    assert all(rate == pytest.approx(1, rel=0.03) for rate in rates.values()), rates


def test_planted_fault_in_the_count_shows(measured):
    row = next(row for row in rows_of(measured) if row.against == GEMM)
    assert row.scale * GEMM_FLOPS / (row.ours * 4 / 3) != pytest.approx(1, rel=0.03), "four gates counted as three"


def test_limit_and_counterparts_have_the_size_of_the_result(measured):
    compared = 0
    for rows, results in measured:
        if rows[0].against == TRIAD:
            assert results[1].numel() == results[0][0].numel()
            compared += 1
        elif (rows[0].against.startswith("torch.nn") and results) or rows[0].against == "attention":
            assert len({result[0].shape for result in results}) == 1
            assert len({len(result) for result in results}) == 1 or "backward" in rows[0].name
            compared += 1
    assert compared == 12 + 4 + 2 + 12 + 3


@pytest.mark.parametrize("fault", [1.02, float("nan")])
def test_wrong_bfloat16_is_not_timed(fault, monkeypatch):
    def faulty(layer, x):
        run = layer_run(layer, x)
        return lambda: [y * fault if y.dtype == torch.bfloat16 else y for y in run()]

    layer_run = kernels.layer_run
    kernels._bfloat16_runs("gru_scan", GRU, 8, 4)
    monkeypatch.setattr(kernels, "layer_run", faulty)
    with pytest.raises(SweepsegError, match=r"^gru_scan, 4x4, 8 channels: .* not timed"):
        kernels._bfloat16_runs("gru_scan", GRU, 8, 4)


@pytest.mark.parametrize("quick", [False, True])
def test_goals_are_for_full_size_and_their_threads(quick, monkeypatch):
    def goals(threads):
        monkeypatch.setattr("torch.get_num_threads", lambda: threads)
        return [(row.name, row.against, row.goal) for case in cases(quick) for row in case.rows if row.goal is not None]

    one, two = goals(1), goals(2)
    assert (len(one), len(two)) == ((0, 0) if quick else (81, 93))
    assert {against for _, against, _ in two} - {against for _, against, _ in one} <= {"torch.nn.LSTM"}
