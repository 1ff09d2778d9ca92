"""The labels that data sets define for all who use them: names, mask values and colours."""

from .classes import Label, voc_palette

CAMVID = (
    Label("Sky", 0, (128, 128, 128)),
    Label("Building", 1, (128, 0, 0)),
    Label("Pole", 2, (192, 192, 128)),
    Label("Road", 3, (128, 64, 128)),
    Label("Pavement", 4, (60, 40, 222)),
    Label("Tree", 5, (128, 128, 0)),
    Label("SignSymbol", 6, (192, 128, 128)),
    Label("Fence", 7, (64, 64, 128)),
    Label("Car", 8, (64, 0, 128)),
    Label("Pedestrian", 9, (64, 64, 0)),
    Label("Bicyclist", 10, (0, 128, 192)),
    Label("Unlabelled", 11, (0, 0, 0)),
)

# name, id in the published labelIds, colour; the order is that of the train ids
CITYSCAPES = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)

VOC_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
VOC = (
    *(Label(name, value, color) for value, (name, color) in enumerate(zip(VOC_NAMES, voc_palette(21), strict=True))),
    Label("void", 255, voc_palette(256)[255]),
)

# ids in the published labels.txt, of 182, that no pixel has; a pixel's value is its id less 1
COCO_STUFF_UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}
