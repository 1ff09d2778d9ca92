import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sweepseg.data.dataset import MissingMask, Problem, Sample, SegmentationSet
from sweepseg.errors import UsageError


@pytest.fixture
def sequences():
    def samples(*names):
        return tuple(Sample(name, Path(f"{name}.png"), None) for name in names)

    return SegmentationSet(
        root=Path("root"),
        layout="default",
        task="multiclass",
        classes=("sky", "road"),
        palette=((0, 0, 0), (1, 1, 1)),
        splits={"train": samples("s1_0", "s2_0", "s1_1", "s3_0"), "val": samples("v"), "test": samples("t")},
        remap={0: 0, 1: 1, 255: 255},
    )


def names(dataset):
    return {split: [sample.name for sample in samples] for split, samples in dataset.splits.items()}


def test_hold_out_moves_the_sequence_to_val_and_leaves_test(sequences):
    assert names(sequences.hold_out("s1")) == {"train": ["s2_0", "s3_0"], "val": ["s1_0", "s1_1"], "test": ["t"]}


def test_hold_out_leaves_the_set_itself_as_it_was(sequences):
    before = dataclasses.replace(sequences)
    sequences.hold_out("s1")
    assert sequences == before


@pytest.mark.parametrize(("prefix", "counted"), [("s4", "0 of 4"), ("s", "4 of 4"), ("1", "0 of 4")])
def test_hold_out_refuses_a_prefix_that_leaves_a_side_empty(sequences, prefix, counted):
    with pytest.raises(UsageError, match=f"{counted} .*{prefix}"):
        sequences.hold_out(prefix)


@pytest.mark.parametrize(
    ("share", "held"), [("1/2", ["s1_1", "s3_0"]), ("1/3", ["s2_0"]), ("1/4", ["s3_0"]), ("1/03", None), ("1/5", None)]
)
def test_hold_out_takes_a_share_in_the_order_of_names(sequences, share, held):
    if held is None:
        with pytest.raises(UsageError, match=f"0 of 4 .*{share}"):
            sequences.hold_out(share)
        return
    parts = names(sequences.hold_out(share))
    assert sorted(parts["val"]) == held
    assert {*parts["train"], *parts["val"]} == {"s1_0", "s1_1", "s2_0", "s3_0"}


def test_mask_files_are_the_file_the_folder_or_none(save, labels):
    mask = save("m/cell.png", labels)
    save("m/border.png", labels)
    files = {where: Sample("x", mask, where).mask_files() for where in (None, mask, mask.parent)}
    assert files == {None: [], mask: [mask], mask.parent: [mask.with_name("border.png"), mask]}


def annotated(count, bare=0):
    """A set of training samples of which some have masks."""
    masks = [Path("mask.png")] * count + [None] * bare
    samples = tuple(Sample(f"s{i}", Path(f"s{i}.png"), mask) for i, mask in enumerate(masks))
    options = {"layout": "default", "task": "binary", "classes": ("a", "b"), "palette": ((0, 0, 0), (1, 1, 1))}
    return SegmentationSet(root=Path("root"), splits={"train": samples, "val": samples}, remap={0: 0}, **options)


def labelled(dataset, split="train"):
    return {sample.name for sample in dataset.splits[split] if sample.annotated}


def test_shares_of_labels_are_nested_and_drawn():
    dataset = annotated(20, bare=5)
    kept = [dataset.keep_labels(share, np.random.default_rng(0)) for share in (0.05, 0.1, 0.25, 0.5, 1.0)]
    assert [len(labelled(one)) for one in kept] == [1, 2, 5, 10, 20]
    for fewer, more in pairwise(kept):
        assert labelled(fewer) < labelled(more)
    assert kept[-1] == dataset
    assert all(len(one.splits["train"]) == 25 and labelled(one, "val") == labelled(dataset) for one in kept)
    drawn = {frozenset(labelled(dataset.keep_labels(0.1, np.random.default_rng(seed)))) for seed in range(9)}
    assert len(drawn) > 5


@pytest.mark.parametrize(("count", "share", "words"), [(20, 0.02, "0.02 of the 20"), (0, 1.0, "1 of the 0")])
def test_a_share_without_any_label_is_refused(count, share, words):
    with pytest.raises(UsageError, match=f"share of {words} annotated training samples of root is none; give a larger"):
        annotated(count, bare=3).keep_labels(share, np.random.default_rng(0))


def test_missing_masks_of_training_pictures_alone_are_forgiven():
    wrong = [MissingMask(Path("s1.png"), "a"), MissingMask(Path("other.png"), "b"), Problem(Path("s1.png"), "c")]
    dataset = dataclasses.replace(annotated(1, bare=1), problems=tuple(wrong))
    assert dataset.forgive_missing_masks().problems == (*wrong[1:],)
