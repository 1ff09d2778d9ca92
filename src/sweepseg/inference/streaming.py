"""Segmenting a picture whose rows arrive one after the other, with the mask of the whole picture."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, ModelFileError, printable
from ..io.files import atomic_write, open_regular
from ..layers.stages import StagedModel
from ..models.segmenter import Segmenter, digest
from .segment import as_batch, mask_task, to_input
from .strips import StripRunner, certain_rows

FORMAT = 1


def stream(model: Segmenter, rows: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Segment rows as they come; see `StreamingSegmenter`, which can also save its state.

    Args:
        model: What `sweepseg.load` returned.
        rows: Strips of one or more rows, as `StreamingSegmenter.push` takes them.

    Yields:
        The next mask rows, at least one.

    >>> from sweepseg.models.folder import build
    >>> from sweepseg.models.segmenter import ModelConfig
    >>> config = ModelConfig(
    ...     builder="sweepnet_small_causal", arguments={"num_classes": 1, "in_channels": 1}, task="binary",
    ...     classes=("background", "defect"), palette=((0, 0, 0), (255, 0, 0)), mean=(0.5,), std=(0.25,),
    ... )
    >>> camera = (np.zeros(64, np.uint8)[None] for _ in range(150))
    >>> sum(len(mask) for mask in stream(build(config).eval(), camera))
    150
    """
    segmenter = StreamingSegmenter(model)
    for strip in rows:
        if len(mask := segmenter.push(strip)):
            yield mask
    if len(mask := segmenter.finish()):
        yield mask


