"""Videos whose frames are too noisy to be segmented one by one: a ConvGRU over time remembers what was seen before.

python examples/video_memory.py
"""

import runpy
from pathlib import Path

import sweepseg
from sweepseg.data.clips import sequences
from sweepseg.io import read_image


def main(output: str = "runs/video_memory", steps: int = 60) -> None:
    """Make videos of nuclei, train a model with memory on them, and segment a test video frame by frame."""
    data = Path(output) / "data"
    if not data.exists():
        runpy.run_path(str(Path(__file__).with_name("moving_window.py")))["main"](data)
    trained = sweepseg.train(
        sweepseg.Settings(
            data=str(data),
            model="sweepnet_small_video",
            output=f"{output}/model",
            steps=steps,
            batch_size=2,
            clip_length=4,
            crop=(64, 64),
            ema=0.97,
            validate_every=1000,
        ),
        say=print,
    )
    print(trained.headline)
    name, frames = next(iter(sequences(sweepseg.open_dataset(data).splits["test"]).items()))
    segmenter = sweepseg.VideoSegmenter(trained.model)
    for number, frame in enumerate(frames):
        mask = segmenter.push(read_image(frame.image)).mask
        print(f"{name}, frame {number}: {100 * mask.mean():.0f} % of the pixels are nuclei")


if __name__ == "__main__":
    main()
