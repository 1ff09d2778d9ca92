import pytest
import torch
from torch import nn

from sweepseg.training.optimizer import make_optimizer, penalty


def network():
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 5))


@pytest.mark.parametrize(
    "name, kind", [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_matrices_and_kernels_are_decayed_and_nothing_else(settings, name, kind):
    model = network()
    optimizer = make_optimizer(model, settings(optimizer=name, weight_decay=0.3))
    decayed, spared = optimizer.param_groups
    assert type(optimizer) is kind
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    assert {id(p) for p in decayed["params"]} == {id(model[0].weight), id(model[2].weight)}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))


def after_two_steps(optimizer, weight):
    for gradient in (1.0, 10.0):
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
    return weight.item()


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, -0.1 * (1 + 0.9) - 0.1 * (10 + 0.9 * (10 + 0.9))),  # each gradient, and 0.9 of all that has gathered
        ({"momentum": 0.5}, -0.1 * (1 + 0.5) - 0.1 * (10 + 0.5 * (10 + 0.5))),
        ({"momentum": 0.0}, -0.1 * (1 + 10)),
    ],
)
def test_sgd_is_nesterovs_or_plain_gradient_descent(settings, options, expected):
    weight = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(weight.weight)
    optimizer = make_optimizer(weight, settings(optimizer="sgd", learning_rate=0.1, weight_decay=0.0, **options))
    assert after_two_steps(optimizer, weight.weight) == pytest.approx(expected)


def step(model, **options):
    """One step of plain gradient descent on the penalty alone, or on torch's own weight decay."""
    penalised = penalty(model, **options)
    penalised.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return model


def test_squared_penalty_is_weight_decay_of_torch():
    ours, theirs = network(), network()
    theirs.load_state_dict(ours.state_dict())
    step(ours, l1=0.0, l2=0.25)
    decayed = [p for p in theirs.parameters() if p.dim() > 1]
    for parameter in decayed:
        parameter.grad = torch.zeros_like(parameter)
    torch.optim.SGD(decayed, lr=0.1, weight_decay=0.5).step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_absolute_penalty_moves_each_weight_equally_far_towards_zero():
    model = network()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    step(model, l1=0.25, l2=0.0)
    for name, parameter in model.named_parameters():
        expected = before[name] - 0.025 * before[name].sign() * (parameter.dim() > 1)
        torch.testing.assert_close(parameter.detach(), expected, msg=name)
