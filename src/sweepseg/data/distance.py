"""How far inside of its object each pixel lies."""

import numpy as np


def border_distance(numbers: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest one that is not of its object, which may lie beyond the border of the map.

    Args:
        numbers: Of the object of each pixel, int64 (H, W); 0 and less for none.

    Returns:
        float64 (H, W) in pixels, 1 and more in objects, 0 where there is none.

    >>> border_distance(np.array([[0, 3, 3, 3, 5, 0]]))
    array([[0., 1., 1., 1., 1., 0.]])
    """
    from scipy.ndimage import distance_transform_edt, find_objects

    found, position = np.unique(numbers, return_inverse=True)
    ranks = position.reshape(numbers.shape) - np.count_nonzero(found <= 0) + 1  # 1, 2, ... for objects, below none
    result = np.zeros(numbers.shape)
    for rank, box in enumerate(find_objects(ranks.clip(0)), 1):
        own = ranks[box] == rank
        result[box][own] = distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1][own]
    return result
