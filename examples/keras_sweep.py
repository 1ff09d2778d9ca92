"""A Keras network of two sweeps learns to tell handwritten digits from the background, in about two seconds.

KERAS_BACKEND=torch python examples/keras_sweep.py
"""

import keras
import numpy as np

from sweepseg.data.digit_scenes import scene
from sweepseg.keras import MinGRU, Sweep

UNITS, SCENES, EPOCHS = 8, 64, 3


def pictures(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Digit scenes at half size, (count, 32, 32, 3) from 0 to 1, and where their digits are, (count, 32, 32)."""
    scenes = [scene(0, split, index) for index in range(count)]
    images = np.stack([one.image[::2, ::2] for one in scenes]).astype(np.float32) / 255
    return images, np.stack([one.mask[::2, ::2] > 0 for one in scenes]).astype(np.int32)


def train() -> keras.Model:
    """A trained network: along the rows both ways, then along the columns both ways."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            Sweep(keras.layers.Bidirectional(MinGRU(UNITS, return_sequences=True)), "rows"),
            Sweep(keras.layers.Bidirectional(keras.layers.GRU(UNITS, return_sequences=True)), "columns"),
            keras.layers.Dense(2),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*pictures("train", SCENES), batch_size=4, epochs=EPOCHS, verbose=2)
    return model


if __name__ == "__main__":
    images, masks = pictures("test", 16)
    right = train().predict(images, verbose=0).argmax(-1) == masks
    print(f"right at {right.mean():.1%} of the test pixels; background everywhere: {(masks == 0).mean():.1%}")
