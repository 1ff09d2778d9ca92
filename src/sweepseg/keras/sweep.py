"""Sweeps for Keras: any layer over sequences, run along the rows or the columns of a map."""

from typing import Any, Literal

import keras
from keras import ops


@keras.saving.register_keras_serializable("sweepseg")
class Sweep(keras.layers.Wrapper):
    """Run a layer along every row or every column of a map: (B, H, W, C) -> (B, H, W, units).

    The layer says which way: with ``go_backwards=True`` backwards, in `keras.layers.Bidirectional` both ways.

    Args:
        layer: Maps sequences (B, T, C) to (B, T, units), such as `keras.layers.GRU` with ``return_sequences=True``.
        lines: "rows" or "columns"; each is a sequence of its own.
        **options: Those of every Keras layer: ``name``, ``dtype``, ``trainable``.

    Raises:
        ValueError: There are no such lines, or the layer returns something other than sequences.

    >>> both_ways = keras.layers.Bidirectional(keras.layers.GRU(8, return_sequences=True))
    >>> Sweep(both_ways, "columns")(keras.ops.ones((2, 5, 6, 3))).shape == (2, 5, 6, 16)
    True
    """

    def __init__(self, layer: keras.layers.Layer, lines: Literal["rows", "columns"], **options: Any):
        super().__init__(layer, **options)
        if lines not in ("rows", "columns"):
            raise ValueError(f"lines is {lines!r}; give 'rows' or 'columns'")
        for name, wanted in (("return_sequences", True), ("return_state", False)):
            if getattr(layer, name, wanted) != wanted:
                raise ValueError(f"{layer.name} has {name}={not wanted}; make it with {name}={wanted} to sweep with it")
        self.lines = lines
        self.input_spec = keras.InputSpec(ndim=4)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the layer's weights for maps (B, H, W, C)."""
        super().build(self._sequences(input_shape))

    def call(self, x: Any) -> Any:
        """Sweep over maps (B, H, W, C)."""
        x = self._turned(x)
        batch, lines, steps, channels = ops.shape(x)
        h = self.layer(ops.reshape(x, (batch * lines, steps, channels)))
        if getattr(self.layer, "go_backwards", False):  # Keras returns these last step first
            h = ops.flip(h, axis=1)
        return self._turned(ops.reshape(h, (batch, lines, steps, h.shape[-1])))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the output for maps of ``input_shape``."""
        return (*input_shape[:-1], self.layer.compute_output_shape(self._sequences(input_shape))[-1])

    def get_config(self) -> dict[str, Any]:
        """What makes the same layer, without its weights."""
        return super().get_config() | {"lines": self.lines}

    def _sequences(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the sequences in a map of a shape."""
        return (None, shape[2 if self.lines == "rows" else 1], shape[3])

    def _turned(self, x: Any) -> Any:
        """The map with the lines in dimension 1 and their steps in dimension 2, or back."""
        return x if self.lines == "rows" else ops.transpose(x, (0, 2, 1, 3))