class StreamingSegmenter:
    """Segments a picture whose rows arrive one after the other; memory and time a row are those of the first rows.

    The mask of row r is out as soon as row r + `look_ahead` is in, never earlier or later. The model runs on strips
    whose places in the picture are fixed, so the mask does not depend on how the rows are handed over.

    Args:
        model: What `sweepseg.load` returned, without bottom-up sweeps, such as `sweepnet_small_causal`.
        strip: Rows to run the model on at once, a multiple of its total stride, which is the default. More rows take
            less time each; every row more makes `look_ahead` one larger.

    Attributes:
        look_ahead: Rows that must be in below a row before its mask is out.
        rows: Rows taken so far.
        rows_out: Mask rows given so far.

    Raises:
        ValueError: The model has sweeps that need the whole picture, or the strip is no multiple of its stride.
    """

    def __init__(self, model: Segmenter, *, strip: int | None = None):
        self.task = mask_task(model)
        network = cast(StagedModel, model.network)
        self.model, self.runner = model, StripRunner(network)
        stride = network.total_stride
        self.strip = stride if strip is None else strip
        if self.strip < 1 or self.strip % stride:
            raise ValueError(f"strip is {strip}; give a multiple of {stride}, the model's total stride")
        held_back, self.phase = min((end - certain_rows(network, end), end) for end in _one_period(network))
        self.look_ahead = held_back + self.strip - 1
        self.rows = self.rows_out = 0
        self.finished = False
        self.waiting: Tensor | None = None  # rows that do not fill a strip yet, (1, C, h, W), normalised
        self.certain: Tensor | None = None  # mask rows that are not out yet, (h, W) or (h, K, W)

    @property
    def width(self) -> int | None:
        """Pixels of a row; None before the first."""
        return None if self.waiting is None else self.waiting.shape[3]

    def push(self, rows: np.ndarray) -> np.ndarray:
        """Take the next rows.

        Args:
            rows: (h, W) or (h, W, C) as `sweepseg.segment` takes images; any h, the same W each time.

        Returns:
            The next mask rows, uint8 (n, W); for multilabel (n, K, W). n is 0 until `look_ahead` rows are in, then h.

        Raises:
            ValueError: The rows do not suit the model or the rows before, or make the model return something that is
                not finite. Nothing has changed then: right rows may follow.
        """
        x = self._normalised(np.asarray(rows))
        with self._all_or_nothing():
            self.rows += x.shape[2]
            self.waiting = x if self.waiting is None else torch.cat([self.waiting, x], dim=2)
            masks = []
            while self.waiting.shape[2] >= (count := self._missing()):
                strip, self.waiting = self.waiting.tensor_split([count], dim=2)
                masks.append(self._mask(self.runner.push(strip)))
            self.waiting = self.waiting.clone()  # a view would keep all rows alive
            self._keep(masks)
        return self._give(self.rows - self.look_ahead)

    def finish(self) -> np.ndarray:
        """End the picture.

        Returns:
            All mask rows that were held back.
        """
        if not self.finished:
            with self._all_or_nothing():
                masks = []
                if self.waiting is not None and self.waiting.shape[2]:
                    masks.append(self._mask(self.runner.push(self.waiting)))
                    self.waiting = self.waiting[:, :, :0].clone()
                self._keep([*masks, self._mask(self.runner.finish())])
                self.finished = True
        return self._give(self.rows)

    def take_back(self, mask: np.ndarray) -> None:
        """Take back the last mask rows given, which could not be passed on; they are the first to come again."""
        later, self.certain = self.certain, torch.from_numpy(mask.copy())
        self._keep([later])
        self.rows_out -= len(mask)

    def save_state(self, path: str | os.PathLike[str]) -> None:
        """Write what the next rows depend on to one safetensors file, whole or not at all.

        Raises:
            OutputError: See `files.atomic_write`.
        """
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {}
        state = {"format": FORMAT, "model": self.model.fingerprint(), "strip": self.strip} | self._state()
        text = json.dumps(_packed(state, tensors))
        atomic_write(path, save(tensors, {"state": text, "sha256": digest(text, tensors)}))

    @classmethod
    def from_state(cls, model: Segmenter, path: str | os.PathLike[str]) -> "StreamingSegmenter":
        """Go on where `save_state` was called, on this machine or another one.

        Args:
            model: The model that the stream began with.
            path: What `save_state` wrote.

        Raises:
            ModelFileError: The file cannot be read, is damaged, or belongs to another model.
        """
        text, tensors = _read(path)
        state = _unpacked(json.loads(text), tensors)
        if state["format"] > FORMAT:
            raise ModelFileError(f"{printable(path)}: of a newer version; upgrade sweepseg")
        if state["model"] != model.fingerprint():
            raise ModelFileError(f"{printable(path)}: the stream began with another model; go on with that one")
        segmenter = cls(model, strip=state["strip"])
        segmenter._restore(state)
        return segmenter

    def _normalised(self, rows: np.ndarray) -> Tensor:
        """(1, C, h, W) of rows; nothing is changed."""
        if self.finished:
            raise ValueError("the picture is finished; rows of another one need a new StreamingSegmenter")
        rows = rows[..., None] if rows.ndim == 2 else rows
        if rows.ndim != 3 or 0 in rows.shape[1:]:
            raise ValueError(f"got rows of shape {rows.shape}; give (h, W) or (h, W, C), W and C at least 1")
        if self.width not in (None, rows.shape[1]):
            raise ValueError(f"got rows of {rows.shape[1]} pixels after rows of {self.width}; give one width")
        with torch.inference_mode():
            x = self.model.normalised(as_batch(self.model, to_input(self.model, rows)))
        return x.contiguous(memory_format=torch.channels_last)

    def _missing(self) -> int:
        """Rows from the last strip that has run to the end of the next."""
        return (self.phase - self.runner.height - 1) % self.strip + 1

    def _mask(self, logits: Tensor | None) -> Tensor | None:
        """(h, W), or (h, K, W) for multilabel."""
        return None if logits is None else self.task.decode(logits)[0].movedim(-2, 0).cpu()

    def _keep(self, masks: list[Tensor | None]) -> None:
        """Append mask rows to those that are certain."""
        parts = [mask for mask in (self.certain, *masks) if mask is not None]
        self.certain = torch.cat(parts) if parts else None

    def _give(self, end: int) -> np.ndarray:
        """The mask rows that were not given yet, up to row ``end``."""
        count = max(0, end - self.rows_out)
        if self.certain is None:
            return np.zeros((0, self.width or 0), np.uint8)
        mask, self.certain = self.certain.tensor_split([count])
        self.certain = self.certain.clone()
        self.rows_out += count
        return mask.numpy()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        before = self._state()
        try:
            yield
        except BaseException:
            self._restore(before)
            raise

    def _state(self) -> dict[str, Any]:
        names = ("rows", "rows_out", "finished", "waiting", "certain")
        return {name: getattr(self, name) for name in names} | {"runner": self.runner.state()}

    def _restore(self, state: dict[str, Any]) -> None:
        self.rows, self.rows_out, self.finished = state["rows"], state["rows_out"], state["finished"]
        self.waiting, self.certain = state["waiting"], state["certain"]
        self.runner.restore(state["runner"])


def _one_period(network: StagedModel) -> range:
    """Heights of a picture whose last rows are as certain as those of any larger one, for each phase of its strides."""
    start = network.total_stride
    while certain_rows(network, start) == 0:
        start += network.total_stride
    return range(start, start + network.total_stride)


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Nested plain values as JSON has them; tensors go into the dictionary and leave their names."""
    if isinstance(value, Tensor):
        name = f"tensor{len(tensors)}"
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": {key: _packed(one, tensors) for key, one in value.items()}}
    return [_packed(one, tensors) for one in value] if isinstance(value, list | tuple) else value


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `_packed`; lists come back as tuples, maps channels-last."""
    if isinstance(value, list):
        return tuple(_unpacked(one, tensors) for one in value)
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        tensor = tensors[value["tensor"]]
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
    return {key: _unpacked(one, tensors) for key, one in value["dict"].items()}


def _read(path: str | os.PathLike[str]) -> tuple[str, dict[str, Tensor]]:
    """The text and the tensors of a file that is what `StreamingSegmenter.save_state` wrote, bit for bit."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with open_regular(path) as file:
            data = file.read()
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        if header["sha256"] != digest(header["state"], tensors):
            raise ValueError("the checksum is wrong")
    except InputError as error:
        raise ModelFileError(str(error)) from None
    except (SafetensorError, ValueError, LookupError, TypeError) as error:
        raise ModelFileError(f"{printable(path)}: no saved stream, or damaged ({printable(error)})") from None
    return header["state"], tensors
