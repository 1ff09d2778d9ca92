"""Models with random weights, which change neither time nor memory, and the memory of this process."""

from pathlib import Path

from sweepseg.models.folder import build
from sweepseg.models.segmenter import ModelConfig, Segmenter


def untrained(name: str, num_classes: int, in_channels: int) -> Segmenter:
    """A new model of that name, in evaluation mode."""
    return build(
        ModelConfig(
            builder=name,
            arguments={"num_classes": num_classes, "in_channels": in_channels},
            task="multiclass",
            classes=tuple(f"class {i}" for i in range(num_classes)),
            palette=tuple((i, i, i) for i in range(num_classes)),
            mean=(0.5,) * in_channels,
            std=(0.25,) * in_channels,
        )
    ).eval()


def resident() -> float:
    """Resident size of this process in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000
