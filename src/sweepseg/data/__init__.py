"""Data sets: finding, checking and reading pairs of image and mask."""

from .bundled import digit_glyphs, digit_lines, digit_sample, nuclei_sample, open_by_name
from .check import Report, SplitReport, check
from .dataset import (
    DataSet,
    InstanceSet,
    LabelledSet,
    LineSet,
    MapSet,
    Problem,
    ReferringSet,
    Sample,
    SegmentationSet,
)
from .layouts import LAYOUTS
from .opening import open_dataset
from .pairs import read_input, read_pair
from .statistics import channel_stats

__all__ = [
    "LAYOUTS",
    "DataSet",
    "InstanceSet",
    "LabelledSet",
    "LineSet",
    "MapSet",
    "Problem",
    "ReferringSet",
    "Report",
    "Sample",
    "SegmentationSet",
    "SplitReport",
    "channel_stats",
    "check",
    "digit_glyphs",
    "digit_lines",
    "digit_sample",
    "nuclei_sample",
    "open_by_name",
    "open_dataset",
    "read_input",
    "read_pair",
]
