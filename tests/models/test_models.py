"""What every model keeps, for every model of the table, and what a recurrent model keeps beside its control."""

import re
from functools import partial

import pytest
import torch
from stirring import stirred
from tolerances import assert_close
from torch import nn

from sweepseg.cells import CELLS
from sweepseg.inference.strips import StripRunner
from sweepseg.layers.blocks import count_parameters
from sweepseg.layers.stages import Local, StagedModel, Swept, dimensions_of
from sweepseg.models import CONTROLS, FAMILIES, MODELS, REFERRERS, SEGMENTERS, VOLUME_SEGMENTERS
from sweepseg.models.sweepnet import SIZES, SweepNet, sweepnet_small
from sweepseg.models.video import Timed, VideoModel
from sweepseg.orders import FOUR_WAYS


def new(build, *arguments):
    return stirred(build(*arguments))


DEPTH = 5  # of volumes


def images(model, batch, channels, *size):
    """Random images of this height and width, or volumes for a model that takes them."""
    return torch.randn(batch, channels, *(DEPTH,) * (dimensions_of(model) - 2), *size)


class Told(nn.Module):
    """A network that hears the same sentence, of unknown words, about every picture."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x, torch.ones(len(x), 3, dtype=torch.int64))


BUILDERS = {name: partial(new, build) for name, build in MODELS.items()}
BUILDERS |= {name: partial(new, lambda *given, build=build: Told(build(*given))) for name, build in REFERRERS.items()}


def exact_size(build):
    model = build(5, 3).eval()
    with torch.no_grad():
        for size in ((1, 1), (2, 3), (33, 50)):
            x = images(model, 1, 3, *size)
            logits = model(x)
            assert logits.shape == (1, 5, *x.shape[2:]) and logits.isfinite().all()


def any_channels_and_classes(build):
    for num_classes, in_channels in ((1, 1), (2, 13), (255, 4)):
        model = build(num_classes, in_channels).eval()
        x = images(model, 2, in_channels, 9, 7)
        with torch.no_grad():
            assert model(x).shape == (2, num_classes, *x.shape[2:])


def refuses_what_does_not_fit(build):
    for num_classes in (0, 256):
        with pytest.raises(ValueError, match=f"num_classes is {num_classes}; give 1 to 255"):
            build(num_classes)
    model = build(2, 3)
    axes = "D, H, W" if model.dimensions == 3 else "H, W"
    for x in (images(model, 1, 1, 9, 7), images(model, 1, 3, 9, 7)[..., 0], images(model, 1, 3, 9, 7)[..., None]):
        with pytest.raises(ValueError, match=rf"shape {re.escape(str(tuple(x.shape)))}; give \(B, 3, {axes}\)"):
            model(x)


def gradient_reaches_every_parameter(build):
    model = build(3, 3).train()
    if isinstance(model, VideoModel):  # whose weights on the state do nothing in a first frame
        logits, _ = model.run(torch.randn(1, 2, 3, 34, 50))
    else:
        logits = model(images(model, 2, 3, 34, 50))
    (logits * torch.randn_like(logits)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def state_dict_round_trip(build):
    model, other = build(3, 3).eval(), build(3, 3).eval()
    x = images(model, 1, 3, 20, 30)
    with torch.no_grad():
        assert not torch.equal(other(x), model(x))
        other.load_state_dict(model.state_dict(), strict=True)
        assert torch.equal(other(x), model(x))


def companions_do_not_matter(build):
    """Bitwise at a fixed batch shape, and nothing but rounding when a picture comes alone."""
    model = build(3, 3).eval()
    x = images(model, 4, 3, 20, 30)
    others = torch.cat((x[:1], 9 * images(model, 3, 3, 20, 30)))
    with torch.no_grad():
        logits = model(x)
        assert torch.equal(model(others)[0], logits[0])
        assert_close(model(x[:1]), logits[:1], "alone")


def deterministic(build):
    model = build(3, 3).eval()
    x = images(model, 1, 3, 20, 30)
    with torch.no_grad():
        assert torch.equal(model(x), model(x))


def one_graph(build):
    model = build(3, 3).eval()
    x = images(model, 1, 3, 9, 20)
    torch.compiler.reset()
    with torch.no_grad():
        assert_close(torch.compile(model, fullgraph=True, backend="eager")(x), model(x), "logits")


def local_stages_see_no_further_than_their_halo(build):
    model, channels = build(3, 3).eval(), {"image": 3}
    assert isinstance(model, StagedModel)
    across = (8,) * (model.dimensions - 1)

    def check(stage, maps, output):
        row = output.shape[2] // 2
        gradients = torch.autograd.grad(output[:, :, row].square().sum(), maps, allow_unused=False)
        for gradient in gradients:
            seen = gradient.abs().movedim(2, 0).flatten(1).sum(1).nonzero()
            first = row // stage.upscale * stage.stride
            assert seen.min() >= first - stage.halo
            assert seen.max() < first + stage.stride + stage.halo

    height = {"image": 16 * model.total_stride}
    for name, stage in model.stages.items():
        maps = [torch.randn(1, channels[i], height[i], *across).requires_grad_() for i in stage.inputs]
        if isinstance(stage, Local):
            output = stage(*maps)
            assert output.shape[2] * stage.stride == maps[0].shape[2] * stage.upscale
            check(stage, maps, output)
        else:
            output, _ = stage(*maps)
        channels[name], height[name] = output.shape[1], output.shape[2]


def strips_are_the_whole(build):
    """Where a model says that it can stream."""
    model = build(3, 3).eval()
    x = images(model, 1, 3, 150, 20)
    if not model.streamable:
        with pytest.raises(ValueError, match=r"need the whole picture|takes volumes, which are segmented whole"):
            StripRunner(model)
        return
    runner = StripRunner(model)
    pieces = [runner.push(strip) for strip in x.split(37, dim=2)]
    pieces.append(runner.finish())
    with torch.no_grad():
        assert_close(torch.cat([piece for piece in pieces if piece is not None], dim=2), model(x), "logits")


PROMISES = [
    exact_size,
    any_channels_and_classes,
    refuses_what_does_not_fit,
    gradient_reaches_every_parameter,
    state_dict_round_trip,
    companions_do_not_matter,
    deterministic,
    one_graph,
    local_stages_see_no_further_than_their_halo,
    strips_are_the_whole,
]


WITH_MASKS = [*SEGMENTERS, *VOLUME_SEGMENTERS]
RECOGNISERS = {name: build for name, build in BUILDERS.items() if name not in WITH_MASKS}
PROMISES_OF_RECOGNISERS = [
    gradient_reaches_every_parameter,
    state_dict_round_trip,
    companions_do_not_matter,
    deterministic,
    one_graph,
]


# compiling takes seconds: these stand for the others, which are among the slow tests
COMPILED = ("sweepnet_small", "sweepnet_small_control", "recurrent_unet_small", "reseg", "sweepnet_small_video")


def slow_to_compile(name, promise):
    return [pytest.mark.slow] if promise is one_graph and name not in COMPILED else []


@pytest.mark.parametrize(
    ("name", "promise"),
    [pytest.param(name, promise, marks=slow_to_compile(name, promise)) for name in WITH_MASKS for promise in PROMISES],
)
def test_contract(name, promise):
    promise(BUILDERS[name])


@pytest.mark.parametrize("promise", [promise for promise in PROMISES if promise is not one_graph])
def test_contract_at_full_resolution(promise):
    promise(partial(new, partial(sweepnet_small, causal=True, detail=4)))


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        pytest.param(name, promise, marks=slow_to_compile(name, promise))
        for name in CONTROLS
        if name in RECOGNISERS
        for promise in PROMISES_OF_RECOGNISERS
    ],
)
def test_contract_of_recognisers(name, promise):
    promise(BUILDERS[name])


@pytest.mark.parametrize("name", [CONTROLS[name] for name in CONTROLS if name in RECOGNISERS])
def test_controls_of_recognisers_learn(name):
    gradient_reaches_every_parameter(BUILDERS[name])


def test_each_model_is_of_one_family():
    assert [name for builders in FAMILIES.values() for name in builders] == [*MODELS]
    assert [name for name, build in MODELS.items() if dimensions_of(build(2)) == 3] == [*VOLUME_SEGMENTERS]


def sees_the_far_corner(build):
    """Whether a pixel's logits depend on the opposite corner of a wide picture."""
    model = build(2, 3).double().eval()
    x = images(model, 1, 3, *((16, 800) if model.dimensions == 2 else (4, 130))).double().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0, ..., -1, -1].sum(), x)
    return bool(gradient[0, ..., 0, 0].any())


