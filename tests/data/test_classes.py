import pytest

from sweepseg.data.classes import Label, read_classes, voc_palette
from sweepseg.errors import UsageError

STREET = (Label("sky", 0, (1, 2, 3)), Label("zebra crossing", 7, (4, 5, 6)), Label("Void", 255, (0, 0, 0)))

SOFT = (Label("ground", 0, last=127), Label("road", 128, last=255))


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("classes.txt", "# id name r g b\n0 sky 1 2 3\n\n7 zebra crossing 4 5 6\n255 Void 0 0 0\n", STREET),
        (
            "classes.json",
            '[{"name": "sky", "value": 0, "color": [1, 2, 3]}, {"name": "zebra crossing", "value": 7, '
            '"color": [4, 5, 6]}, {"name": "Void", "value": 255, "color": [0, 0, 0]}]',
            STREET,
        ),
        ("classes.txt", "sky\nzebra crossing\n", (Label("sky", 0), Label("zebra crossing", 1))),
        ("classes.json", '["sky", "zebra crossing"]', (Label("sky", 0), Label("zebra crossing", 1))),
        ("classes.txt", "3 sky\n", (Label("sky", 3),)),
        ("classes.txt", "2\n3\n", (Label("2", 0), Label("3", 1))),
        ("classes.txt", "0-127 ground\n128-255 road 1 2 3\n", (*SOFT[:1], Label("road", 128, (1, 2, 3), last=255))),
        ("classes.json", '[{"name": "ground", "value": "0-127"}, {"name": "road", "value": "128-255"}]', SOFT),
        ("classes.txt", "18-wheeler truck\n5-5 road\n", (Label("18-wheeler truck", 0), Label("road", 5))),
    ],
)
def test_class_files(save, tmp_path, file, content, expected):
    save(file, content)
    assert read_classes(tmp_path) == expected


def test_values_of_a_label_are_one_or_all_of_its_range():
    assert [*Label("sky", 7).values] == [7] and [*Label("sky", 7, last=9).values] == [7, 8, 9]


def test_no_class_file_is_no_labels(tmp_path):
    assert read_classes(tmp_path) is None


@pytest.mark.parametrize(("name", "ignored"), [("void", True), ("Unlabelled", True), ("avoid", False), ("sky", False)])
def test_only_the_names_for_ignored_pixels_are_ignored(name, ignored):
    assert Label(name, 0).ignored is ignored


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("classes.txt", "", "no class"),
        ("classes.txt", "void\n", "no class"),
        ("classes.txt", "sky\nsky\n", "name sky stands there twice"),
        ("classes.txt", "1 sky\n1 road\n", "value 1 stands there twice"),
        ("classes.txt", "0-127 sky\n127-255 road\n", "value 127 stands there twice"),
        ("classes.txt", "9-3 sky\n", "9-3 is not an integer from 0 to 65535 or a range"),
        ("classes.txt", "0-65536 sky\n", "0-65536 is not an integer from 0 to 65535 or a range"),
        ("classes.txt", "0 sky 1 2 3\n1 road 1 2 3\n", r"color \(1, 2, 3\) stands there twice"),
        ("classes.txt", "0 sky 1 2 256\n", "not three integers from 0 to 255"),
        ("classes.txt", "99999 sky\n", "99999 is not an integer from 0 to 65535"),
        ("classes.json", '{"sky": 0}', "not a list"),
        ("classes.json", '["sky", 3]', "entry 1 is 3"),
        ("classes.json", '[{"name": "sky", "colour": [1, 2, 3]}]', "entry 0"),
        ("classes.json", '[{"name": "sky", "value": true}]', "True is not an integer"),
        ("classes.json", '[{"name": "sky", "value": -1}]', "-1 is not an integer from 0"),
        ("classes.json", '[{"name": "sky", "value": [1, 3]}]', "3] is not an integer"),
        ("classes.json", '[{"name": "sky", "last": 3}]', "entry 0"),
        ("classes.json", '[{"name": "sky", "color": [1, 2]}]', "not three integers"),
        ("classes.json", '["sky"', "delimiter"),
    ],
)
def test_class_files_that_cannot_serve_name_file_and_reason(save, tmp_path, file, content, reason):
    save(file, content)
    with pytest.raises(UsageError, match=f"{file}: .*{reason}"):
        read_classes(tmp_path)


def test_text_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "classes.txt").write_bytes(b"stra\xdfe\n")
    with pytest.raises(UsageError, match=r"classes\.txt: .*utf-8"):
        read_classes(tmp_path)


def test_voc_palette_is_the_published_one():
    palette = voc_palette(256)
    published = {  # VOC 2012: background, aeroplane, bicycle, horse, person, tv monitor, void
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        13: (192, 0, 128),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    assert {index: palette[index] for index in published} == published
    assert len(set(palette)) == 256
