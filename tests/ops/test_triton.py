"""How the Triton kernels are launched. Their values are the contract's matter, under TRITON_INTERPRET=1 or on a GPU."""

import subprocess
import sys
from functools import partial

import pytest
import torch
from ops import contract
from ops import test_line_scan as lines
from ops import test_mlstm_scan as mlstm
from ops import test_selective_scan as selective
from ops.test_recurrent import RECURRENCES, make

from sweepseg.ops import _triton, gru_scan, line_scan, linear_scan, mlstm_scan, selective_scan
from sweepseg.ops._dispatch import Backend
from sweepseg.ops._sequences import WIDE
from sweepseg.ops.line_scan import _triton as line_launches
from sweepseg.ops.linear_scan import BACKENDS
from sweepseg.ops.mlstm_scan import _triton as mlstm_launches
from sweepseg.ops.selective_scan import _triton as selective_launches

CUDA = torch.device("cuda")
OPERATIONS = (
    *("linear_scan", "min_gru_scan", "min_lstm_scan", "lstm_scan", "gru_scan", "gru_scan_reset_before"),
    *("elman_scan_tanh", "elman_scan_relu", "selective_scan", "line_scan", "mlstm_scan"),
)


def test_library_imports_without_triton():
    code = "import sys; sys.modules['triton'] = None; import sweepseg.ops"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", OPERATIONS)
def test_both_directions_run_on_gpus(name):
    for way in (name, f"{name}_backward"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"sweepseg::{way}", "CUDA")


@pytest.mark.parametrize(
    ("cuda", "found", "problem"),
    [
        ("13.0", None, "triton is not installed; pip install triton"),
        ("13.0", "spec", None),
        (None, "spec", None),
    ],
)
def test_says_what_is_missing(monkeypatch, cuda, found, problem):
    monkeypatch.setattr("torch.version.cuda", cuda)
    monkeypatch.setattr(_triton, "find_spec", lambda name: found)
    assert _triton.backend(linear_scan).problem == problem


def test_weights_without_room_on_the_chip_are_refused():
    backend = _triton.backend(gru_scan, lacks=("gain_ih", WIDE))
    assert backend.refusal(CUDA, [WIDE]) == "does not handle a hidden_size above 128; leave it out"
    assert backend.refusal(CUDA, []) is None


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
@pytest.mark.parametrize("resident", [0, 100_000], ids=["weights pass through", "weights stay"])
@pytest.mark.parametrize("name", RECURRENCES)
def test_several_programs_with_weights(monkeypatch, name, resident, backend):
    monkeypatch.setattr(_triton.RecurrenceLaunches, "rows", 16)
    monkeypatch.setattr(_triton, "RESIDENT", resident)
    op, gates, options = RECURRENCES[name]
    inputs = make(gates, (5, 4), 3, 6, 17, mask=True)  # the second program is not full, 17 units take 32
    expected = contract.evaluate(partial(op, **options, backend="reference"), inputs)
    contract.assert_all_close(contract.evaluate(partial(op, **options, backend=backend), inputs), expected)


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
@pytest.mark.parametrize("steps", [3, 4, 5])
def test_several_programs_without_weights(monkeypatch, steps, backend):
    """One step less than are read together, as many, and one more."""
    monkeypatch.setattr(_triton.ChannelwiseLaunches, "block", 32)
    monkeypatch.setattr(_triton.ChannelwiseLaunches, "ahead", 4)
    inputs = {name: torch.rand(5, 2, steps, 7, dtype=torch.float64) for name in ("decay", "update")}
    expected = contract.evaluate(partial(linear_scan, backend="reference"), inputs)
    contract.assert_all_close(contract.evaluate(partial(linear_scan, backend=backend), inputs), expected)


@pytest.mark.parametrize("backend", contract.on_cpu(selective.BACKENDS))
def test_several_programs_with_many_states(monkeypatch, backend):
    """Channels in two blocks, states that fill no tile, and steps behind the second kept states."""
    for name, size in (("TILE", 16), ("AHEAD", 4), ("SPAN", 4)):
        monkeypatch.setattr(selective_launches, name, size)
    inputs = selective.make_with_skip((2,), 19, channels=5, n=3)
    expected = contract.evaluate(partial(selective.oracle, reverse=True), inputs)
    contract.assert_all_close(
        contract.evaluate(partial(selective_scan, reverse=True, backend=backend), inputs), expected
    )


@pytest.mark.parametrize("backend", contract.on_cpu(lines.BACKENDS))
def test_several_programs_along_lines(monkeypatch, backend):
    """Lines in three pieces of 4 places, the last with one, and channels in two blocks."""
    for name, size in (("TILE", 8), ("CHANNELS", 2)):
        monkeypatch.setattr(line_launches, name, size)
    inputs = lines.make((2, 3), 4, width=9)
    expected = contract.evaluate(partial(lines.oracle, reverse=True), inputs)
    contract.assert_all_close(contract.evaluate(partial(line_scan, reverse=True, backend=backend), inputs), expected)


@pytest.mark.parametrize("backend", contract.on_cpu(mlstm.BACKENDS))
@pytest.mark.parametrize("steps", [15, 16, 35])
def test_several_chunks_and_blocks_of_values(monkeypatch, steps, backend):
    """Less than a chunk, one, and two with a rest; values in two blocks, of which the second is not full."""
    for name in ("LENGTH", "VALUES"):
        monkeypatch.setattr(mlstm_launches, name, 16)
    monkeypatch.setattr(mlstm, "V", 19)
    inputs = mlstm.make((1,), steps)
    expected = contract.evaluate(partial(mlstm.oracle, reverse=True), inputs)
    contract.assert_all_close(contract.evaluate(partial(mlstm_scan, reverse=True, backend=backend), inputs), expected)


def test_memory_without_room_on_the_chip_is_refused(monkeypatch):
    monkeypatch.setitem(mlstm.BACKENDS, "narrow", Backend(lambda *_: None, lacks=(mlstm_launches.WIDE,)))
    q, v, gate = torch.ones(1, 2, 2 * 65), torch.ones(1, 2, 6), torch.ones(1, 2, 2)
    mlstm_scan(q[..., 2:], q[..., 2:], v, gate, gate, backend="narrow")
    with pytest.raises(ValueError, match="does not handle more than 64 keys a head"):
        mlstm_scan(q, q, v, gate, gate, backend="narrow")


@pytest.mark.parametrize(("size", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (16, 16), (17, 32)])
def test_tiles_are_powers_of_2(size, power):
    assert _triton.power_of_2(size) == power


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (2, 1, 0, 3)])
def test_flat_products_keep_the_order_in_memory(order):
    x = torch.rand(2, 3, 4, 5).permute(order).contiguous().permute(order)
    flat = _triton._flat(x, like=x)
    assert flat.data_ptr() == x.data_ptr()
    assert torch.equal(_triton._unflat(flat, like=x), x)


@pytest.mark.parametrize("reverse", [False, True])
def test_state_before_each_step(reverse):
    y, h0 = torch.tensor([1.0, 2, 3]).view(1, 3, 1), torch.tensor([[7.0]])
    assert _triton._before_each_step(y, h0, reverse).flatten().tolist() == ([2, 3, 7] if reverse else [7, 1, 2])
