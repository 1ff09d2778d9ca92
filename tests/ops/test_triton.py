"""How the Triton kernels are launched. Their values are the contract's matter, under TRITON_INTERPRET=1 or on a GPU."""

import subprocess
import sys
from functools import partial

import pytest
import torch
from ops import contract
from ops.test_recurrent import RECURRENCES, make

from sweepseg.ops import _triton, gru_scan, linear_scan
from sweepseg.ops._sequences import WIDE
from sweepseg.ops.linear_scan import BACKENDS

CUDA = torch.device("cuda")
OPERATIONS = (
    *("linear_scan", "min_gru_scan", "min_lstm_scan", "lstm_scan", "gru_scan", "gru_scan_reset_before"),
    *("elman_scan_tanh", "elman_scan_relu"),
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
