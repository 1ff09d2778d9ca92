"""How large an image may be in a given amount of memory."""

import torch

from ..models.segmenter import Segmenter

BASE = 400_000_000  # bytes of a process that has loaded torch and a small model
SAFETY = 2.0  # temporaries of convolutions over the maps that are counted


def max_pixels(model: Segmenter, memory: int) -> int:
    """The most pixels that one image may have, from the size of all maps of the network on a small image.

    Args:
        model: The model.
        memory: Bytes for the whole process.
    """
    side, total = 64, 0

    def count(_module: torch.nn.Module, _inputs: object, output: object) -> None:
        nonlocal total
        first = output[0] if isinstance(output, tuple) else output
        total += first.numel() * first.element_size() if isinstance(first, torch.Tensor) else 0

    leaves = [m for m in model.modules() if not any(True for _ in m.children())]
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    with torch.inference_mode():
        model(model.mean.new_zeros(1, len(model.config.mean), side, side))
    for hook in hooks:
        hook.remove()
    return max(0, int((memory - BASE) / (SAFETY * total / side**2)))
