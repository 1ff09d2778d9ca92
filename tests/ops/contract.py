"""What every operation keeps on every backend. Each tests/ops/test_<op>.py runs its cases through `promises`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import pytest
import torch
from tolerances import assert_close
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map

from sweepseg.ops._dispatch import Backend
from sweepseg.ops._triton import INTERPRETED

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """An operation with some of its options.

    Args:
        name: Its name among the test ids.
        op: The operation.
        oracle: The same function of float64 tensors, without ``backend``: a slow loop written from the paper.
        make: (batch shape, steps) -> float64 tensor arguments, among them ``initial``.
        options: Arguments that are not tensors.
        sequences: Names of the arguments (*batch, T, C).
    """

    name: str
    op: Callable[..., Any]
    oracle: Callable[..., Any]
    make: Callable[[tuple[int, ...], int], Arguments]
    options: Arguments = field(default_factory=dict)
    sequences: tuple[str, ...] = ("x",)


@dataclass(frozen=True)
class Subject:
    """A case on a backend and a device: what a promise is about."""

    case: Case
    backend: str | None
    device: str

    def inputs(self, batch: tuple[int, ...], steps: int, dtype: torch.dtype = torch.float64) -> Arguments:
        return tree_map(lambda tensor: tensor.to(self.device, dtype), self.case.make(batch, steps))

    def run(self, reverse: bool = False, **inputs: Any) -> Any:
        return self.case.op(**inputs, **self.case.options, reverse=reverse, backend=self.backend)

    def oracle(self, reverse: bool = False, **inputs: Any) -> Any:
        return self.case.oracle(**inputs, **self.case.options, reverse=reverse)

    def inputs_and_exact(
        self, batch: tuple[int, ...], steps: int, dtype: torch.dtype, reverse: bool = False
    ) -> tuple[Arguments, dict[str, Tensor]]:
        """Inputs in a dtype and what the oracle makes of them, which all backends share."""
        case = self.case
        known = _inputs_and_exact(case.oracle, case.make, tuple(case.options.items()), batch, steps, dtype, reverse)
        inputs, exact = tree_map(lambda tensor: tensor.to(self.device), known)
        return inputs, exact


def evaluate(function: Callable[..., Any], inputs: Arguments) -> dict[str, Tensor]:
    """The output, the final states and the gradient of every input, by name; of an output and states that all count."""
    inputs = tree_map(lambda tensor: tensor.detach().requires_grad_(), inputs)
    output, final = function(**inputs)
    results = [output, *tree_leaves(final)]
    generator = torch.Generator().manual_seed(1)
    cotangents = [  # small integers: exact in every dtype
        torch.randint(-3, 4, result.shape, generator=generator).to(result) for result in results
    ]
    gradients = torch.autograd.grad(results, tree_leaves(inputs), cotangents)
    names = [name for name, value in inputs.items() for _ in tree_leaves(value)]
    named = {
        f"gradient {i} of {name}": gradient for i, (name, gradient) in enumerate(zip(names, gradients, strict=True))
    }
    return {"output": output, **{f"final {i}": state for i, state in enumerate(results[1:])}, **named}


@cache  # an oracle takes longer than most backends
def _inputs_and_exact(
    oracle: Callable[..., Any],
    make: Callable[[tuple[int, ...], int], Arguments],
    options: tuple[tuple[str, Any], ...],
    batch: tuple[int, ...],
    steps: int,
    dtype: torch.dtype,
    reverse: bool,
) -> tuple[Arguments, dict[str, Tensor]]:
    torch.manual_seed(0)  # the same whichever test comes first
    inputs = tree_map(lambda tensor: tensor.to(dtype), make(batch, steps))
    return inputs, evaluate(partial(oracle, **dict(options), reverse=reverse), tree_map(Tensor.double, inputs))


def assert_all_close(actual: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> None:
    assert actual.keys() == exact.keys()
    for name in actual:
        assert_close(actual[name], exact[name], name)


def values_and_gradients(subject: Subject, dtype: torch.dtype) -> None:
    for batch, steps in (((1,), 1), ((3,), 7), ((2, 3), 5)):
        for reverse in (False, True):
            inputs, exact = subject.inputs_and_exact(batch, steps, dtype, reverse)
            assert_all_close(evaluate(partial(subject.run, reverse=reverse), inputs), exact)


def long_and_narrow(subject: Subject, dtype: torch.dtype) -> None:
    """In half precision the state stays wide: after 200 steps only the result's own rounding shows."""
    inputs, exact = subject.inputs_and_exact((2,), 200, dtype)
    actual = evaluate(subject.run, inputs)
    assert actual["output"].dtype == dtype
    assert {actual[name].dtype for name in actual if name.startswith("final")} == {torch.float32}
    assert_all_close(actual, exact)


