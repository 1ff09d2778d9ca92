"""Functions to time: operations, layers and models on random maps, forwards alone or with gradients."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .case import Run


def network_run(network: nn.Module, x: Tensor, *, training: bool = False) -> Run:
    """A model's forward pass in inference mode or a step of training mode without an optimizer; returns the logits."""
    if not training:
        return forward(lambda: (network.eval()(x),))

    def train() -> Sequence[Tensor]:
        network.train()
        network.zero_grad()
        logits = network(x)
        logits.logsumexp(dim=1).mean().backward()
        return (logits.detach(),)

    return train


def layer_run(layer: nn.Module, x: Tensor, *, training: bool = False) -> Run:
    """A layer's forward pass or, in training, one with the gradients of input and parameters."""

    def output() -> Sequence[Any]:
        result = layer(x)
        return result if isinstance(result, tuple) else (result,)

    if not training:
        return forward(output)
    x = x.detach().requires_grad_()
    return step(output, [x, *layer.parameters()])


def forward(function: Callable[[], Sequence[Any]]) -> Run:
    """The first result, without what gradients need."""

    def run() -> Sequence[Tensor]:
        with torch.no_grad():
            return (function()[0],)

    return run


def step(function: Callable[[], Sequence[Any]], inputs: Sequence[Tensor]) -> Run:
    """The first result and the gradients of the inputs, for fixed gradients of the output."""
    with torch.no_grad():
        cotangent = torch.randn_like(function()[0])

    def run() -> Sequence[Tensor]:
        output = function()[0]
        return (output.detach(), *torch.autograd.grad(output, inputs, cotangent))

    return run


def random_map(side: int, channels: int) -> Tensor:
    """(1, channels, side, side), channels-last, normal."""
    return torch.randn(1, side, side, channels).permute(0, 3, 1, 2)


def size(side: int, channels: int) -> str:
    """The size of such a map, as rows name it."""
    return f"{side}x{side}, {channels} channels"
