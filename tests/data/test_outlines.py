"""Outlines against pycocotools and against masks worked by hand."""

import numpy as np
import pytest
from pycocotools import mask as coco
from scipy import ndimage

from sweepseg.data.outlines import Outline

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, numpy 2


def decoded(segmentation, height, width):
    """The mask that pycocotools makes, (height, width) bool."""
    runs = coco.frPyObjects(segmentation, height, width)
    return coco.decode(coco.merge(runs) if isinstance(runs, list) else runs).astype(bool)


def test_run_lengths_are_those_of_coco():
    mask = np.random.default_rng(0).random((7, 5)) < 0.4
    for given in (mask, ~mask, np.ones_like(mask)):
        flat = given.T.ravel()  # down the columns
        changes = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1), flat.size]
        counts = [0] * bool(flat[0]) + np.diff(changes).tolist()
        outline = Outline.parsed({"counts": counts, "size": [7, 5]}, 7, 5)
        np.testing.assert_array_equal(outline.mask, given)
        np.testing.assert_array_equal(outline.mask, decoded({"counts": counts, "size": [7, 5]}, 7, 5))


def test_polygons_are_filled_together():
    outline = Outline.parsed([[1, 1, 4, 1, 4, 3, 1, 3], [6, 0, 8, 0, 8, 2, 6, 2]], 5, 8)
    expected = np.zeros((5, 8), bool)
    expected[1:3, 1:4] = True
    expected[0:2, 6:8] = True
    np.testing.assert_array_equal(outline.mask, expected)


@pytest.mark.parametrize("corners", [3, 5, 12])
def test_polygons_of_any_form_are_those_of_coco_but_for_their_borders(corners):
    random = np.random.default_rng(corners)
    angles = np.sort(random.uniform(0, 2 * np.pi, corners))
    radii = random.uniform(15, 45, corners)
    polygon = np.stack([50 + radii * np.cos(angles), 40 + radii * np.sin(angles)], 1).ravel().tolist()
    ours, theirs = Outline.parsed([polygon], 70, 90).mask, decoded([polygon], 70, 90)
    border = ndimage.binary_dilation(theirs) & ~ndimage.binary_erosion(theirs)
    np.testing.assert_array_equal(ours[~border], theirs[~border])
    assert (ours ^ theirs).sum() < 0.25 * border.sum()


def test_corners_far_outside_cost_nothing_and_cover_what_is_inside():
    far = Outline.parsed([[-1e9, -1e9, 1e9, -1e9, 1e9, 1e9, -1e9, 1e9]], 4, 6)
    assert far.mask.all() and far.mask.shape == (4, 6)


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        [[]],
        [[1, 1, 2, 2]],
        [[1, 1, 2, 2, 3, 3, 4]],
        [[1, 1, 2, 2, 3, "3"]],
        [[1, 1, 2, 2, 3, float("nan")]],
        {"counts": [3, 4]},
        {"counts": [-1, 31]},
        {"counts": "0;d"},
        None,
    ],
    ids=str,
)
def test_what_is_no_outline_is_refused(segmentation):
    with pytest.raises(ValueError, match="neither polygons of three corners or more nor run lengths"):
        Outline.parsed(segmentation, 5, 6)
