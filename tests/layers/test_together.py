"""Sweeps that run in one call: the same as one by one, and one by one wherever somebody could tell."""

import pytest
import torch
from tolerances import assert_close
from torch.autograd import forward_ad
from torch.nn.modules.module import register_module_forward_hook
from torch.utils._pytree import tree_leaves, tree_map

from sweepseg.cells import GRU, LSTM, RGLRU, Elman, MinGRU, MinLSTM
from sweepseg.layers import sweep as sweep_module
from sweepseg.layers import together
from sweepseg.layers.merge import Concat, Sum
from sweepseg.layers.sweep import Sweep, Sweeps
from sweepseg.ops import use_backend
from sweepseg.orders import FOUR_WAYS, backward, columns, rows, snake

C, H = 5, 4
CELLS = {
    "gru": GRU,
    "gru, reset before": lambda *sizes: GRU(*sizes, reset_after=False),
    "gru without bias": lambda *sizes: GRU(*sizes, bias=False),
    "gru with recurrent dropout": lambda *sizes: GRU(*sizes, recurrent_dropout=0.5),
    "lstm": LSTM,
    "elman": Elman,
    "elman, relu": lambda *sizes: Elman(*sizes, nonlinearity="relu"),
    "mingru": MinGRU,
    "minlstm": MinLSTM,
}
ORDERS = {"four ways": FOUR_WAYS, "three": (backward(columns), rows, columns), "one": (backward(rows),)}


def layer(cell, orders=FOUR_WAYS, merge=None, sizes=(C, H)):
    return Sweeps([Sweep(cell(*sizes), order) for order in orders], merge or Concat())


@pytest.fixture
def calls(monkeypatch):
    """How many layers ran in one call so far."""
    made = []

    def count(*inputs):
        made.append(inputs)
        return side_by_side(*inputs)

    side_by_side = together.side_by_side
    monkeypatch.setattr(together, "side_by_side", count)
    return made


def run(sweeps, x, state, *, seed=0):
    """Output, last states and the gradients of everything that goes in."""
    torch.manual_seed(seed)
    x = x.detach().requires_grad_()
    state = tree_map(lambda h: None if h is None else h.detach().requires_grad_(), state)
    output, last = sweeps(x, state)
    leaves = tree_leaves(last)
    results = [output, *(h for h in leaves if h is not None)]
    weights = [torch.linspace(-1, 2, result.numel(), dtype=result.dtype).view_as(result) for result in results]
    inputs = [x, *sweeps.parameters(), *(h for h in tree_leaves(state) if h is not None)]
    gradients = torch.autograd.grad(results, inputs, weights, materialize_grads=True)
    return [*results, *gradients]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("orders", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_together_is_one_by_one(cell, orders, dtype, calls, monkeypatch):
    torch.manual_seed(1)
    sweeps = layer(cell, orders).to(dtype)
    maps = [torch.randn(2, C, 6, 9, dtype=dtype) for _ in range(2)]
    maps[1] = maps[1].to(memory_format=torch.channels_last)
    with torch.no_grad():
        _, state = sweeps.eval()(maps[0][..., :3, :])
    sweeps.train()
    for x in maps:
        for initial in (None, state):
            calls.clear()
            found = run(sweeps, x, initial)
            assert len(calls) == 1
            with monkeypatch.context() as patch:
                patch.setattr(sweep_module, "run_together", lambda *_: None)
                expected = run(sweeps, x, initial)
            assert len(calls) == 1
            for i, (a, b) in enumerate(zip(found, expected, strict=True)):
                assert_close(a, b, f"result {i}")


def test_without_gradients_it_is_the_same_and_lies_channels_last(calls):
    for cell in (GRU, MinGRU):
        sweeps, x = layer(cell), torch.randn(1, C, 6, 9)
        recorded, _ = sweeps(x)
        with torch.inference_mode():
            output, _ = sweeps(x)
        assert len(calls) == 2
        calls.clear()
        assert torch.equal(output, recorded)
        assert output.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("cell", [GRU, LSTM, MinGRU])
def test_half_precision_comes_back_as_it_came(cell, calls):
    sweeps, x = layer(cell), torch.randn(2, C, 6, 9)
    exact, _ = sweeps(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(sweeps(x)[0], exact, rtol=0, atol=0.02)
        half, _ = sweeps(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, rtol=0, atol=0.04)
    assert len(calls) == 3


def hooked(sweeps, place):
    place(sweeps).register_forward_hook(lambda *_: None)
    return sweeps


SEPARATE = {
    "merged by a sum": lambda: layer(GRU, merge=Sum()),
    "a single path": lambda: layer(GRU, (rows, snake)),
    "cells of two kinds": lambda: Sweeps([Sweep(GRU(C, H), rows), Sweep(LSTM(C, H), columns)], Concat()),
    "two forms of a cell": lambda: Sweeps(
        [Sweep(GRU(C, H, reset_after=form), rows) for form in (True, False)], Concat()
    ),
    "a cell without such a scan": lambda: layer(RGLRU),
    "layer norm": lambda: layer(lambda *sizes: GRU(*sizes, layer_norm=True)),
    "an LSTM of relu": lambda: layer(lambda *sizes: LSTM(*sizes, nonlinearity="relu")),
    "dropout": lambda: layer(lambda *sizes: GRU(*sizes, dropout=0.5)),
    "no bias to add": lambda: layer(lambda *sizes: MinGRU(*sizes, bias=False)),
    "a hook on a sweep": lambda: hooked(layer(GRU), lambda sweeps: sweeps.sweeps[1]),
    "a hook on a cell": lambda: hooked(layer(GRU), lambda sweeps: sweeps.sweeps[1].cell),
    "a cell derived from ours": lambda: layer(type("Derived", (GRU,), {})),
    "many gates": lambda: layer(MinGRU, sizes=(C, 40_000)),
}


@pytest.mark.parametrize("build", SEPARATE.values(), ids=SEPARATE)
def test_what_does_more_than_its_scan_runs_one_by_one(build, calls):
    output, _ = build()(torch.randn(1, C, 6, 9))
    assert output.shape[2:] == (6, 9)
    assert not calls


ASKED = {
    "the reference": lambda: use_backend("reference"),
    "a global hook": lambda: register_module_forward_hook(lambda *_: None),
}


@pytest.mark.parametrize("context", ASKED.values(), ids=ASKED)
def test_what_else_is_asked_of_torch_is_heard(context, calls):
    with context():
        layer(GRU)(torch.randn(1, C, 6, 9))
    assert not calls


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # of torch's own make_dual
def test_forward_mode_still_says_what_it_lacks(calls):
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="no forward-mode derivatives"):
        layer(GRU)(forward_ad.make_dual(torch.randn(1, C, 6, 9), torch.ones(1, C, 6, 9)))
    assert not calls


@pytest.mark.parametrize("cell", [GRU, LSTM])
@pytest.mark.parametrize(
    ("channels", "initial"), [(C + 1, None), (C, torch.zeros(1, 7, H)), (C, torch.zeros(1, 6, H + 1))]
)
def test_what_does_not_fit_is_refused_as_in_a_single_call(cell, channels, initial, calls):
    state = None if initial is None else [(initial, initial) if cell is LSTM else initial]
    with pytest.raises(ValueError, match="give"):
        layer(cell, (rows,))(torch.randn(1, channels, 6, 9), state)
    assert not calls


def test_compiles_to_one_graph():
    sweeps, x = layer(MinGRU), torch.randn(1, C, 6, 9)
    compiled = torch.compile(sweeps, fullgraph=True, backend="eager")
    assert_close(compiled(x)[0], sweeps(x)[0], "compiled")
