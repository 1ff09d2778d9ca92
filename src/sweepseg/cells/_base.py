"""What all cells share: torch.nn's parameters, initial values and state dicts, chrono initialisation, dropout."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops._dispatch import Backend
from ..ops._sequences import input_product, widen

Init = Literal["default", "chrono"]


class Cell(nn.Module):
    """Base of the cells: the parameters. Subclasses run one operation in ``forward``.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the state, H.
        gates: Products of H rows each in the weights.
        recurrent: Whether the products see the state too, which takes ``weight_hh`` and ``bias_hh``.
        bias: Learn ``bias_ih`` and ``bias_hh``.
        layer_norm: Normalise the products, with gains ``gain_ih`` and ``gain_hh`` and the biases as offsets.
        dropout: Probability that an element of the output is dropped in training.
        recurrent_dropout: Probability that a channel of the state is hidden from the products, for a whole sequence, in
            training.
    """

    backends: Mapping[str, Backend] | None = None  # of the operation, where `scan` is its compiled recurrence

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        gates: int,
        *,
        recurrent: bool = True,
        bias: bool = True,
        layer_norm: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ):
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ValueError(f"{name} is {size}; give at least 1")
        for name, probability in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if not 0 <= probability < 1:
                raise ValueError(f"{name} is {probability}; give a probability of at least 0 and below 1")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        rows = gates * hidden_size
        self.weight_ih = _parameter(rows, input_size)
        self.weight_hh = _parameter(rows, hidden_size, present=recurrent)
        self.bias_ih = _parameter(rows, present=bias)
        self.bias_hh = _parameter(rows, present=bias and recurrent)
        self.gain_ih = _parameter(rows, present=layer_norm)
        self.gain_hh = _parameter(rows, present=layer_norm and recurrent)
        self.register_load_state_dict_pre_hook(_rename_first_layer)

    def reset_parameters(self) -> None:
        """Draw torch.nn's initial values, uniform in +-1 / sqrt(hidden_size); gains are 1."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters():
            if name.startswith("gain"):
                nn.init.ones_(parameter)
            else:
                nn.init.uniform_(parameter, -bound, bound)

    @torch.no_grad()
    def set_gate_bias(self, gate: int, value: Tensor | float) -> None:
        """Set what a gate's biases add up to, (H,) or one number."""
        self.bias_ih.split(self.hidden_size)[gate].copy_(torch.as_tensor(value))
        if self.bias_hh is not None:
            self.bias_hh.split(self.hidden_size)[gate].zero_()

    def hidden_mask(self, x: Tensor) -> Tensor | None:
        """A variational dropout mask (*batch, H) for the sequences of ``x`` (*batch, T, C); None outside of training.

        Source: Gal & Ghahramani 2016, arXiv:1512.05287.
        """
        if not self.training or self.recurrent_dropout == 0:
            return None
        return F.dropout(x.new_ones(*x.shape[:-2], self.hidden_size), self.recurrent_dropout)

    def input_product(self, x: Tensor) -> Tensor:
        """The product (*batch, T, gates * H) with the input in the dtype of the state, for gates blind to the state."""
        rows, size = self.weight_ih.shape[0], self.hidden_size
        return widen(input_product(x, self.weight_ih, self.bias_ih, self.gain_ih, (size,) * (rows // size)))[0]

    def input_products(self, x: Tensor) -> tuple[Tensor, ...]:
        """`input_product` as views (*batch, T, H), one a gate."""
        return self.input_product(x).split(self.hidden_size, dim=-1)

    def drop(self, output: Tensor) -> Tensor:
        """Dropout on the output."""
        return F.dropout(output, self.dropout) if self.training and self.dropout else output

    def extra_repr(self) -> str:
        """Sizes and dropout, for ``print(cell)``."""
        text = f"{self.input_size}, {self.hidden_size}"
        for name in ("dropout", "recurrent_dropout"):
            if getattr(self, name):
                text += f", {name}={getattr(self, name)}"
        return text


def check_heads(heads: int, hidden_size: int) -> None:
    """Raise ValueError unless the channels can be shared out to the heads."""
    if heads < 1 or hidden_size % heads:
        raise ValueError(f"heads is {heads} for a hidden_size of {hidden_size}; give a divisor of it")


def check_init(init: Init, max_lag: int | None, bias: bool, forget_bias: float | None = None) -> None:
    """Raise ValueError unless the options about initial values fit each other."""
    if init not in ("default", "chrono"):
        raise ValueError(f"init is {init!r}; give 'default' or 'chrono'")
    if init == "chrono" and (max_lag is None or max_lag < 3):
        raise ValueError(f"init='chrono' got max_lag={max_lag}; give the longest lag in steps, at least 3")
    if init == "default" and max_lag is not None:
        raise ValueError(f"max_lag={max_lag} has no effect with init='default'; give init='chrono' or leave it out")
    if init == "chrono" and forget_bias is not None:
        raise ValueError(f"init='chrono' sets the forget bias, but forget_bias={forget_bias} was given; leave one out")
    if not bias and (init == "chrono" or forget_bias is not None):
        raise ValueError("init='chrono' and forget_bias set biases, but bias=False; leave one out")


def chrono_bias(hidden_size: int, max_lag: int) -> Tensor:
    """Biases log(u), u uniform in [1, max_lag - 1], (H,): a gate that keeps sigmoid(log(u)) forgets in about u steps.

    Source: Tallec & Ollivier 2018, "Can recurrent neural networks warp time?", arXiv:1804.11188, "chrono
    initialization".
    """
    return torch.empty(hidden_size).uniform_(1, max_lag - 1).log()


def reset_input_and_forget_bias(cell: Cell, max_lag: int | None, forget_bias: float | None) -> None:
    """Set the biases of gates 0 (input) and 1 (forget) for the longest lag or to the forget bias, if one is given."""
    if max_lag is not None:
        keep = chrono_bias(cell.hidden_size, max_lag)
        cell.set_gate_bias(0, -keep)
        cell.set_gate_bias(1, keep)
    if forget_bias is not None:
        cell.set_gate_bias(1, forget_bias)


def _parameter(*shape: int, present: bool = True) -> Any:
    return nn.Parameter(torch.empty(shape)) if present else None


def _rename_first_layer(module: nn.Module, state_dict: dict, prefix: str, *_: object) -> None:
    """Let the state dict of a one-layer torch.nn.RNN, LSTM or GRU load, whose names end in ``_l0``."""
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        if f"{prefix}{name}_l0" in state_dict:
            state_dict[f"{prefix}{name}"] = state_dict.pop(f"{prefix}{name}_l0")
