"""Small videos for tests."""

from pathlib import Path

import av
import numpy as np


def frames(count: int, height: int = 16, width: int = 24) -> np.ndarray:
    """A picture of coloured blocks that moves to the right, uint8 (count, height, width, 3)."""
    blocks = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    picture = blocks.repeat(4, 0).repeat(4, 1)
    return np.stack([np.roll(picture, i, axis=1) for i in range(count)])


def encode(
    path: Path, images: np.ndarray, *, codec: str = "ffv1", pixels: str = "bgr0", rate: int = 10, **options
) -> Path:
    """Write frames; by default without loss. What stands in a container is told by the suffix."""
    with av.open(path, "w", options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = *images.shape[1:3], pixels
        container.start_encoding()
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path
