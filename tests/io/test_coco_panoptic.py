"""COCO's panoptic files: the bytes of ids, round trips, and what does not fit together."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sweepseg.errors import InputError
from sweepseg.io.coco_panoptic import (
    Annotation,
    Panoptic,
    planes_of,
    read_ids,
    read_panoptic,
    segments_in,
    write_ids,
    write_panoptic,
)

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "coco_panoptic_sample"  # beside the checkout
CATEGORIES = ({"id": 1, "name": "person", "isthing": 1}, {"id": 184, "name": "tree", "isthing": 0, "color": [1, 2, 3]})


def example(folder):
    """A picture with two persons, one of them a crowd, a tree and void, written by Pillow alone."""
    colours = np.zeros((5, 6, 3), np.uint8)
    colours[:2], colours[3, 1:3], colours[3, 4] = (10, 0, 0), (0, 1, 0), (3, 2, 1)
    Image.fromarray(colours).save(folder / "a.png")
    ids = np.zeros((5, 6), np.int64)
    ids[:2], ids[3, 1:3], ids[3, 4] = 10, 256, 3 + 2 * 256 + 65536
    segments = segments_in(ids, {10: 184, 256: 1, 66051: 1})
    segments = (*segments[:2], replace(segments[2], iscrowd=1))
    return ids, Panoptic((Annotation(7, "a.png", segments),), CATEGORIES, {"images": [{"id": 7}], "info": {"year": 1}})


def test_ids_are_bytes_of_colours(tmp_path):
    ids, panoptic = example(tmp_path)
    np.testing.assert_array_equal(read_ids(tmp_path / "a.png", panoptic.annotations[0].segments), ids)
    write_ids(tmp_path / "b.png", ids)
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "b.png")), np.asarray(Image.open(tmp_path / "a.png"))
    )


def test_segments_have_areas_and_boxes(tmp_path):
    _, panoptic = example(tmp_path)
    tree, person, crowd = panoptic.annotations[0].segments
    assert (tree.area, tree.bbox, tree.category_id) == (12, (0, 0, 6, 2), 184)
    assert (person.area, person.bbox, person.iscrowd) == (2, (1, 3, 2, 1), 0)
    assert (crowd.id, crowd.area, crowd.iscrowd) == (66051, 1, 1)


def test_planes_have_class_and_crowd_of_each_pixel(tmp_path):
    ids, panoptic = example(tmp_path)
    planes = planes_of(ids, panoptic.annotations[0].segments[::-1], {1: 5, 184: 0})
    np.testing.assert_array_equal(planes[0], ids)
    np.testing.assert_array_equal(planes[1], np.select([ids == 10, ids > 10], [0, 5], -1))
    np.testing.assert_array_equal(planes[2], ids == 66051)
    unknown = planes_of(ids, panoptic.annotations[0].segments, {1: 5})
    np.testing.assert_array_equal(unknown[1], np.where(ids > 10, 5, -1))


def test_json_comes_back_as_it_was(tmp_path):
    _, panoptic = example(tmp_path)
    write_panoptic(tmp_path / "a.json", panoptic)
    assert read_panoptic(tmp_path / "a.json") == panoptic
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["annotations"][0]["segments_info"][2] == {
        **{"id": 66051, "category_id": 1, "area": 1, "bbox": [4, 3, 1, 1], "iscrowd": 1}
    }
    del content["annotations"][0]["segments_info"][0]["iscrowd"]  # as in results
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_panoptic(tmp_path / "a.json") == panoptic


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample does not lie beside this checkout")
def test_the_sample_of_coco_comes_back_exactly(tmp_path):
    source = SAMPLE / "panoptic_examples.json"
    panoptic = read_panoptic(source)
    write_panoptic(tmp_path / "a.json", panoptic)
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(source.read_text())
    assert [len(one.segments) for one in panoptic.annotations] == [18, 32]
    for one in panoptic.annotations:
        ids = read_ids(SAMPLE / "masks" / one.file_name, one.segments)
        write_ids(tmp_path / "a.png", ids)
        np.testing.assert_array_equal(
            *(np.asarray(Image.open(f)) for f in (SAMPLE / "masks" / one.file_name, tmp_path / "a.png"))
        )
        found = {segment.id: segment for segment in segments_in(ids, {s.id: s.category_id for s in one.segments})}
        for segment in one.segments:
            assert replace(found[segment.id], iscrowd=segment.iscrowd) == segment


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.pop("categories"), r"the file \(KeyError: 'categories'\); wanted are annotations"),
        (lambda content: content["categories"][1].pop("isthing"), "category 1 .*isthing"),
        (lambda content: content["annotations"][0].pop("file_name"), "annotation 0 .*file_name"),
        (lambda content: content["annotations"][0].update(file_name="../a.png"), "leads out of the folder"),
        (lambda content: content["annotations"][0]["segments_info"][0].update(bbox=[1, 2]), "annotation 0 .*unpack"),
    ],
)
def test_json_of_another_form_is_refused(tmp_path, change, reason):
    write_panoptic(tmp_path / "a.json", example(tmp_path)[1])
    content = json.loads((tmp_path / "a.json").read_text())
    change(content)
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=reason):
        read_panoptic(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[1, 2")
    with pytest.raises(InputError, match="cannot be read"):
        read_panoptic(tmp_path / "a.json")


def test_pngs_that_do_not_fit_are_refused(tmp_path):
    ids, panoptic = example(tmp_path)
    segments = panoptic.annotations[0].segments
    with pytest.raises(InputError, match="segment 10 has 12 pixels here and 0 in the JSON file"):
        read_ids(tmp_path / "a.png", segments[1:])
    with pytest.raises(InputError, match="segment 256 has 2 pixels here and 3 in the JSON file"):
        read_ids(tmp_path / "a.png", (segments[0], replace(segments[1], area=3), segments[2]))
    with pytest.raises(InputError, match="segment 99 has 0 pixels here and 2 in the JSON file"):
        read_ids(tmp_path / "a.png", (*segments, replace(segments[1], id=99)))
    Image.fromarray(ids.astype(np.uint8)).save(tmp_path / "grey.png")
    with pytest.raises(InputError, match="is no RGB PNG of 8 bits"):
        read_ids(tmp_path / "grey.png")
    for wrong in (ids - 1, ids + (1 << 24), ids[None], ids.astype(float)):
        with pytest.raises(ValueError, match=r"wanted are \(H, W\) integers in 0..16777215"):
            write_ids(tmp_path / "b.png", wrong)