def autocast_does_not_narrow(subject: Subject) -> None:
    inputs = subject.inputs((2,), 9, torch.float32)
    expected = evaluate(subject.run, inputs)
    actual = evaluate(torch.autocast(subject.device, dtype=torch.bfloat16)(subject.run), inputs)
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


def split_is_whole(subject: Subject) -> None:
    """Carrying the state over a cut changes neither values nor gradients, wherever the cut lies."""
    inputs, steps = subject.inputs((2, 2), 4), 4

    def in_two(cut: int, reverse: bool, **inputs: Any) -> Any:
        early, late = (
            inputs | {name: inputs[name][..., part, :] for name in subject.case.sequences}
            for part in (slice(None, cut), slice(cut, None))
        )
        first, second = (late, early) if reverse else (early, late)
        first_output, state = subject.run(reverse=reverse, **first)
        second_output, state = subject.run(reverse=reverse, **second | {"initial": state})
        return torch.cat((second_output, first_output) if reverse else (first_output, second_output), dim=-2), state

    for reverse in (False, True):
        whole = evaluate(partial(subject.run, reverse=reverse), inputs)
        for cut in range(1, steps):
            assert_all_close(evaluate(partial(in_two, cut, reverse), inputs), whole)


def reverse_is_flip(subject: Subject) -> None:
    inputs = subject.inputs((2,), 6)
    flipped = inputs | {name: inputs[name].flip(-2) for name in subject.case.sequences}
    output, final = subject.run(**flipped)
    reversed_output, reversed_final = subject.run(**inputs, reverse=True)
    assert_close(reversed_output, output.flip(-2), "output")
    for state, expected in zip(tree_leaves(reversed_final), tree_leaves(final), strict=True):
        assert_close(state, expected, "final")


def no_initial_is_zeros(subject: Subject) -> None:
    inputs = subject.inputs((2,), 3)
    zeros = evaluate(subject.run, inputs | {"initial": tree_map(torch.zeros_like, inputs["initial"])})
    del inputs["initial"]
    without = evaluate(subject.run, inputs)
    assert_all_close(
        {name: value for name, value in without.items() if "gradient" not in name},
        {name: zeros[name] for name in zeros if "gradient" not in name},
    )


