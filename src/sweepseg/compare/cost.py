"""What a network costs for one picture, by measurement: multiply-adds, seconds, memory."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..benchmark.memory import MISSING, peak_bytes
from ..benchmark.timing import Timer
from ..layers.stages import LAYOUT
from ..ops import use_backend
from . import BUILDERS


@dataclass(frozen=True)
class Cost:
    """The cost of segmenting one picture, alone, on one thread, in float32.

    Attributes:
        multiply_adds: Those of convolutions, matrix products, attention and recurrences with weights.
        seconds: Median CPU time.
        peak_mb: The most memory that it takes beyond the weights, in 10^6 bytes; NaN where it cannot be measured.
    """

    multiply_adds: int
    seconds: float
    peak_mb: float


def measure(model: str, arguments: Mapping[str, int], size: tuple[int, ...]) -> Cost:
    """The cost of a model on a picture.

    Args:
        model: Key of `BUILDERS`.
        arguments: Those of its builder, ``num_classes`` and ``in_channels``.
        size: Height and width of the picture in pixels; of a volume depth, height and width.
    """
    run = inference(model, arguments, size)
    with one_thread():
        (times,) = Timer()([run])
        (peak,) = peak_bytes([partial(inference, model, arguments, size)]) if MISSING is None else (math.nan,)
    return Cost(multiply_adds(run), median(times), peak / 1e6)


def inference(model: str, arguments: Mapping[str, int], size: tuple[int, ...]) -> Callable[[], object]:
    """The forward pass of a new network over a random picture or volume."""
    layout = LAYOUT[len(size)]
    network = BUILDERS[model](**arguments).to(memory_format=layout).eval()  # type: ignore[call-overload] # not in its stubs
    picture = torch.randn(1, arguments["in_channels"], *size).to(memory_format=layout)
    return partial(torch.no_grad()(network), picture)


def multiply_adds(run: Callable[[], object]) -> int:
    """Those of convolutions and matrix products in a call.

    torch's counter looks at the operations of torch. So ours run on the reference backend, which is made of these, and
    attention as products and a softmax.

    >>> multiply_adds(lambda: torch.ones(2, 3) @ torch.ones(3, 5))
    30
    """
    with FlopCounterMode(display=False) as counter, use_backend("reference"), sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops() // 2


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
