"""What every cell keeps, for every cell of the table."""

from functools import partial

import pytest
import torch
from tolerances import assert_close
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from sweepseg.cells import CELLS, GRU, MinGRU

C, H = 3, 5
VARIANTS = {"": {}, " unbiased": {"bias": False}, " normalised": {"layer_norm": True}}
MAKERS = {
    f"{name}{variant}": partial(cell, C, H, **options)
    for name, cell in CELLS.items()
    for variant, options in VARIANTS.items()
}


def assert_all_close(actual, expected):
    for result, exact in zip(tree_leaves(actual), tree_leaves(expected), strict=True):
        assert_close(result, exact, "result")


def shapes_and_dtypes(make):
    x = torch.randn(2, 4, C)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        output, state = make().to(dtype)(x.to(dtype))
        assert output.shape == (2, 4, H) and output.dtype == dtype
        for leaf in tree_leaves(state):
            assert leaf.shape[0] == 2
            assert leaf.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def autocast(make):
    cell, x = make(), torch.randn(2, 9, C)
    expected, _ = cell(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, state = cell(x)
    assert {leaf.dtype for leaf in (output, *tree_leaves(state))} == {torch.float32}
    torch.testing.assert_close(output, expected, rtol=0.05, atol=0.05)


def split_is_whole(make):
    cell, x = make().double(), torch.randn(2, 6, C).double()
    for reverse in (False, True):
        whole = cell(x, None, reverse)
        for cut in range(1, 6):
            parts = (x[:, cut:], x[:, :cut]) if reverse else (x[:, :cut], x[:, cut:])
            first, state = cell(parts[0], None, reverse)
            second, state = cell(parts[1], state, reverse)
            assert_all_close((torch.cat((second, first) if reverse else (first, second), 1), state), whole)


def reverse_is_flip(make):
    cell, x = make().double(), torch.randn(2, 6, C).double()
    output, state = cell(x.flip(1))
    assert_all_close(cell(x, reverse=True), (output.flip(1), state))


def samples_are_independent(make):
    """Bitwise at a fixed batch shape, and nothing but rounding when a sample comes alone."""
    cell, x = make(), torch.randn(4, 6, C)
    output, _ = cell(x)
    others = torch.cat((x[:1], torch.randn(3, 6, C)))
    assert torch.equal(cell(others)[0][0], output[0])
    assert_close(cell(x[:1])[0], output[:1], "alone")


def two_batch_dimensions(make):
    cell, x = make().double(), torch.randn(2, 3, 6, C).double()
    output, state = cell(x.flatten(0, 1))
    unflatten = partial(tree_map, lambda leaf: leaf.unflatten(0, (2, 3)))
    assert_all_close(cell(x), unflatten((output, state)))


def channels_last_views_stay_views(make):
    """Rows and columns of a channels-last map come back as rows and columns of one."""
    image = torch.randn(2, C, 4, 7).contiguous(memory_format=torch.channels_last)
    for rows_or_columns in ((0, 2, 3, 1), (0, 3, 2, 1)):
        output, _ = make()(image.permute(rows_or_columns))
        back = output.permute([rows_or_columns.index(dim) for dim in range(4)])
        assert back.is_contiguous(memory_format=torch.channels_last)


def no_look_ahead(make):
    cell, x = make(), torch.randn(2, 6, C)
    changed = x.clone()
    changed[:, 3] += 1
    before, after = cell(x)[0], cell(changed)[0]
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.isclose(before[:, 3:], after[:, 3:]).all(-1).any()


def state_dict_round_trip(make):
    cell, other, x = make(), make(), torch.randn(2, 6, C)
    other.load_state_dict(cell.state_dict(), strict=True)
    assert torch.equal(other(x)[0], cell(x)[0])


def a_step_of_training_changes_every_parameter(make):
    cell = make()
    before = {name: parameter.clone() for name, parameter in cell.named_parameters()}
    output, _ = cell(torch.randn(4, 6, C))
    (output * torch.randn_like(output)).sum().backward()
    torch.optim.SGD(cell.parameters(), lr=10).step()
    for name, parameter in cell.named_parameters():
        changed = parameter != before[name]
        assert changed.all() or ("gain" in name and changed.any()), name


def empty_batch(make):
    output, state = make()(torch.randn(0, 6, C))
    assert output.shape == (0, 6, H)
    assert {leaf.shape[0] for leaf in tree_leaves(state)} == {0}


def no_step_is_refused(make):
    with pytest.raises(ValueError, match="0 steps"):
        make()(torch.randn(2, 0, C))


def one_graph(make):
    cell, x = make(), torch.randn(2, 3, C)
    torch.compiler.reset()
    compiled = torch.compile(cell, fullgraph=True, backend="eager")
    assert_all_close(compiled(x), cell(x))


PROMISES = [
    shapes_and_dtypes,
    autocast,
    split_is_whole,
    reverse_is_flip,
    samples_are_independent,
    two_batch_dimensions,
    channels_last_views_stay_views,
    no_look_ahead,
    state_dict_round_trip,
    a_step_of_training_changes_every_parameter,
    empty_batch,
    no_step_is_refused,
    one_graph,
]


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_contract(make, promise):
    promise(make)


@pytest.mark.parametrize(
    ("name", "recurrent"),
    [("elman", True), ("lstm", True), ("gru", True), ("mingru", False), ("minlstm", False)],
)
def test_parameter_names(name, recurrent):
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] if recurrent else ["weight_ih", "bias_ih"]
    assert [name for name, _ in CELLS[name](C, H).named_parameters()] == names


