"""RefCOCO's files, made small, and pickles that would run something."""

import json
import os
import pickle

import numpy as np
import pytest

from sweepseg.data import check, open_dataset
from sweepseg.data.pairs import read_pair
from sweepseg.errors import UsageError

SQUARE, STRIP = [[1, 1, 4, 1, 4, 3, 1, 3]], {"counts": [0, 4, 20], "size": [4, 6]}


def ref(number, split, image, sentences, annotation):
    said = [{"sent_id": 10 * number + i, "sent": text, "tokens": text.split()} for i, text in enumerate(sentences)]
    return {"ref_id": number, "split": split, "image_id": image, "ann_id": annotation, "sentences": said}


REFS = [
    ref(1, "train", 7, ["left man", "man in Red"], 70),
    ref(2, "testA", 8, ["woman"], 80),
    ref(3, "testB", 8, ["the cup"], 80),
    ref(4, "val", 7, ["right one"], 71),
]


@pytest.fixture
def root(save, tmp_path):
    for number in (7, 8):
        save(f"train2014/{number}.jpg", np.zeros((4, 6, 3), np.uint8))
    instances = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "height": 4, "width": 6} for n in (7, 8)],
        "annotations": [
            {"id": 70, "segmentation": SQUARE},
            {"id": 71, "segmentation": STRIP},
            {"id": 80, "segmentation": STRIP},
        ],
    }
    save("instances.json", json.dumps(instances))
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(REFS, protocol=2))
    return tmp_path


def opened(root):
    return open_dataset(root, task="referring")


def test_each_sentence_is_a_sample_with_the_mask_of_its_object(root):
    dataset = opened(root)
    assert (dataset.layout, dataset.words) == ("refcoco", ("in", "left", "man", "red"))
    names = {split: [one.name for one in samples] for split, samples in dataset.splits.items()}
    assert names == {"train": ["train/1/10", "train/1/11"], "test": ["testA/2/20", "testB/3/30"], "val": ["val/4/40"]}
    square = np.zeros((4, 6), int)
    square[1:3, 1:4] = 1
    strip = np.zeros((4, 6), int)
    strip[:, 0] = 1
    for sample, expected in zip(dataset.splits["train"] + dataset.splits["val"], (square, square, strip), strict=True):
        np.testing.assert_array_equal(read_pair(dataset, sample, in_channels=3)[1], expected)
    assert check(dataset).problems == ()


def test_the_splits_of_unc_come_before_those_of_others(root):
    (root / "refs(google).p").write_bytes(b"never read")
    assert len(opened(root).splits["train"]) == 2
    (root / "refs(unc).p").rename(root / "refs(umd).p")
    assert len(opened(root).splits["train"]) == 2


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "evil",
    [Evil(os.mkdir, ("made",)), Evil(eval, ("__import__('os').mkdir('made')",)), Evil(getattr, ([], "append")), set()],
    ids=["os", "eval", "builtins", "a type that is not needed"],
)
@pytest.mark.parametrize("protocol", range(4))
def test_pickles_that_ask_for_code_are_refused_and_run_nothing(root, evil, protocol, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (root / "refs(unc).p").write_bytes(pickle.dumps([*REFS, evil], protocol=protocol))
    with pytest.raises(UsageError, match=r"refs\(unc\).p is not RefCOCO's: UnpicklingError: asks for .* but only"):
        opened(root)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("data", [b"", b"junk", pickle.dumps(REFS)[:-9], pickle.dumps([{"split": 3}]), pickle.dumps(5)])
def test_damaged_pickles_are_refused(root, data):
    (root / "refs(unc).p").write_bytes(data)
    with pytest.raises(UsageError, match=r"refs\(unc\).p is not RefCOCO's"):
        opened(root)


@pytest.mark.parametrize("text", ["", "[]", '{"images": []}', '{"images": [{"id": 7}], "annotations": []}'])
def test_damaged_instances_are_refused(root, save, text):
    save("instances.json", text)
    with pytest.raises(UsageError, match=r"instances.json is not COCO's"):
        opened(root)


def test_what_is_missing_is_named(root):
    (root / "train2014" / "8.jpg").unlink()
    reasons = [problem.reason for problem in opened(root).problems]
    assert reasons == [f"speaks of 8.jpg, which lies nowhere below {root}"] * 2
    (root / "refs(unc).p").unlink()
    with pytest.raises(UsageError, match=r"instances.json but no refs\(unc\).p"):
        opened(root)


def test_an_outline_that_is_none_is_a_problem(root):
    text = (root / "instances.json").read_text().replace("[0, 4, 20]", "[0, 4]")
    (root / "instances.json").write_text(text)
    (first, *_) = opened(root).problems
    assert first.path.name == "instances.json" and first.reason.startswith("the outline of annotation 80 is neither")
