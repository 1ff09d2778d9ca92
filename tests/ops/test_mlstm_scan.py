"""mlstm_scan: its contract, the backends across chunks, worked by hand, and faults that the contract must catch."""

from dataclasses import replace

import pytest
import torch
from ops import contract
from ops.oracle import by_time, random, times
from tolerances import assert_close

from sweepseg.ops import mlstm_scan
from sweepseg.ops.mlstm_scan import BACKENDS
from sweepseg.ops.mlstm_scan._chunked import LENGTH

HEADS, K, V = 2, 3, 2


def oracle(q, k, v, input_gate, forget_gate, initial, reverse=False):
    """Beck et al. 2024, equations 19 to 27 without a stabiliser, one head after the other, in the memory proper."""
    (C0, n0, m0), outputs = initial, []
    finals = []
    for head in range(HEADS):
        C = C0[..., head, :, :] * torch.exp(m0[..., head, None, None])
        n, m, h = n0[..., head, :] * torch.exp(m0[..., head, None]), m0[..., head], {}
        for t in times(v.shape[-2], reverse):
            q_t, k_t = (each[..., t, head * K : (head + 1) * K] for each in (q, k))
            v_t = v[..., t, head * V : (head + 1) * V]
            i, f = torch.exp(input_gate[..., t, head]), 1 / (1 + torch.exp(-forget_gate[..., t, head]))
            C = f[..., None, None] * C + i[..., None, None] * torch.einsum("...k,...v->...kv", k_t, v_t)
            n = f[..., None] * n + i[..., None] * k_t
            h[t] = torch.einsum("...kv,...k->...v", C, q_t) / (n * q_t).sum(-1, True).abs().clamp_min(1)
            m = torch.maximum(torch.maximum(f.log() + m, i.log()), torch.zeros_like(m))
        outputs.append(by_time(h))
        finals.append((C * torch.exp(-m[..., None, None]), n * torch.exp(-m[..., None]), m))
    return torch.cat(outputs, -1), tuple(torch.stack(state, len(q.shape) - 2) for state in zip(*finals, strict=True))


def make(batch, steps):
    return {
        "q": random(*batch, steps, HEADS * K),
        "k": random(*batch, steps, HEADS * K),
        "v": random(*batch, steps, HEADS * V),
        "input_gate": random(*batch, steps, HEADS) - 1,
        "forget_gate": random(*batch, steps, HEADS) + 1,
        "initial": (random(*batch, HEADS, K, V), random(*batch, HEADS, K), random(*batch, HEADS)),
    }


SEQUENCES = ("q", "k", "v", "input_gate", "forget_gate")
CASE = contract.Case("mlstm", mlstm_scan, oracle, make, sequences=SEQUENCES)


@pytest.mark.parametrize("promise", contract.promises([CASE], BACKENDS))
def test_contract(promise):
    promise()


@pytest.mark.parametrize("steps", [LENGTH - 1, LENGTH, LENGTH + 1, 2 * LENGTH + 7])
@pytest.mark.parametrize("reverse", [False, True])
def test_values_and_gradients_across_chunks(steps, reverse):
    arguments = make((2,), steps)
    actual = contract.evaluate(lambda **inputs: mlstm_scan(**inputs, reverse=reverse, backend="chunked"), arguments)
    exact = contract.evaluate(lambda **inputs: oracle(**inputs, reverse=reverse), arguments)
    contract.assert_all_close(actual, exact)


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
def test_worked_by_hand(backend):
    """f = 1/2, i = 1, then 3: C = 4, then 2 + 3 * 10 = 32; n = 1, then 3.5; h = 4 / 1, then 2 * 32 / 7."""
    output, (C, n, m) = mlstm_scan(
        q=torch.tensor([[[1.0], [2.0]]]),
        k=torch.ones(1, 2, 1),
        v=torch.tensor([[[4.0], [10.0]]]),
        input_gate=torch.tensor([[[1.0], [3.0]]]).log(),
        forget_gate=torch.zeros(1, 2, 1),
        backend=backend,
    )
    torch.testing.assert_close(output.flatten(), torch.tensor([4.0, 64 / 7]))
    torch.testing.assert_close(m.exp().flatten(), torch.tensor([3.0]))
    torch.testing.assert_close(torch.cat((C.flatten(), n.flatten())) * 3, torch.tensor([32.0, 3.5]))


