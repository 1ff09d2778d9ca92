from sweepseg.data.labels import CAMVID, CITYSCAPES, COCO_STUFF_UNUSED, VOC


def test_cityscapes_has_the_official_ids():
    assert [label_id for _, label_id, _ in CITYSCAPES] == sorted({*range(7, 34)} - {9, 10, 14, 15, 16, 18, 29, 30})


def test_camvid_and_voc_have_the_published_values_and_colours():
    assert [label.value for label in CAMVID] == [*range(12)] and CAMVID[8].name == "Car"
    published = {"person": (15, (192, 128, 128)), "tvmonitor": (20, (0, 64, 128)), "void": (255, (224, 224, 192))}
    labels = {label.name: (label.value, label.color) for label in VOC}
    assert {name: labels[name] for name in published} == published
    assert [label.value for label in VOC] == [*range(21), 255]


def test_coco_stuff_has_171_classes():
    assert len({*range(1, 183)} - COCO_STUFF_UNUSED) == 171  # 80 things and 91 stuff, as its README says
    assert max(COCO_STUFF_UNUSED) <= 91  # only things lack pixels
