"""Model folders: `model.safetensors` and `config.json`, and nothing that could run."""

import inspect
import json
from dataclasses import asdict
from pathlib import Path

import torch

from ..errors import ModelFileError
from ..io.model_folder import FORMAT, read_model_folder, write_model_folder
from . import MODELS
from .segmenter import ModelConfig, Segmenter


def build(config: ModelConfig) -> Segmenter:
    """Build the network that a config describes, with fresh weights.

    Raises:
        ModelFileError: The builder is not one of ours, or does not take these arguments.
    """
    if config.builder not in MODELS:
        raise ModelFileError(f"unknown model {config.builder!r}; this version has {', '.join(MODELS)}")
    builder = MODELS[config.builder]
    try:
        inspect.signature(builder).bind(**config.arguments)
        network = builder(**config.arguments)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"model {config.builder} does not take the arguments {config.arguments}: {error}") from None
    return Segmenter(network.to(memory_format=torch.channels_last), config)


def save_model(folder: str | Path, model: Segmenter, *, half: bool = False) -> None:
    """Write a model folder, each file complete or not at all.

    Args:
        folder: Where to; made if missing.
        model: The model.
        half: Store weights as float16, half the size; they are loaded as float32.
    """
    tensors = {
        name: value.half() if half and value.is_floating_point() else value
        for name, value in model.network.state_dict().items()
    }
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
    values = {key: _tupled(value) for key, value in values.items() if key != "format"}
    model = build(ModelConfig(**values))
    wanted = model.network.state_dict()
    if wanted.keys() != tensors.keys():
        missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
        raise ModelFileError(f"{folder}: the weights do not fit the config; missing {missing[:3]}, unknown {extra[:3]}")
    for name, value in wanted.items():
        if value.shape != tensors[name].shape or value.is_floating_point() != tensors[name].is_floating_point():
            raise ModelFileError(
                f"{folder}: {name} is {tensors[name].dtype} {tuple(tensors[name].shape)}, "
                f"the config wants {value.dtype} {tuple(value.shape)}"
            )
    model.network.load_state_dict(tensors)
    return model.eval()


def bundled_model() -> Path:
    """Folder of the nuclei model that comes with sweepseg, the default of `predict`."""
    package = Path(__file__).parents[1]
    name = Path("weights", "nuclei-sweepnet_small")
    installed, checkout = package / name, package.parents[1] / name
    return installed if installed.is_dir() else checkout


def _tupled(value: object) -> object:
    """JSON's lists as the tuples of `ModelConfig`."""
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value
