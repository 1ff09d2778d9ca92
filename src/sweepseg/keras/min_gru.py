"""MinGRU for Keras: one step as a cell, a whole sequence at once as a layer."""

from typing import Any

import keras
from keras import ops

from ..ops import linear_scan


@keras.saving.register_keras_serializable("sweepseg")
class MinGRUCell(keras.layers.Layer):
    """One step of MinGRU: h = (1 - z) * h + z * candidate, z = sigmoid(x W_z + b_z), candidate = x W_h + b_h.

    ``kernel`` (C, 2 H) and ``bias`` (2 H,) hold update gate, then candidate, as the parameters of
    `sweepseg.cells.MinGRU` do.

    Source: Feng et al. 2024, "Were RNNs All We Needed?", arXiv:2410.01201, section 3.1.

    Args:
        units: Channels of the state, H.
        use_bias: Learn a bias.
        **options: Those of every Keras layer: ``name``, ``dtype``, ``trainable``.
    """

    def __init__(self, units: int, use_bias: bool = True, **options: Any):
        super().__init__(**options)
        self.units, self.use_bias = units, use_bias
        self.state_size = self.output_size = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for inputs (..., C)."""
        self.kernel = self.add_weight(shape=(input_shape[-1], 2 * self.units), name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(2 * self.units,), initializer="zeros", name="bias")

    def decay_and_update(self, x: Any) -> tuple[Any, Any]:
        """Of the recurrence h[t] = decay[t] * h[t-1] + update[t], both (..., H), for inputs (..., C)."""
        products = ops.matmul(x, self.kernel)
        if self.use_bias:
            products = products + self.bias
        gate, candidate = ops.split(products, 2, axis=-1)
        return ops.sigmoid(-gate), ops.sigmoid(gate) * candidate

    def call(self, x: Any, states: Any) -> tuple[Any, list]:
        """Run one step for inputs (B, C) from states [(B, H)]; returns the output (B, H) and the new states."""
        decay, update = self.decay_and_update(x)
        h = decay * states[0] + update
        return h, [h]

    def get_config(self) -> dict[str, Any]:
        """What makes the same cell, without its weights."""
        return super().get_config() | {"units": self.units, "use_bias": self.use_bias}


@keras.saving.register_keras_serializable("sweepseg")
class MinGRU(keras.layers.RNN):
    """A GRU whose gates do not see the state, so that a sequence is one scan in about log2(T) rounds.

    Args:
        units: Channels of the state, H.
        use_bias: Learn a bias.
        **options: Those of `keras.layers.RNN`: ``return_sequences``, ``return_state``, ``go_backwards``, ...

    >>> MinGRU(8, return_sequences=True)(keras.ops.ones((2, 5, 3))).shape == (2, 5, 8)
    True
    """

    def __init__(self, units: int, use_bias: bool = True, **options: Any):
        super().__init__(MinGRUCell(units, use_bias, dtype=options.get("dtype")), **options)

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> tuple:
        """Run over (B, T, C): last output, all outputs, final states; masks and unknown T are left to Keras's loop."""
        if mask is not None or sequences.shape[1] is None:
            return super().inner_loop(sequences, initial_state, mask, training)
        if self.go_backwards:
            sequences = ops.flip(sequences, axis=1)
        decay, update = self.cell.decay_and_update(sequences)
        h = _scan(decay, update, initial_state[0])
        return h[:, -1], h, [h[:, -1]]

    def get_config(self) -> dict[str, Any]:
        """What makes the same layer, without its weights."""
        config = super().get_config() | {"units": self.cell.units, "use_bias": self.cell.use_bias}
        del config["cell"]
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MinGRU":
        """The layer of a `get_config`."""
        return cls(**config)


def _scan(decay: Any, update: Any, initial: Any) -> Any:
    """All h[t] = decay[t] * h[t-1] + update[t], (B, T, H), in log2(T) rounds: round k joins pieces of 2^k steps.

    `keras.ops.associative_scan` would do, but in Keras 3.15 it loses the shape in TensorFlow's graphs.

    Source: Hillis & Steele 1986, "Data Parallel Algorithms", Communications of the ACM 29(12).
    """
    if keras.backend.backend() == "torch":
        return linear_scan(decay, update, initial)[0]
    reach = 1
    while reach < update.shape[1]:
        before = ((0, 0), (reach, 0), (0, 0))
        update = update + decay * ops.pad(update[:, :-reach], before)
        decay = decay * ops.pad(decay[:, :-reach], before, constant_values=1)
        reach *= 2
    return update + decay * ops.expand_dims(initial, 1)
