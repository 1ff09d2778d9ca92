"""The state of a video model in a file, so that a video can go on later or elsewhere."""

from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError, ModelFileError, printable
from ..io.files import atomic_write, open_regular
from ..models.video import State


def save_state(path: str | Path, state: State) -> None:
    """Write a state as safetensors, whole or not at all.

    Raises:
        OutputError: See `io.files.atomic_write`.
    """
    from safetensors.torch import save

    atomic_write(path, save({name: tensor.contiguous().cpu() for name, tensor in _flat(state).items()}))


def load_state(path: str | Path) -> State:
    """Read a state; whether it fits a model and its frames is asked by `check_state`.

    Raises:
        ModelFileError: It cannot be read, or is no such file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with open_regular(path) as file:
            tensors = load(file.read())
    except InputError as error:
        raise ModelFileError(str(error)) from None
    except (SafetensorError, ValueError, KeyError) as error:  # ValueError and KeyError: types that torch does not have
        raise ModelFileError(f"{printable(path)}: not a state of a video ({printable(error)})") from None
    state: State = {}
    for name in sorted(tensors):
        stage, _, place = name.partition(".")
        before = state.get(stage, ())
        state[stage] = (*before, tensors[name]) if place else tensors[name]
    return state


def check_state(state: State, like: State) -> None:
    """Refuse a state that is not of the kind that the model makes of such frames.

    Raises:
        ModelFileError: Other parts, sizes or types, or a value that is not finite.
    """
    wanted, given = _flat(like), _flat(state)
    if {name: (part.shape, part.dtype) for name, part in wanted.items()} != {
        name: (part.shape, part.dtype) for name, part in given.items()
    }:
        raise ModelFileError(
            f"the state holds {_described(given)}; this model and frames of this size have {_described(wanted)}"
        )
    if not all(torch.isfinite(part).all() for part in given.values()):
        raise ModelFileError("the state holds values that are not finite; begin without it")


def _flat(state: State) -> dict[str, Tensor]:
    """One name for each tensor."""
    return {
        f"{name}.{place}" if place is not None else name: tensor
        for name, part in state.items()
        for place, tensor in ([(None, part)] if isinstance(part, Tensor) else enumerate(part))
    }


def _described(parts: dict[str, Tensor]) -> str:
    return ", ".join(f"{printable(name)} {tuple(part.shape)}" for name, part in sorted(parts.items())) or "nothing"