def sees_the_frame_before(build):
    """Whether the logits of a frame depend on the one before."""
    model, x = build(2).double().eval(), torch.randn(1, 2, 3, 16, 16).double().requires_grad_()
    (gradient,) = torch.autograd.grad(model.run(x)[0][:, 1].sum(), x)
    return bool(gradient[:, 0].any())


def control_is_fair(model, control, own=sees_the_far_corner):
    """Of the same size within 5 %, and without what is the model's own: the full field, if it sweeps, or memory."""
    assert abs(count_parameters(control(11)) / count_parameters(model(11)) - 1) <= 0.05
    assert own(model) == (
        own is sees_the_frame_before or any(isinstance(stage, Swept) for stage in model(2).stages.values())
    )
    assert not own(control)


@pytest.mark.parametrize("model", [name for name in CONTROLS if name in RECOGNISERS])
def test_control_of_a_recogniser_is_of_its_size(model):
    assert abs(count_parameters(MODELS[CONTROLS[model]](11)) / count_parameters(MODELS[model](11)) - 1) <= 0.05


@pytest.mark.parametrize(("model", "control"), [pair for pair in CONTROLS.items() if pair[0] in WITH_MASKS])
def test_control_is_fair(model, control):
    own = sees_the_frame_before if isinstance(MODELS[model](2), VideoModel) else sees_the_far_corner
    control_is_fair(BUILDERS[model], BUILDERS[control], own)