@pytest.mark.parametrize("steps", contract.LONG)
@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
def test_long_sequences_stay_exact(backend, steps):
    arguments = {name: value for name, value in make((1,), steps).items() if name != "initial"}
    narrow = {name: value.float() for name, value in arguments.items()}
    zeros = (torch.zeros(1, HEADS, K, V), torch.zeros(1, HEADS, K), torch.zeros(1, HEADS))
    output, _ = mlstm_scan(**narrow, backend=backend)
    exact, _ = oracle(**{name: value.double() for name, value in narrow.items()}, initial=[z.double() for z in zeros])
    assert (output - exact).abs().max() <= 1e-5 * exact.abs().max()


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
@pytest.mark.parametrize("gates", [(-1e4, 1e4), (1e4, -1e4), (1e4, 1e4), (-1e4, -1e4), (100, -100)], ids=str)
def test_extreme_gates_stay_finite(backend, gates):
    """exp(100) already overflows float32; no gate may bring NaN into values or gradients."""
    arguments = {name: value.float() for name, value in make((2,), 100).items() if name != "initial"}
    arguments["input_gate"][:, ::3], arguments["forget_gate"][:, ::2] = gates
    results = contract.evaluate(lambda **inputs: mlstm_scan(**inputs, backend=backend), arguments)
    assert all(result.isfinite().all() for result in results.values())


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
def test_a_step_that_forgets_all_costs_no_accuracy(backend):
    """Sums of log f after a -1e4 in the same chunk keep their digits."""
    narrow = {name: value.float() for name, value in make((2,), LENGTH).items() if name != "initial"}
    narrow["forget_gate"][:, 5] = -1e4
    exact, _ = mlstm_scan(**{name: value.double() for name, value in narrow.items()}, backend="reference")
    assert_close(mlstm_scan(**narrow, backend=backend)[0], exact, "output")


def faulty(**changes):
    def fault(**arguments):
        changed = {name: change(arguments) for name, change in changes.items()}
        return mlstm_scan(**arguments | changed)

    return fault


def loses(state):
    def change(given):
        return [0 * value if name == state else value for name, value in zip("Cnm", given["initial"], strict=True)]

    return change


@pytest.mark.parametrize("backend", ["chunked", "reference"])
@pytest.mark.parametrize(
    ("fault", "promise"),
    [
        (faulty(q=lambda given: given["k"], k=lambda given: given["q"]), "float64"),
        (faulty(k=lambda given: given["k"] / K**0.5), "float32"),
        (faulty(input_gate=lambda given: given["input_gate"].roll(1, -2)), "float64"),
        (faulty(forget_gate=lambda given: given["forget_gate"].roll(1, -2)), "split_is_whole"),
        (faulty(forget_gate=lambda given: given["forget_gate"].flip(-1)), "bfloat16"),
        (faulty(initial=loses("C")), "split_is_whole"),
        (faulty(initial=loses("n")), "split_is_whole"),
        (faulty(initial=loses("m")), "split_is_whole"),
        (faulty(v=lambda given: given["v"].detach() + 0 * given["v"]), "gradcheck"),
        (faulty(reverse=lambda given: False), "reverse_is_flip"),
    ],
)
def test_contract_catches(fault, promise, backend):
    with pytest.raises((AssertionError, RuntimeError)):
        contract.PROMISES[promise](contract.Subject(replace(CASE, op=fault), backend, "cpu"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"v": torch.ones(4, 6)}, r"sequence of shape \(4, 6\)"),
        ({"q": torch.ones(2, 4, 3)}, "3 channels of q and 6 of v for 2 heads"),
        ({"k": torch.ones(2, 4, 6)}, r"k has shape \(2, 4, 6\); give \(2, 4, 4\)"),
        ({"forget_gate": torch.ones(2, 4, 1)}, r"forget_gate has shape \(2, 4, 1\); give \(2, 4, 2\)"),
        (
            {"initial": (torch.ones(2, 2, 2, 3), torch.ones(2, 2, 3), torch.ones(2, 2))},
            r"initial n has shape \(2, 2, 3\); give \(2, 2, 2\)",
        ),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    arguments = {"q": torch.ones(2, 4, 4), "k": torch.ones(2, 4, 4), "v": torch.ones(2, 4, 6)}
    arguments |= {"input_gate": torch.ones(2, 4, 2), "forget_gate": torch.ones(2, 4, 2)}
    with pytest.raises(ValueError, match=message):
        mlstm_scan(**arguments | changed)
