"""A model on disk: `model.safetensors` and `config.json`, which hold numbers and plain words and can run nothing.

What a config may say is fixed by `SCHEMA`; it chooses from our tables and never names a Python path. Whether the
tensors fit the model that the config describes is for the caller to check.
"""

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ..errors import InputError, ModelFileError, printable
from ..task_names import TaskName
from .files import atomic_write, open_regular, reason

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"

MAX_CONFIG = MAX_HEADER = 1 << 20  # bytes
MAX_WEIGHTS = 1 << 32  # bytes
MAX_TENSORS = 10_000
TASKS = get_args(TaskName)
DTYPES = {"F32": 4, "F16": 2, "I64": 8}  # -> bytes; I64 for counters such as num_batches_tracked

PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")  # how pickles and zips of them begin

_TENSOR_NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,100}")  # no dots and slashes: neither a Python path nor a file


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= 2**53  # false for inf and nan


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= 1000 and all(_is_plain(one) and not isinstance(one, list) for one in value)
    if isinstance(value, str):
        return bool(_WORD.fullmatch(value))
    return value is None or isinstance(value, bool) or _is_number(value)


def _is_arguments(value: Any) -> bool:
    return isinstance(value, dict) and all(_NAME.fullmatch(key) and _is_plain(one) for key, one in value.items())


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(one) is int and 0 <= one <= 255 for one in value)


def _list_of(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and 0 < len(value) <= 65536 and all(map(accepts, value))


# key -> what its value has to be, in words and as a test
SCHEMA: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "format": ("the number 1", lambda value: type(value) is int and value == FORMAT),
    "builder": ("a builder's name", lambda value: isinstance(value, str) and bool(_NAME.fullmatch(value))),
    "arguments": ("names with numbers, words, true, false, null or flat lists of these", _is_arguments),
    "task": (f"one of {', '.join(TASKS)}", lambda value: value in TASKS),
    "task_arguments": ("names with numbers, words, true, false, null or flat lists of these", _is_arguments),
    "classes": ("a list of printable names", _list_of(_is_label)),
    "palette": ("a list of [red, green, blue] in 0..255", _list_of(_is_color)),
    "mean": ("a list of numbers", _list_of(_is_number)),
    "std": ("a list of numbers above 0", _list_of(lambda value: _is_number(value) and value > 0)),
    "input_range": (
        "null or [low, high] with low < high",
        lambda value: (
            value is None
            or (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] < value[1])
        ),
    ),
    "words": ("a list of printable words", lambda value: value == [] or _list_of(_is_label)(value)),
}
OPTIONAL: dict[str, Any] = {"task_arguments": {}, "words": []}  # keys that may be left out, and what that means


def write_model_folder(
    folder: str | os.PathLike[str], tensors: Mapping[str, "Tensor"], config: Mapping[str, Any]
) -> None:
    """Write a model folder; each of its two files is replaced whole, the config last.

    Args:
        folder: Where to; created if need be.
        tensors: float32 or float16 weights (int64 counters) by name.
        config: One value for each key of `SCHEMA`; ``format`` and those of `OPTIONAL` may be left out.

    Raises:
        ValueError: `read_model_folder` would refuse these tensors or this config.
        OutputError: See `files.atomic_write`.
    """
    from safetensors.torch import save

    config = {"format": FORMAT, **OPTIONAL, **config}
    try:
        _check_config(config)
        weights = save({name: tensor.detach().contiguous() for name, tensor in tensors.items()})
        _check_weights(weights)
        _check_finite(tensors)
    except ModelFileError as error:
        raise ValueError(f"not a model that could be read again: {error}") from error
    atomic_write(Path(folder, WEIGHTS), weights)
    atomic_write(Path(folder, CONFIG), json.dumps(config, indent=2).encode())