def test_every_recurrent_model_has_a_control():
    plain = {*MODELS} - {*CONTROLS} - {*CONTROLS.values()}
    assert not any(isinstance(part, Swept | Timed) for name in plain for part in MODELS[name](2).modules())


class Faulty(nn.Module):
    """A right model with one thing wrong."""

    dimensions = 2

    def __init__(self, num_classes, in_channels=3):
        super().__init__()
        self.model = sweepnet_small(num_classes, in_channels)

    def forward(self, x):
        return self.model(x)


class CropsTooMuch(Faulty):
    def forward(self, x):
        return super().forward(x)[..., :32, :]


class IgnoresInChannels(Faulty):
    def __init__(self, num_classes, in_channels=3):
        super().__init__(num_classes)

    def forward(self, x):
        return super().forward(x[:, :3].expand(-1, 3, -1, -1))


class HasTwoClasses(Faulty):
    def __init__(self, num_classes, in_channels=3):
        super().__init__(2, in_channels)


class HasAnUnusedParameter(Faulty):
    def __init__(self, num_classes, in_channels=3):
        super().__init__(num_classes, in_channels)
        self.unused = nn.Parameter(torch.ones(1))


class KeepsSomethingOutOfTheStateDict(Faulty):
    def __init__(self, num_classes, in_channels=3):
        super().__init__(num_classes, in_channels)
        self.scale = torch.rand(1)

    def forward(self, x):
        return super().forward(x) * self.scale


class MixesPictures(Faulty):
    def train(self, mode=True):
        return super().train(True)  # batch norm with the statistics of the batch


class DropsAlways(Faulty):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.1)


class BreaksTheGraph(Faulty):
    def forward(self, x):
        torch._dynamo.graph_break()
        return super().forward(x)


def with_a_short_halo(num_classes, in_channels=3):
    model = sweepnet_small(num_classes, in_channels, causal=True)
    model.stages["conv8"].halo -= 1
    return model


def with_a_sweep_from_below(num_classes, in_channels=3):
    model = sweepnet_small(num_classes, in_channels)
    for name in ("context8_0", "context8_1", "context16_0", "context16_1", "context16_2"):
        model.stages[name].strips = True
    return model


@pytest.mark.parametrize(
    ("fault", "promise"),
    [
        (CropsTooMuch, exact_size),
        (IgnoresInChannels, refuses_what_does_not_fit),
        (HasTwoClasses, any_channels_and_classes),
        (HasAnUnusedParameter, gradient_reaches_every_parameter),
        (KeepsSomethingOutOfTheStateDict, state_dict_round_trip),
        (MixesPictures, companions_do_not_matter),
        (DropsAlways, deterministic),
        (with_a_short_halo, local_stages_see_no_further_than_their_halo),
        (with_a_short_halo, strips_are_the_whole),
        (with_a_sweep_from_below, strips_are_the_whole),
    ],
)
def test_contract_catches(fault, promise):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        promise(partial(new, fault))


def test_contract_catches_a_broken_graph():
    with pytest.raises(torch._dynamo.exc.Unsupported):
        one_graph(BreaksTheGraph)


def larger_control(num_classes, in_channels=3):
    size = {**SIZES["small"], "widths": (32, 48, 96, 138)}
    cell, orders = CELLS["mingru"], FOUR_WAYS
    return SweepNet(num_classes, in_channels, **size, cell=cell, orders=orders, local=True, detail=0, control=True)


@pytest.mark.parametrize("control", [sweepnet_small, larger_control])
def test_an_unfair_control_is_caught(control):
    with pytest.raises(AssertionError):
        control_is_fair(sweepnet_small, control)
