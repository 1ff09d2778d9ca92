"""Distances to borders by brute force."""

import numpy as np

from sweepseg.data.distance import border_distance


def test_by_brute_force():
    numbers = np.zeros((9, 11), np.int64)
    numbers[1:6, 2:7], numbers[4:8, 7:9], numbers[0:2, 8:11], numbers[8, 0] = 9, 4, 65535, 2
    numbers[8, 10] = -1
    padded = np.pad(numbers, 1)
    places = np.stack(np.indices(padded.shape), -1)
    for row, column in np.ndindex(numbers.shape):
        others = places[padded != numbers[row, column]]
        nearest = np.sqrt(((others - [row + 1, column + 1]) ** 2).sum(1).min())
        assert border_distance(numbers)[row, column] == (nearest if numbers[row, column] > 0 else 0)
    assert not border_distance(np.zeros((3, 4), np.int64)).any()