def test_a_part_of_a_model_loads_torch_names():
    theirs, model = nn.GRU(C, H), nn.Sequential(GRU(C, H))
    model.load_state_dict({f"0.{name}": value for name, value in theirs.state_dict().items()}, strict=True)
    assert all(map(torch.equal, model.parameters(), theirs.parameters()))


class LosesState(GRU):
    def forward(self, x, state=None, reverse=False):
        return super().forward(x, None, reverse)


class IgnoresReverse(MinGRU):
    def forward(self, x, state=None, reverse=False):
        return super().forward(x, state)


class MixesSamples(GRU):
    def forward(self, x, state=None, reverse=False):
        return super().forward(x - x.mean(0, keepdim=True), state, reverse)


class LooksAhead(GRU):
    def forward(self, x, state=None, reverse=False):
        return super().forward(x + x.roll(-1, -2), state, reverse)


class HasAnUnusedParameter(GRU):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.unused = nn.Parameter(torch.ones(1))

    def forward(self, x, state=None, reverse=False):
        output, state = super().forward(x, state, reverse)
        return output + 0 * self.unused, state


class KeepsSomethingOutOfTheStateDict(MinGRU):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.scale = torch.rand(1)

    def forward(self, x, state=None, reverse=False):
        output, state = super().forward(x, state, reverse)
        return output * self.scale.to(output.dtype), state


class CopiesTheLayout(GRU):
    def forward(self, x, state=None, reverse=False):
        return super().forward(x.contiguous(), state, reverse)


@pytest.mark.parametrize(
    ("fault", "promise"),
    [
        (LosesState, split_is_whole),
        (IgnoresReverse, reverse_is_flip),
        (IgnoresReverse, split_is_whole),
        (MixesSamples, samples_are_independent),
        (LooksAhead, no_look_ahead),
        (HasAnUnusedParameter, a_step_of_training_changes_every_parameter),
        (KeepsSomethingOutOfTheStateDict, state_dict_round_trip),
        (CopiesTheLayout, channels_last_views_stay_views),
    ],
)
def test_contract_catches(fault, promise):
    with pytest.raises(AssertionError):
        promise(partial(fault, C, H))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_large_inputs_give_no_nan_in_half_precision_however_many_steps(cell, dtype):
    cell, x = cell(4, 8).to(dtype), (100 * torch.randn(1, 65_536, 4)).to(dtype).requires_grad_()
    output, state = cell(x)
    output.float().clamp(-1e4, 1e4).mean().backward()  # float16 ends at 65,504
    gradients = x.grad, *(parameter.grad for parameter in cell.parameters() if parameter.grad is not None)
    assert not any(tensor.isnan().any() for tensor in (output, *tree_leaves(state), *gradients))
