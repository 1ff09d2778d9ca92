"""How far the gradients of a model's cells go back: vanishing and exploding made visible."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..cells._base import Cell
from ..models.folder import build
from ..models.segmenter import Segmenter

LAGS = (0, 1, 4, 16, 64, 255)  # steps
SEQUENCES = 8  # each of LAGS[-1] + 1 steps
SIDE = 128  # pixels of the picture whose maps reach the cells
LOST = 2.0**-24  # half of float32's spacing at 1: what is smaller than this beside the nearest step is rounded away
TOO_LARGE = 1e4  # a step of such a gradient, clipped to that of the nearest step, is all about the farthest one


@dataclass(frozen=True)
class Flow:
    """How much the last state of a cell depends on its inputs.

    Attributes:
        place: Name of the cell in the network, and its class.
        weights: "fresh", as its builder draws them, or "trained".
        norms: Norm of the derivative of the last output by the input ``LAGS`` steps before it.
    """

    place: str
    weights: Literal["fresh", "trained"]
    norms: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """What that means.

        >>> Flow("GRU", "fresh", (1.0, 0.9, 0.5, 0.1, 1e-9, 0.0)).verdict
        'vanishes by lag 64'
        """
        nearest = self.norms[0]
        for lag, norm in zip(LAGS, self.norms, strict=True):
            if not norm <= TOO_LARGE * nearest:
                return f"explodes by lag {lag}"
            if norm < LOST * nearest:
                return f"vanishes by lag {lag}"
        return "reaches back"


def flows(model: Segmenter) -> list[Flow]:
    """Measure every cell over sequences of a model, with fresh weights and with its own.

    The inputs of a cell are vectors that reach it from a picture of noise, in random order.

    Source: Pascanu et al. 2013, "On the difficulty of training recurrent neural networks", arXiv:1211.5063, section 2.

    Args:
        model: As `load` returns it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = build(model.config).eval().network
        image = torch.randn(1, len(model.config.mean), SIDE, SIDE)
        measured: dict[Literal["fresh", "trained"], dict[str, tuple[float, ...]]]
        measured = {"fresh": _measure(fresh, image), "trained": _measure(model.network, image)}
    return [
        Flow(f"{name} ({type(cell).__name__})", weights, norms[name])
        for name, cell in _cells(model.network)
        for weights, norms in measured.items()
        if name in norms
    ]


def _cells(network: nn.Module) -> list[tuple[str, Cell]]:
    return [(name, module) for name, module in network.named_modules() if isinstance(module, Cell)]


def _measure(network: nn.Module, image: Tensor) -> dict[str, tuple[float, ...]]:
    """Name of a cell -> the norms at `LAGS`."""
    inputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Any, tuple[Tensor, ...]], None]:
        return lambda module, arguments: inputs.__setitem__(name, arguments[0].reshape(-1, module.input_size))

    hooks = [cell.register_forward_pre_hook(keep(name)) for name, cell in _cells(network)]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return {name: gradient_norms(cell, _shuffled(inputs[name])) for name, cell in _cells(network) if name in inputs}


def _shuffled(vectors: Tensor) -> Tensor:
    """Sequences (SEQUENCES, T, C) of vectors (N, C) drawn at random."""
    drawn = torch.randint(len(vectors), (SEQUENCES, LAGS[-1] + 1))
    return vectors[drawn]


def gradient_norms(cell: nn.Module, x: Tensor) -> tuple[float, ...]:
    """Frobenius norm of the derivative of a cell's last output by its input, for each of `LAGS`.

    It is estimated, from one random direction for each sequence, as the root of the mean square over the sequences.

    Source: Hutchinson 1990, "A stochastic estimator of the trace of the influence matrix".

    Args:
        cell: Called as ``cell(sequence) -> (output, state)``.
        x: (N, T, C) with T at least ``LAGS[-1] + 1``.
    """
    cell, x = copy.deepcopy(cell).double(), x.detach().double().requires_grad_()  # float32 ends at a factor of 1.4
    last = cell(x)[0][:, -1]  # (N, H)
    (gradient,) = torch.autograd.grad((last * torch.randn_like(last)).sum(), x)  # (N, T, C)
    norms = gradient.square().sum(-1).mean(0).sqrt().flip(0)  # (T,), by lag
    return tuple(norms[list(LAGS)].tolist())