def any_strides(subject: Subject) -> None:
    """Views give what their copies give, and a view of a dense map comes back as the same view of a dense map."""
    inputs = subject.inputs((2, 3), 4)
    expected = evaluate(subject.run, inputs)

    def relaid(function: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        return evaluate(subject.run, inputs | {name: function(inputs[name]) for name in subject.case.sequences})

    for order in ((0, 2, 1, 3), (1, 0, 2, 3), (2, 1, 0, 3), (0, 3, 1, 2)):  # logical dimension at each place in memory
        undo = [order.index(dim) for dim in range(4)]
        actual = relaid(lambda x, order=order, undo=undo: x.permute(order).contiguous().permute(undo))
        assert actual["output"].permute(order).is_contiguous(), f"memory order {order} was lost"
        assert_all_close(actual, expected)

    def every_second(x: Tensor) -> Tensor:
        gaps = torch.full([2 * size for size in x.shape], torch.nan, dtype=x.dtype, device=x.device)
        gaps[::2, ::2, ::2, ::2] = x
        return gaps[::2, ::2, ::2, ::2]

    assert_all_close(relaid(every_second), expected)
    for name in subject.case.sequences:
        inputs[name] = inputs[name][:1].contiguous()
    broadcast = relaid(lambda x: x.expand(2, -1, -1, -1))
    assert_all_close(broadcast, relaid(lambda x: x.repeat(2, 1, 1, 1)))


def inputs_are_kept(subject: Subject) -> None:
    inputs = subject.inputs((2,), 3)
    before = tree_map(Tensor.clone, inputs)
    evaluate(subject.run, inputs)
    assert all(map(torch.equal, tree_leaves(inputs), tree_leaves(before)))


def on_threads(count: int, function: Callable[..., Any], inputs: Arguments) -> dict[str, Tensor]:
    """`evaluate` on a number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return evaluate(function, inputs)
    finally:
        torch.set_num_threads(before)


def assert_same_bits(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> None:
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def threads_change_no_bit(subject: Subject) -> None:
    """In a batch so large that the threads share it; torch's own operations share small ones too."""
    inputs = subject.inputs((64, 64) if subject.backend == "cpu" else (8, 8), 8, torch.float32)
    assert_same_bits(on_threads(1, subject.run, inputs), on_threads(2, subject.run, inputs))


def companions_change_no_bit(subject: Subject) -> None:
    """What comes out for a sequence does not depend on the others in a batch of the same shape."""
    batch = (3, 7)  # more than the 16 that a vector holds
    kept = torch.arange(21, device=subject.device).view(batch) % 3 == 0
    inputs, others = (subject.inputs(batch, 5, torch.float32) for _ in range(2))

    def with_others(mine: Tensor, other: Tensor) -> Tensor:
        if mine.shape[:2] != batch:
            return mine
        return torch.where(kept.view(*batch, *[1] * (mine.ndim - 2)), mine, other)

    one, two = evaluate(subject.run, inputs), evaluate(subject.run, tree_map(with_others, inputs, others))
    one, two = ({name: each[name][kept] for name in each if each[name].shape[:2] == batch} for each in (one, two))
    assert "output" in one
    assert_same_bits(one, two)


def empty_batch(subject: Subject) -> None:
    results = evaluate(subject.run, subject.inputs((0,), 3))
    expected = evaluate(subject.oracle, subject.inputs((2,), 3))
    for name, result in results.items():
        batched = name == "output" or name.startswith("final")
        assert not batched or result.shape == (0, *expected[name].shape[1:]), name
        assert result.isfinite().all(), name


def no_step_is_refused(subject: Subject) -> None:
    with pytest.raises(ValueError, match="0 steps"):
        subject.run(**subject.inputs((2,), 0))


def gradcheck(subject: Subject) -> None:
    leaves, structure = tree_flatten(subject.inputs((1, 2), 3))
    leaves = [leaf.requires_grad_() for leaf in leaves]

    def function(*leaves: Tensor) -> list[Tensor]:
        return tree_leaves(subject.run(**structure.unflatten(leaves)))

    assert torch.autograd.gradcheck(function, leaves, eps=1e-6, atol=1e-5, rtol=1e-3, fast_mode=True)


def one_graph(subject: Subject) -> None:
    """torch.compile captures forward and backward without a break, and the graph computes the same."""
    inputs = subject.inputs((2,), 2)
    torch.compiler.reset()
    backend = "eager" if subject.backend == "reference" else "aot_eager"  # which traces operations of ours on
    compiled = torch.compile(subject.run, fullgraph=True, backend=backend, dynamic=False)
    assert_all_close(evaluate(compiled, inputs), evaluate(subject.run, inputs))


def exports(subject: Subject) -> None:
    class Module(torch.nn.Module):
        def forward(self, inputs: Arguments) -> Any:
            return subject.run(**inputs)

    inputs = subject.inputs((2,), 2)
    program = torch.export.export(Module(), (inputs,), strict=False)
    actual, expected = tree_leaves(program.module()(inputs)), tree_leaves(subject.run(**inputs))
    for result, exact in zip(actual, expected, strict=True):
        assert_close(result, exact, "exported")


class _Recorder(TorchDispatchMode):
    """Keeps the calls of the package's own torch.library operations."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, tuple[Any, tuple, dict]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "sweepseg":
            self.calls.setdefault(str(func), (func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def library_calls(subject: Subject) -> dict[str, tuple[Any, tuple, dict]]:
    """One call, as (op, args, kwargs), of each torch.library operation of ours that the backend runs, both ways."""
    inputs = tree_map(Tensor.requires_grad_, subject.inputs((2,), 3))
    with _Recorder() as recorder:
        sum(result.sum() for result in tree_leaves(subject.run(**inputs))).backward()
    return recorder.calls


def opcheck(op: Any, args: tuple, kwargs: dict) -> None:
    differentiable = "_backward" not in str(op)  # kernels have first derivatives only

    def as_leaf(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.detach().clone().requires_grad_(differentiable)
        return value

    tests = ["test_schema", "test_autograd_registration", "test_faketensor"]
    if differentiable:
        tests.append("test_aot_dispatch_dynamic")  # it traces the backward operation with it
    torch.library.opcheck(op, tree_map(as_leaf, args), tree_map(as_leaf, kwargs), test_utils=tests)


def large_maps(case: Case) -> None:
    """Rows and columns of maps larger than the caches, which kernels may walk in another way, on 1 and 2 threads."""
    subject = Subject(case, None, "cpu")
    inputs = subject.inputs((2, 96), 96, torch.float32)
    for reverse in (False, True):
        run = partial(subject.run, reverse=reverse)
        exact = evaluate(partial(subject.oracle, reverse=reverse), tree_map(Tensor.double, inputs))
        for order in ((0, 1, 2, 3), (0, 2, 1, 3)):
            views = {name: inputs[name].permute(order).contiguous().permute(order) for name in case.sequences}
            one = on_threads(1, run, inputs | views)
            assert_all_close(one, exact)
            assert_same_bits(one, on_threads(2, run, inputs | views))


PROMISES: dict[str, Callable[[Subject], None]] = {
    "float64": partial(values_and_gradients, dtype=torch.float64),
    "float32": partial(values_and_gradients, dtype=torch.float32),
    "bfloat16": partial(long_and_narrow, dtype=torch.bfloat16),
    "float16": partial(long_and_narrow, dtype=torch.float16),
    **{
        promise.__name__: promise
        for promise in (
            autocast_does_not_narrow,
            split_is_whole,
            reverse_is_flip,
            no_initial_is_zeros,
            any_strides,
            inputs_are_kept,
            threads_change_no_bit,
            companions_change_no_bit,
            empty_batch,
            no_step_is_refused,
            gradcheck,
            one_graph,
            exports,
        )
    },
}


def subjects(cases: list[Case], backends: Mapping[str, Backend]) -> Iterator[Subject]:
    """Every case on every backend on every device of this machine that it runs on."""
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for name, backend in backends.items():
        for device in devices:
            if backend.refusal(torch.device(device)) is None:
                yield from (Subject(case, name, device) for case in cases)


def on_cpu(backends: Mapping[str, Backend]) -> list[str]:
    """Names of the backends that run on the CPU of this machine, each implementation once."""
    able = [name for name, backend in backends.items() if backend.refusal(torch.device("cpu")) is None]
    return [name for name in able if not (INTERPRETED and "triton" in able and name == "cpu")]


def promises(cases: list[Case], backends: Mapping[str, Backend]) -> list[Any]:
    """Parameters for pytest: every promise about every subject, as a function without arguments.

    A backend that calls torch.library operations of ours has each of them checked by opcheck too.
    """
    parameters = []
    for subject in subjects(cases, backends):
        label = f"{subject.case.name}-{subject.backend}-{subject.device}"
        for name, promise in PROMISES.items():
            parameters.append(pytest.param(partial(promise, subject), id=f"{label}-{name}"))
        calls = library_calls(subject)
        for name, call in calls.items():
            parameters.append(pytest.param(partial(opcheck, *call), id=f"{label}-opcheck-{name}"))
    return parameters


LONG = [1024, pytest.param(16_384, marks=pytest.mark.slow)]  # steps of sequences that are to stay exact