def read_model_folder(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, "Tensor"]]:
    """Read a model folder from anyone; nothing in it can make us run code or take memory beyond its size.

    Args:
        folder: It holds `model.safetensors` and `config.json`.

    Returns:
        The config and the tensors, both checked on their own but not against each other.

    Raises:
        ModelFileError: Anything about the two files is not as `write_model_folder` writes it.
    """
    import safetensors.torch

    folder = Path(folder)
    _refuse_pickle(folder)
    try:
        config = _parse_json(_read(folder / CONFIG, MAX_CONFIG))
        config = OPTIONAL | config
        _check_config(config)
    except ModelFileError as error:
        raise ModelFileError(f"{printable(folder / CONFIG)}: {error}") from error
    try:
        weights = _read(folder / WEIGHTS, MAX_WEIGHTS)
        _check_weights(weights)
        tensors = safetensors.torch.load(weights)
        _check_finite(tensors)
    except MemoryError as error:
        raise ModelFileError(f"{printable(folder / WEIGHTS)}: too large for memory") from error
    except (ModelFileError, safetensors.SafetensorError) as error:
        raise ModelFileError(f"{printable(folder / WEIGHTS)}: {printable(error)}") from error
    return config, tensors


def _refuse_pickle(folder: Path) -> None:
    advice = f"a model is a folder with {WEIGHTS} and {CONFIG}; pickles, which can run any program, are never loaded"
    try:
        names = {path.name for path in folder.iterdir()}
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{printable(folder)}: {reason(error)}; {advice}") from error
    pickles = sorted(name for name in names if name.endswith((".pt", ".pth", ".ckpt", ".bin", ".pkl")))
    if pickles and WEIGHTS not in names:
        raise ModelFileError(f"{printable(folder / pickles[0])} is not read: {advice}")


def _read(path: Path, limit: int) -> bytes:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise ModelFileError(f"{size} bytes, at most {limit} are read")
            return file.read(limit)
    except InputError as error:
        raise ModelFileError(error.reason) from error


def _parse_json(data: bytes) -> dict[str, Any]:
    """A JSON object in which no key stands twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise ValueError("a key stands twice")
        return result

    try:
        result = json.loads(data.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"not valid JSON: {printable(error)}") from error
    if not isinstance(result, dict):
        raise ModelFileError(f"not a JSON object but a {type(result).__name__}")
    return result


def _check_config(config: Mapping[str, Any]) -> None:
    version = config.get("format")
    if type(version) is int and version > FORMAT:
        raise ModelFileError(f"format {version} is newer than {FORMAT}, the newest that is read; upgrade sweepseg")
    for key in config:
        if key not in SCHEMA:
            raise ModelFileError(f"unknown key {printable(key)[:100]!r}; known are {', '.join(SCHEMA)}")
    for key, (wanted, accepts) in SCHEMA.items():
        if key not in config:
            raise ModelFileError(f"key {key!r} is missing; wanted is {wanted}")
        if not accepts(config[key]):
            raise ModelFileError(f"{key} is {printable(config[key])[:100]}; wanted is {wanted}")
    if len(config["palette"]) != len(config["classes"]):
        raise ModelFileError(f"{len(config['palette'])} colours for {len(config['classes'])} classes")
    if len(config["mean"]) != len(config["std"]):
        raise ModelFileError(f"mean has {len(config['mean'])} numbers but std {len(config['std'])}")


def _check_weights(data: bytes) -> None:
    """What the safetensors library does not check, before it sees the file.

    Source: the format's description, https://github.com/safetensors/safetensors#format
    """
    if len(data) < 8:
        raise ModelFileError(f"not safetensors: {len(data)} bytes")
    length = int.from_bytes(data[:8], "little")
    if length > min(MAX_HEADER, len(data) - 8):
        kind = "a pickle or a zip, which are never loaded" if data[:2] in PICKLES else "not safetensors"
        raise ModelFileError(
            f"{kind}: header of {length} bytes in a file of {len(data)}, at most {MAX_HEADER} are read"
        )
    header = _parse_json(data[8 : 8 + length])
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise ModelFileError(f"{len(header)} tensors, at most {MAX_TENSORS} are read")
    total = 0
    for name, entry in header.items():
        if not _TENSOR_NAME.fullmatch(name):
            raise ModelFileError(f"tensor name {printable(name)[:100]!r}; letters, digits, '_' and '.' may stand in it")
        dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ModelFileError(f"{name} is of type {printable(dtype)[:100]}; known are {', '.join(DTYPES)}")
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            raise ModelFileError(f"{name} has the shape {printable(shape)[:100]}")
        total += math.prod(shape) * DTYPES[dtype]
    if total != len(data) - 8 - length:
        raise ModelFileError(f"cut short or extended: {len(data) - 8 - length} bytes of weights, {total} announced")


def _check_finite(tensors: Mapping[str, "Tensor"]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ModelFileError(f"{name} holds a value that is not finite")
