"""How the Triton kernels are launched. Their values are the contract's matter, under TRITON_INTERPRET=1 or on a GPU."""

import os
import subprocess
import sys
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from ops import contract
from ops import test_gla_scan as gla
from ops import test_line_scan as lines
from ops import test_md_lstm_scan as md_lstm
from ops import test_mlstm_scan as mlstm
from ops import test_selective_scan as selective
from ops.test_conv_gru_scan import check_size
from ops.test_recurrent import RECURRENCES, make

from sweepseg.ops import _triton, gru_scan, line_scan, linear_scan, md_lstm_scan, selective_scan
from sweepseg.ops._dispatch import Backend
from sweepseg.ops._sequences import WIDE
from sweepseg.ops.gla_scan import _triton as gla_launches
from sweepseg.ops.line_scan import _triton as line_launches
from sweepseg.ops.linear_scan import BACKENDS
from sweepseg.ops.md_lstm_scan import _triton as md_lstm_launches
from sweepseg.ops.mlstm_scan import _matrix_memory
from sweepseg.ops.mlstm_scan import _triton as mlstm_launches
from sweepseg.ops.selective_scan import _triton as selective_launches

CUDA = torch.device("cuda")
OPERATIONS = (
    *("linear_scan", "min_gru_scan", "min_lstm_scan", "lstm_scan", "gru_scan", "gru_scan_reset_before"),
    *("elman_scan_tanh", "elman_scan_relu", "selective_scan", "line_scan", "mlstm_scan"),
    *("gla_scan", "md_lstm_scan_rightwards", "md_lstm_scan_leftwards"),
)


def test_library_imports_without_triton():
    code = "import sys; sys.modules['triton'] = None; import sweepseg.ops"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_every_kernel_compiles():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-m", "ops.compile_kernels"], env=environment, check=True)


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


@pytest.mark.parametrize("backend", contract.on_cpu(md_lstm.BACKENDS))
@pytest.mark.parametrize(
    ("resident", "leftwards"), [(0, False), (100_000, True)], ids=["weights pass through", "weights stay"]
)
def test_several_programs_over_maps(monkeypatch, resident, leftwards, backend):
    """Diagonals of up to 5 pixels, 4 at a time; then two maps of 2 rows in each program, and a rest of one."""
    for name, size in (("TILE", 1), ("LANES", 4)):
        monkeypatch.setattr(md_lstm_launches, name, size)
    monkeypatch.setattr(_triton, "RESIDENT", resident)
    op, exact = (partial(each, leftwards=leftwards) for each in (md_lstm_scan, md_lstm.oracle))
    for batch, steps in (((2,), 5), ((3,), 2)):
        check_size(partial(op, backend=backend), exact, md_lstm.make(batch, steps, width=6), 6, "rows", leftwards)


@pytest.mark.parametrize("backend", contract.on_cpu(mlstm.BACKENDS))
@pytest.mark.parametrize("steps", [15, 16, 35])
@pytest.mark.parametrize(
    ("cell", "memory"), [(mlstm, mlstm_launches._mlstm_scan), (gla, gla_launches._gla_scan)], ids=["mlstm", "gla"]
)
def test_several_chunks_and_blocks_of_values(monkeypatch, cell, memory, steps, backend):
    """Less than a chunk, one, and two with a rest; values in two blocks, of which the second is not full."""
    monkeypatch.setattr(_matrix_memory, "VALUES", 16)
    monkeypatch.setattr(memory, "length", 16)
    monkeypatch.setattr(cell, "V", 19)
    inputs, subject = cell.make((1,), steps), contract.Subject(cell.CASE, backend, "cpu")
    expected = contract.evaluate(partial(subject.oracle, reverse=True), inputs)
    contract.assert_all_close(contract.evaluate(partial(subject.run, reverse=True), inputs), expected)


@pytest.mark.parametrize("cell", [mlstm, gla], ids=["mlstm", "gla"])
def test_memory_without_room_on_the_chip_is_refused(monkeypatch, cell):
    monkeypatch.setitem(cell.BACKENDS, "narrow", Backend(lambda *_: None, lacks=(_matrix_memory.WIDE,)))
    subject = contract.Subject(cell.CASE, "narrow", "cpu")
    monkeypatch.setattr(cell, "K", 64)
    subject.run(**cell.make((1,), 2))
    monkeypatch.setattr(cell, "K", 65)
    with pytest.raises(ValueError, match="does not handle more than 64 keys a head"):
        subject.run(**cell.make((1,), 2))


def test_maps_with_weights_without_room_on_the_chip_are_refused(monkeypatch):
    monkeypatch.setitem(md_lstm.BACKENDS, "narrow", Backend(lambda *_: None, lacks=(md_lstm_launches.WIDE,)))
    arguments = md_lstm.make((1,), 2, hidden=65)
    with pytest.raises(ValueError, match="does not handle a hidden_size above 64"):
        md_lstm.RIGHT.op(**arguments, backend="narrow")


@pytest.mark.parametrize(("size", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (16, 16), (17, 32)])
def test_tiles_are_powers_of_2(size, power):
    assert _triton.power_of_2(size) == power


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (2, 1, 0, 3)])
def test_flat_products_keep_the_order_in_memory(order):
    x = torch.rand(2, 3, 4, 5).permute(order).contiguous().permute(order)
    flat = _triton.flat(x, like=x)
    assert flat.data_ptr() == x.data_ptr()
    assert torch.equal(_triton.unflat(flat, like=x), x)


@pytest.mark.parametrize("reverse", [False, True])
def test_state_before_each_step(reverse):
    y, h0 = torch.tensor([1.0, 2, 3]).view(1, 3, 1), torch.tensor([[7.0]])
    assert _triton.before_each_step(y, h0, reverse).flatten().tolist() == ([2, 3, 7] if reverse else [7, 1, 2])
