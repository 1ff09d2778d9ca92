"""Sentences in tables, beside numbered objects."""

import numpy as np
import pytest

from sweepseg.data import check, open_dataset
from sweepseg.data.pairs import read_pair, read_told
from sweepseg.errors import UsageError


@pytest.fixture
def root(save, tmp_path):
    for split, name in (("train", "a"), ("train", "b"), ("test", "c")):
        save(f"images/{split}/{name}.png", np.zeros((4, 6, 3), np.uint8))
        save(f"instances/{split}/{name}.png", np.repeat([[0, 1, 2]], 4, 0).repeat(2, 1).astype(np.uint8))
    save("sentences/train.tsv", "a.png\t1\tThe red hat\na.png\t1, 2\tevery hat\nb.png\t2\tthe dog\n")
    save("sentences/test.tsv", "c.png\t2\tthe green dog\n")
    return tmp_path


def opened(root):
    return open_dataset(root, task="referring")


def test_each_sentence_is_a_sample_with_the_objects_that_it_means(root):
    dataset = opened(root)
    assert (dataset.layout, dataset.classes) == ("sentences", ("background", "object"))
    assert dataset.words == ("dog", "every", "hat", "red", "the")
    train = dataset.splits["train"]
    assert [(one.name, one.sentence) for one in train] == [
        ("a/1", "The red hat"),
        ("a/2", "every hat"),
        ("b/3", "the dog"),
    ]
    for sample, columns in zip(train, ([2, 3], [2, 3, 4, 5], [4, 5]), strict=True):
        image, target = read_pair(dataset, sample, in_channels=3)
        assert image.shape == (3, 4, 6) and target.dtype == np.int64
        assert (target == 1).all(0).nonzero()[0].tolist() == columns and target.sum() == 4 * len(columns)
    assert check(dataset).problems == ()


def test_words_of_test_that_train_lacks_are_unknown(root):
    dataset = opened(root)
    (words,) = read_told(dataset, dataset.splits["test"][0])
    assert words.tolist() == [6, 1, 2]


def test_sentences_that_cannot_be_used_are_problems_and_the_others_stay(root, save):
    save("sentences/train.tsv", "a.png\t1\tThe hat\na.png\t3\tthe dog\nz.png\t1\tthe cat\nb.png\t1\t ?\nb.png\t0\tit\n")
    dataset = opened(root)
    assert [one.name for one in dataset.splits["train"]] == ["a/1", "a/2", "b/5"]
    reasons = [f"{problem.path.name}: {problem.reason}" for problem in check(dataset).errors]
    assert reasons == [
        "train.tsv: line 3 names z.png, which is not in images/train",
        "b.png: ' ?' has no word; describe what to find, such as 'the dog on the left'",
        "a.png: has no object 3, which 'the dog' means",
        "b.png: has no object 0, which 'it' means",
    ]


@pytest.mark.parametrize(
    "line", ["a.png 1 the hat", "a.png\t1", "a.png\tone\tthe hat", "a.png\t\tthe hat", "", "\t1\tx"]
)
def test_lines_that_cannot_be_understood_are_refused(root, save, line):
    save("sentences/train.tsv", f"a.png\t1\tthe hat\n{line}\nb.png\t2\tthe dog\n")
    with pytest.raises(UsageError, match=r"train.tsv: line 2: write NAME.png, a tab, numbers such as 1,3"):
        opened(root)


def test_folders_without_sentences_and_other_numbers_of_classes_are_refused(root, save, tmp_path):
    with pytest.raises(UsageError, match="holds no image with a sentence; looked for"):
        opened(root / "images")
    save("classes.txt", "a\nb\nc")
    with pytest.raises(UsageError, match="has 3 classes; task referring has two"):
        opened(root)
