"""gla_scan: its contract, the backends across chunks, worked by hand, and faults that the contract must catch."""

from dataclasses import replace

import pytest
import torch
from ops import contract
from ops.oracle import by_time, random, times
from tolerances import assert_close

from sweepseg.ops import gla_scan, linear_scan
from sweepseg.ops.gla_scan import BACKENDS
from sweepseg.ops.gla_scan._chunked import LENGTH

HEADS, K, V = 2, 3, 2


def oracle(q, k, v, log_decay, initial, heads, reverse=False):
    """Yang et al. 2023, equation 3, one head after the other."""
    outputs, finals = [], []
    for head in range(heads):
        S, o = initial[..., head, :, :], {}
        for t in times(v.shape[-2], reverse):
            q_t, k_t, alpha = (each[..., t, head * K : (head + 1) * K] for each in (q, k, torch.exp(log_decay)))
            v_t = v[..., t, head * V : (head + 1) * V]
            S = torch.diag_embed(alpha) @ S + torch.einsum("...k,...v->...kv", k_t, v_t)
            o[t] = torch.einsum("...kv,...k->...v", S, q_t)
        outputs.append(by_time(o))
        finals.append(S)
    return torch.cat(outputs, -1), torch.stack(finals, -3)


def make(batch, steps):
    return {
        "q": random(*batch, steps, HEADS * K),
        "k": random(*batch, steps, HEADS * K),
        "v": random(*batch, steps, HEADS * V),
        "log_decay": -torch.rand(*batch, steps, HEADS * K, dtype=torch.float64),
        "initial": random(*batch, HEADS, K, V),
    }


SEQUENCES = ("q", "k", "v", "log_decay")
CASE = contract.Case("gla", gla_scan, oracle, make, {"heads": HEADS}, SEQUENCES)


@pytest.mark.parametrize("promise", contract.promises([CASE], BACKENDS))
def test_contract(promise):
    promise()


@pytest.mark.parametrize("steps", [LENGTH - 1, LENGTH, LENGTH + 1, 2 * LENGTH + 7])
@pytest.mark.parametrize("reverse", [False, True])
def test_values_and_gradients_across_chunks(steps, reverse):
    options, arguments = {"heads": HEADS, "reverse": reverse}, make((2,), steps)
    actual = contract.evaluate(lambda **inputs: gla_scan(**inputs, **options, backend="chunked"), arguments)
    exact = contract.evaluate(lambda **inputs: oracle(**inputs, **options), arguments)
    contract.assert_all_close(actual, exact)


every_backend = pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))


@every_backend
def test_worked_by_hand(backend):
    """S = 3 * 5 = 15, then 15 / 4 + 2 * 1 = 5.75."""
    output, final = gla_scan(
        q=torch.tensor([[[2.0], [4.0]]]),
        k=torch.tensor([[[3.0], [2.0]]]),
        v=torch.tensor([[[5.0], [1.0]]]),
        log_decay=torch.tensor([[[0.5], [0.25]]]).log(),
        backend=backend,
    )
    torch.testing.assert_close(output.flatten(), torch.tensor([30.0, 23.0]))
    torch.testing.assert_close(final.flatten(), torch.tensor([5.75]))


@every_backend
def test_with_one_value_the_state_is_a_linear_scan(backend):
    given = make((2,), 40)
    del given["initial"]
    given["v"] = torch.ones(2, 40, 1).double()
    _, final = gla_scan(**given, backend=backend)
    _, expected = linear_scan(given["log_decay"].exp(), given["k"])
    assert_close(final[:, 0, :, 0], expected, "state")


@pytest.mark.parametrize("steps", contract.LONG)
@every_backend
def test_long_sequences_stay_exact(backend, steps):
    arguments = {name: value.float() for name, value in make((1,), steps).items()}
    arguments["log_decay"] *= 0.01
    output, _ = gla_scan(**arguments, heads=HEADS, backend=backend)
    exact, _ = oracle(**{name: value.double() for name, value in arguments.items()}, heads=HEADS)
    assert (output - exact).abs().max() <= 1e-6 * exact.abs().max()


@every_backend
@pytest.mark.parametrize("log_decay", [0.0, -20.0, -1e4, -3e38])
def test_extreme_decays_stay_finite_and_exact(log_decay, backend):
    """Where exp(-sum of log decays), which a factored form takes, overflows after a few steps."""
    arguments = {name: value.float() for name, value in make((2,), 50).items()}
    arguments["log_decay"][:, ::2] = log_decay
    actual = contract.evaluate(lambda **inputs: gla_scan(**inputs, heads=HEADS, backend=backend), arguments)
    wide = {name: value.double() for name, value in arguments.items()}
    contract.assert_all_close(actual, contract.evaluate(lambda **inputs: oracle(**inputs, heads=HEADS), wide))


@every_backend
def test_log_of_zero_forgets_everything(backend):
    given = make((2,), 20)
    given["log_decay"][:, 7] = -torch.inf
    output, final = gla_scan(**given, heads=HEADS, backend=backend)
    late = {name: given[name][:, 7:] for name in SEQUENCES}
    expected, expected_final = gla_scan(**late, heads=HEADS, backend=backend)
    assert_close(output[:, 7:], expected, "output")
    assert_close(final, expected_final, "final")


def faulty(**changes):
    def fault(**arguments):
        changed = {name: change(arguments) for name, change in changes.items()}
        return gla_scan(**arguments | changed)

    return fault


@pytest.mark.parametrize("backend", ["chunked", "reference"])
@pytest.mark.parametrize(
    ("fault", "promise"),
    [
        (faulty(q=lambda given: given["k"], k=lambda given: given["q"]), "float64"),
        (faulty(q=lambda given: given["q"] / K**0.5), "float32"),
        (faulty(log_decay=lambda given: given["log_decay"].roll(1, -2)), "split_is_whole"),
        (faulty(log_decay=lambda given: given["log_decay"].flip(-1)), "bfloat16"),
        (faulty(initial=lambda given: given["initial"].flip(-1)), "float64"),
        (faulty(initial=lambda given: 0 * given["initial"]), "split_is_whole"),
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
        ({"heads": 4}, "4 channels of q and 6 of v for 4 heads"),
        ({"heads": 0}, "for 0 heads"),
        ({"k": torch.ones(2, 4, 6)}, r"k has shape \(2, 4, 6\); give \(2, 4, 4\)"),
        ({"log_decay": torch.ones(2, 4, 2)}, r"log_decay has shape \(2, 4, 2\); give \(2, 4, 4\)"),
        ({"initial": torch.ones(2, 2, 3, 2)}, r"initial has shape \(2, 2, 3, 2\); give \(2, 2, 2, 3\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    arguments = {name: torch.zeros(2, 4, 4) for name in ("q", "k", "log_decay")}
    arguments |= {"v": torch.ones(2, 4, 6), "heads": 2}
    with pytest.raises(ValueError, match=message):
        gla_scan(**arguments | changed)
