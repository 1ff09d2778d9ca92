"""Lines of text with what they read, in a table or beside each."""

import numpy as np
import pytest
from PIL import Image

from sweepseg.data import check, open_dataset
from sweepseg.data.pairs import read_pair
from sweepseg.errors import UsageError


def write_lines(folder, texts):
    folder.mkdir(parents=True)
    for name in texts:
        Image.fromarray(np.zeros((8, 20, 3), np.uint8)).save(folder / f"{name}.png")


def table(texts):
    return "".join(f"{name}.png\t{text}\n" for name, text in texts.items())


@pytest.fixture
def lines(tmp_path):
    train, val = {"1": "ba d", "2": "aa"}, {"3": "bad"}
    write_lines(tmp_path / "train", train)
    write_lines(tmp_path / "val", val)
    (tmp_path / "train" / "labels.tsv").write_text(table(train))
    (tmp_path / "val" / "3.txt").write_text("bad\n")
    return tmp_path


def open_lines(root):
    return open_dataset(root, task="sequence")


def test_texts_come_from_the_table_or_from_files_beside(lines):
    dataset = open_lines(lines)
    assert (dataset.layout, dataset.classes) == ("lines", (" ", "a", "b", "d"))
    assert [(sample.name, sample.text) for sample in dataset.splits["train"]] == [("1", "ba d"), ("2", "aa")]
    image, target = read_pair(dataset, dataset.splits["val"][0], in_channels=3)
    assert image.shape == (3, 8, 20) and target.tolist() == [2, 1, 3] and target.dtype == np.int64
    report = check(dataset)
    assert not report.errors and report.splits["train"].class_pixels.tolist() == [1, 3, 1, 1]
    assert "a: 3 characters (50.00%)" in str(report)


def test_characters_in_the_order_of_the_file(lines):
    (lines / "classes.txt").write_text("d\nb\na\nz\n")
    dataset = open_lines(lines)
    assert read_pair(dataset, dataset.splits["val"][0], 3)[1].tolist() == [1, 2, 0]
    (problem,) = check(dataset).errors  # there is no space among them
    assert problem.path.name == "1.png" and "' ' is not among 'dbaz'" in problem.reason


def test_lines_without_text_and_texts_without_line_are_problems(lines):
    (lines / "train" / "labels.tsv").write_text(table({"1": "ab", "2": "", "9": "b"}))
    (lines / "val" / "3.txt").unlink()
    reasons = {problem.path.name: problem.reason for problem in open_lines(lines).problems}
    assert reasons == {
        "2.png": "nothing says what it reads; write it into labels.tsv or remove the image",
        "labels.tsv": "names 9, which is no image here",
        "3.png": "nothing says what it reads; write it into 3.txt beside it or remove the image",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1.png a\n", "labels.tsv: line 1: no tab"),
        ("1.png\ta\n1.png\tb\n", "line 2: 1 stands there twice"),
        (b"\xff\t\n", "codec"),
    ],
)
def test_tables_that_cannot_be_understood_are_refused(lines, text, reason):
    (lines / "train" / "labels.tsv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=reason):
        open_lines(lines)


def test_folders_without_lines_are_refused(tmp_path, lines):
    with pytest.raises(UsageError, match="holds no line of text; looked for"):
        open_lines(tmp_path / "train")
    (lines / "classes.txt").write_text("ab\nc\n")
    with pytest.raises(UsageError, match="has the characters ab, c; give one a line"):
        open_lines(lines)
