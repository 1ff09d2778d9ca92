"""selective_scan: its contract, sums worked by hand, and faults that the contract must catch."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from ops import contract
from ops.oracle import by_time, random, times

from sweepseg.ops import selective_scan
from sweepseg.ops.selective_scan import BACKENDS

CHANNELS, N = 3, 4


def oracle(x, delta, A, B, C, initial, reverse, D=0):
    """Gu & Dao 2023, algorithm 2 and equations 2 and 4, one state n after the other."""
    h, outputs = list(initial.unbind(-1)), {}
    for t in times(x.shape[-2], reverse):
        y = D * x[..., t, :]
        for n in range(len(h)):
            A_bar = torch.exp(delta[..., t, :] * A[:, n])
            B_bar = delta[..., t, :] * B[..., t, n, None]
            h[n] = A_bar * h[n] + B_bar * x[..., t, :]
            y = y + C[..., t, n, None] * h[n]
        outputs[t] = y
    return by_time(outputs), torch.stack(h, -1)


def make(batch, steps, channels=CHANNELS, n=N):
    return {
        "x": random(*batch, steps, channels),
        "delta": torch.rand(*batch, steps, channels, dtype=torch.float64),
        "A": -torch.rand(channels, n, dtype=torch.float64) - 0.1,
        "B": random(*batch, steps, n),
        "C": random(*batch, steps, n),
        "initial": random(*batch, channels, n),
    }


def make_with_skip(batch, steps, channels=CHANNELS, n=N):
    return make(batch, steps, channels, n) | {"D": random(channels)}


SEQUENCES = ("x", "delta", "B", "C")
PLAIN = contract.Case("selective", selective_scan, oracle, make, sequences=SEQUENCES)
SKIP = replace(PLAIN, name="with D", make=make_with_skip)


@pytest.mark.parametrize("promise", contract.promises([PLAIN, SKIP], BACKENDS))
def test_contract(promise):
    promise()


every_backend = pytest.mark.parametrize(
    "backend", [subject.backend for subject in contract.subjects([PLAIN], BACKENDS)]
)


@every_backend
@pytest.mark.parametrize("reverse", [False, True])
def test_many_channels_states_steps_and_sequences(reverse, backend):
    """More than kernels take at once of each, and a rest."""
    arguments = make_with_skip((3, 7), 37, channels=71, n=5)
    actual = contract.evaluate(partial(selective_scan, reverse=reverse, backend=backend), arguments)
    contract.assert_all_close(actual, contract.evaluate(partial(oracle, reverse=reverse), arguments))


def test_worked_by_hand():
    """A = -ln 2 and delta = 1, 2: the state halves, then quarters; 1 * 3 * 5 = 15; 15 / 4 + 2 * 1 * 4 = 11.75."""
    output, final = selective_scan(
        x=torch.tensor([[[5.0], [4.0]]]),
        delta=torch.tensor([[[1.0], [2.0]]]),
        A=-torch.tensor([[2.0]]).log(),
        B=torch.tensor([[[3.0], [1.0]]]),
        C=torch.tensor([[[2.0], [4.0]]]),
        D=torch.tensor([10.0]),
    )
    torch.testing.assert_close(final.flatten(), torch.tensor([11.75]))
    torch.testing.assert_close(output.flatten(), torch.tensor([2 * 15.0 + 50, 4 * 11.75 + 40]))


def test_constant_parameters_are_a_convolution():
    """Without selection the model is linear and time-invariant: y = x * K, K[s] = sum C exp(s delta A) delta B."""
    T, delta, A, B, C = 40, 0.3, -torch.rand(1, N).double(), random(N), random(N)
    x = random(1, T, 1)
    kernel = (C * torch.exp(torch.arange(T).double()[:, None] * delta * A) * delta * B).sum(-1)
    expected = [sum(kernel[s] * x[0, t - s, 0] for s in range(t + 1)) for t in range(T)]
    output, _ = selective_scan(x, torch.full_like(x, delta), A, B.expand(1, T, N), C.expand(1, T, N))
    torch.testing.assert_close(output.flatten(), torch.stack(expected))


@pytest.mark.parametrize("steps", contract.LONG)
@every_backend
def test_long_sequences_stay_exact(backend, steps):
    arguments = {name: value.float() for name, value in make_with_skip((2,), steps).items()}
    output, _ = selective_scan(**arguments, backend=backend)
    exact, _ = oracle(**{name: value.double() for name, value in arguments.items()}, reverse=False)
    assert (output - exact).abs().max() <= 1e-6 * exact.abs().max()


@every_backend
def test_huge_steps_forget_everything(backend):
    """Where exp(delta A) underflows, and delta itself is near the end of its range, all stays finite."""
    arguments = make((2,), 5)
    arguments |= {"delta": arguments["delta"] * 1e30, "A": arguments["A"] * 1e30, "B": arguments["B"] * 1e-30}
    results = contract.evaluate(lambda **inputs: selective_scan(**inputs, backend=backend), arguments)
    assert all(result.isfinite().all() for result in results.values())


@every_backend
def test_rates_above_zero_and_nan(backend):
    """Decays that grow out of range end in infinity or NaN, never in a number; a NaN stays in its channel."""
    ones, A = torch.ones(1, 4, 3), torch.tensor([[-1.0, -2], [99.0, -1], [-torch.nan, -1]])
    B = C = torch.ones(1, 4, 2)
    output, _ = selective_scan(ones, ones, A, B, C, backend=backend)
    assert output.isfinite().all(1).tolist() == [[True, False, False]]
    assert output[..., 2].isnan().all()


def faulty(**changes):
    def fault(**arguments):
        changed = {name: change(arguments) for name, change in changes.items()}
        return selective_scan(**arguments | changed)

    return fault


@pytest.mark.parametrize(
    ("fault", "case", "promise"),
    [
        (faulty(D=lambda given: None), SKIP, "float64"),
        (faulty(D=lambda given: given["D"].flip(0)), SKIP, "float32"),
        (faulty(B=lambda given: given["C"], C=lambda given: given["B"]), PLAIN, "float64"),
        (faulty(A=lambda given: 1.01 * given["A"]), PLAIN, "bfloat16"),
        (faulty(B=lambda given: given["B"].roll(1, -2)), PLAIN, "float32"),
        (faulty(B=lambda given: given["B"].roll(1, -2)), PLAIN, "split_is_whole"),
        (faulty(initial=lambda given: 0 * given["initial"]), PLAIN, "split_is_whole"),
        (faulty(delta=lambda given: given["delta"].detach() + 0 * given["delta"]), PLAIN, "gradcheck"),
        (faulty(reverse=lambda given: False), PLAIN, "reverse_is_flip"),
    ],
)
def test_contract_catches(fault, case, promise):
    with pytest.raises((AssertionError, RuntimeError)):
        contract.PROMISES[promise](contract.Subject(replace(case, op=fault), "reference", "cpu"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": torch.ones(5, 3)}, r"sequence of shape \(5, 3\)"),
        ({"delta": torch.ones(2, 5, 1)}, r"delta has shape \(2, 5, 1\); give \(2, 5, 3\)"),
        ({"A": torch.ones(4, 3)}, r"A has shape \(4, 3\); give \(3, 3\)"),
        ({"B": torch.ones(2, 5, 3)}, r"B has shape \(2, 5, 3\); give \(2, 5, 4\)"),
        ({"C": torch.ones(5, 4)}, r"C has shape \(5, 4\); give \(2, 5, 4\)"),
        ({"D": torch.ones(1)}, r"D has shape \(1,\); give \(3,\)"),
        ({"initial": torch.ones(2, 3)}, r"initial has shape \(2, 3\); give \(2, 3, 4\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    arguments = {name: torch.ones(2, 5, 3) for name in ("x", "delta")} | {"A": torch.ones(3, 4)}
    arguments |= {name: torch.ones(2, 5, 4) for name in ("B", "C")}
    with pytest.raises(ValueError, match=message):
        selective_scan(**arguments | changed)
