import math

import pytest

from sweepseg.compare.results import TYPES, Row, read, write
from sweepseg.errors import UsageError

from .rows import row


def test_rows_come_back_as_they_were(tmp_path):
    rows = [row(), row(data='a "b", c', seed=1, train_seconds=math.inf)]
    write(tmp_path / "new" / "results.csv", rows)
    assert read(tmp_path / "new" / "results.csv") == rows
    assert read(tmp_path / "nowhere.csv") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", r"has the columns a,b, not data,split,model,seed,.*; name another file"),
        ("", "is no file of results"),
        (b"\xff\xfe", "is no file of results"),
        (",".join(TYPES) + "\nnuclei,test\n", "line 2: .*; mend or remove it"),
        (",".join(TYPES) + "\n" + ",".join(["x"] * len(TYPES)) + "\n", "line 2: invalid literal for int"),
    ],
)
def test_another_file_is_refused(tmp_path, text, message):
    path = tmp_path / "results.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=message):
        read(path)


def test_a_key_is_what_tells_runs_apart():
    same = {"steps": 1, "parameters": 1, "mean_iou": 0.0, "torch": "0"}
    assert row().key == row(**same).key
    for other in ({"data": "x"}, {"split": "val"}, {"model": "x"}, {"seed": 9}, {"settings": "x"}):
        assert row(**other).key != row().key
    assert isinstance(row(), Row)
