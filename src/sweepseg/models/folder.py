"""Model folders: `model.safetensors` and `config.json`, and nothing that could run."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.words import FIRST
from ..errors import ModelFileError, printable
from ..io.model_folder import FORMAT, read_model_folder, write_model_folder
from ..layers.stages import LAYOUT
from . import MODELS
from .segmenter import ModelConfig, Segmenter

CLASSES = {  # how many a task takes, at least and at most
    "binary": (2, 2),
    "multiclass": (2, 255),
    "multilabel": (1, 65536),
    "classification": (2, 65536),
    "sequence": (1, 65536),
    "generation": (2, 256),
    "instances": (1, 254),
    "detection": (1, 254),
    "referring": (2, 2),
    "regression": (1, 255),
}
BEYOND_CLASSES = {
    "binary": -1,
    "sequence": 1,
    "instances": 2,
    "detection": 2,
    "referring": -1,
}  # logits beside one for each class
# dimensions of the logits of tasks that are for images alone
IMAGE_LOGITS = {
    "classification": 2,
    "sequence": 3,
    "instances": 4,
    "referring": 4,
    "regression": 4,
    "generation": 5,
    "detection": 5,
}


def build(config: ModelConfig, builders: Mapping[str, Callable[..., nn.Module]] = MODELS) -> Segmenter:
    """Build the network that a config describes, with fresh weights.

    Args:
        config: The model.
        builders: What it chooses from.

    Raises:
        ModelFileError: The builder is not one of these, or does not take these arguments.
    """
    model = Segmenter(build_network(config.builder, config.arguments, builders), config)
    model.network.to(memory_format=LAYOUT[model.dimensions])  # type: ignore[call-overload] # not in its stubs
    return model


def build_network(
    name: str, arguments: Mapping[str, Any], builders: Mapping[str, Callable[..., nn.Module]] = MODELS
) -> nn.Module:
    """Call the builder of this name; see `build`."""
    if name not in builders:
        raise ModelFileError(f"unknown model {name!r}; this version has {', '.join(builders)}")
    builder = builders[name]
    try:
        bound = inspect.signature(builder).bind(**arguments)
        for key, value in bound.arguments.items():
            wanted = bound.signature.parameters[key].annotation
            if wanted in (bool, int, str) and type(value) is not wanted:
                raise TypeError(f"{key} is {value!r}, not {wanted.__name__}")
        return builder(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:  # torch refuses impossible sizes with any of these
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ModelFileError(f"model {name} does not take {given}: {printable(error)}") from None


def save_model(folder: str | Path, model: Segmenter, *, half: bool = False) -> None:
    """Write a model folder, each file complete or not at all.

    Args:
        folder: Where to; made if missing.
        model: The model.
        half: Store weights as float16, half the size; they are loaded as float32. Statistics of batch norm, which
            outgrow float16, stay float32.
    """
    weights = {name for name, _ in model.network.named_parameters()} if half else set()
    tensors = {name: value.half() if name in weights else value for name, value in model.network.state_dict().items()}
    config = json.loads(json.dumps({"format": FORMAT, **asdict(model.config)}))  # tuples become lists
    write_model_folder(Path(folder), tensors, config)


def load(folder: str | Path) -> Segmenter:
    """Load a model folder, ready for use: in evaluation mode, float32, on the CPU.

    Raises:
        ModelFileError: The folder is not a model of ours, is damaged, or its weights do not fit its config.

    >>> load(bundled_model()).config.classes
    ('background', 'nucleus')
    """
    values, tensors = read_model_folder(Path(folder))
    config = ModelConfig(**{key: _tupled(value) for key, value in values.items() if key != "format"})
    try:
        _check_classes(config)
        _check_words(config)
        with torch.device("meta"):  # takes no memory, whatever sizes the config asks for
            _check_weights(build(config), tensors)
        model = build(config).eval()
        model.network.load_state_dict(tensors)
        _check_channels(model)
    except ModelFileError as error:
        raise ModelFileError(f"{printable(folder)}: {error}") from None
    return model


def _check_classes(config: ModelConfig) -> None:
    """Refuse a number of classes that the task does not have, and names that would mix up masks or lead elsewhere."""
    count = len(config.classes)
    least, most = CLASSES[config.task]
    if not least <= count <= most:
        raise ModelFileError(f"{count} classes for task {config.task}, which takes {least} to {most}")
    if len(set(config.classes)) < count:
        raise ModelFileError(f"two classes have one name: {', '.join(config.classes)}")
    if config.task in ("multilabel", "regression"):
        for name in config.classes:
            if "/" in name or "\\" in name:
                raise ModelFileError(f"the class name {name!r} cannot be the name of a mask file")


def _check_words(config: ModelConfig) -> None:
    """Refuse words that are not as many as the network has numbers for, and a task that lacks them or does not."""
    if (config.task == "referring") != bool(config.words):
        raise ModelFileError(
            f"{len(config.words)} words for task {config.task}; referring, and no other task, has some"
        )
    if config.words and config.arguments.get("num_words") != FIRST + len(config.words):
        given = config.arguments.get("num_words")
        raise ModelFileError(f"num_words is {given} for {len(config.words)} words; wanted is {FIRST} more")


def _check_weights(model: Segmenter, tensors: dict[str, torch.Tensor]) -> None:
    """Refuse tensors that are not those of the network."""
    wanted = model.network.state_dict()
    missing, unknown = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or unknown:
        raise ModelFileError(f"the weights do not fit the config; missing: {_some(missing)}; unknown: {_some(unknown)}")
    for name, value in wanted.items():
        given = tensors[name]
        if value.shape != given.shape or value.is_floating_point() != given.is_floating_point():
            raise ModelFileError(
                f"{name} is {given.dtype} {tuple(given.shape)}, the config wants {value.dtype} {tuple(value.shape)}"
            )
        if name.endswith("running_var") and (given < 0).any():
            raise ModelFileError(f"{name} holds a negative variance")


def _check_channels(model: Segmenter) -> None:
    """Refuse a network that does not suit its task, its classes and the channels of its images."""
    config = model.config
    try:
        with torch.inference_mode():
            told = [torch.ones(1, 1, dtype=torch.int64)] if config.words else []
            logits = model(torch.zeros(1, len(config.mean), *(16,) * model.dimensions), *told)
    except ValueError as error:
        raise ModelFileError(f"the config has the means of {len(config.mean)} channels, but {error}") from None
    dimensions = IMAGE_LOGITS.get(config.task, 2 + model.dimensions)
    if logits.dim() != dimensions or (model.volumes and config.task in IMAGE_LOGITS):
        raise ModelFileError(f"model {config.builder} does not do task {config.task}")
    given = logits.shape[2 if config.task == "detection" else 1]
    wanted = len(config.classes) + BEYOND_CLASSES.get(config.task, 0)
    if given != wanted:
        raise ModelFileError(f"the network gives {given} logits; {len(config.classes)} classes want {wanted}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + f" and {len(names) - 3} more" * (len(names) > 3) or "none"


def bundled_model() -> Path:
    """Folder of the nuclei model that comes with sweepseg, the default of `predict`."""
    package = Path(__file__).parents[1]
    name = Path("weights", "nuclei-sweepnet_small")
    installed, checkout = package / name, package.parents[1] / name
    return installed if installed.is_dir() else checkout


def _tupled(value: Any) -> Any:
    """JSON's lists as the tuples of `ModelConfig`."""
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value
