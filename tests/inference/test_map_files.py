from contextlib import closing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepseg.inference.map_files import Box, MapFile, StateFiles, cut, saved_bytes


@st.composite
def boxes(draw, height: int = 7, width: int = 5) -> Box:
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return Box(top, draw(st.integers(top + 1, height)), left, draw(st.integers(left + 1, width)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(boxes(), min_size=1, max_size=5), boxes(), st.booleans())
def test_windows_come_back_as_from_an_array(tmp_path_factory, written, read, channels_last):
    oracle = np.zeros((1, 3, 7, 5), np.float32)
    everything = Box(0, 7, 0, 5)
    with closing(MapFile(tmp_path_factory.mktemp("maps") / "map", 3, 7, 5)) as file:
        file.write(everything, torch.zeros(1, 3, 7, 5))
        for number, box in enumerate(written):
            x = torch.randn(
                1, 3, box.bottom - box.top, box.right - box.left, generator=torch.Generator().manual_seed(number)
            )
            x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
            file.write(box, x)
            oracle[..., box.top : box.bottom, box.left : box.right] = x
        torch.testing.assert_close(file.read(everything), torch.from_numpy(oracle), rtol=0, atol=0)
        part = oracle[..., read.top : read.bottom, read.left : read.right]
        torch.testing.assert_close(file.read(read), torch.from_numpy(part), rtol=0, atol=0)


def test_what_a_file_holds_stays(tmp_path):
    for number in (1, 2):
        with closing(MapFile(tmp_path / "map", 1, 2, 2)) as file:
            file.write(Box(number - 1, number, 0, 2), torch.full((1, 1, 1, 2), float(number)))
            written = file.read(Box(0, number, 0, 2)).flatten().tolist()
        file.close()  # a second time does no harm
    assert written == [1, 1, 2, 2]


def test_what_was_never_written_is_not_made_up(tmp_path):
    with closing(MapFile(tmp_path / "map", 1, 4, 4)) as file:
        file.write(Box(0, 1, 0, 4), torch.ones(1, 1, 1, 4))
        with pytest.raises(EOFError, match="shorter than what was written"):
            file.read(Box(1, 2, 0, 4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_stored_values_keep_their_type(dtype, tmp_path):
    x = torch.arange(24).view(1, 2, 3, 4).to(dtype)
    with closing(MapFile(tmp_path / "map", 2, 3, 4, dtype=dtype)) as file:
        file.write(Box(0, 3, 0, 4), x)
        assert (tmp_path / "map").stat().st_size == 24 * dtype.itemsize
        part = file.read(Box(1, 3, 0, 3))
    assert part.dtype == dtype and part.tolist() == x[..., 1:, :3].tolist()


def test_states_come_back_and_are_none_beyond_the_borders(tmp_path):
    lstm = (torch.randn(1, 7, 3), torch.randn(1, 7, 3))
    states = [[None, torch.randn(2, 3), lstm], [None, torch.randn(2, 3).double(), lstm], [torch.zeros(0), [], None]]
    files = StateFiles(tmp_path, "states", len(states))
    for number, state in enumerate(states):
        files.save(number, state)
    for number in (2, 0, 1):
        torch.testing.assert_close(files.load(number), states[number], rtol=0, atol=0)
    assert files.load(-1) is files.load(3) is None
    files.remove()
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("width", [10, 37, 5000])
def test_bytes_of_states_are_what_their_files_take(width, tmp_path):
    def state(width):
        whole = torch.zeros(1, 40, width, 24)  # of which the state is a part, as the last row of a map is
        return [None, whole[:, -1], (torch.zeros(1, width, 5), None), torch.zeros(1, 90)]

    StateFiles(tmp_path, "x", 1).save(0, state(width * 4))
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size <= saved_bytes(state(width), state(2 * width), 4) <= file.stat().st_size + 600


@pytest.mark.parametrize("window", [(3, 4), (1, 1), (10, 10), (7, 2)])
def test_windows_cover_a_map_once_row_by_row(window):
    times, corners = np.zeros((7, 5), int), []
    for box in cut(7, 5, *window):
        times[box.top : box.bottom, box.left : box.right] += 1
        corners.append((box.top, box.left))
        assert box.bottom - box.top <= window[0] and box.right - box.left <= window[1]
    assert (times == 1).all() and corners == sorted(corners)


def test_a_window_lies_where_its_box_says():
    x = torch.arange(12.0).view(1, 1, 3, 4)
    outer = Box(10, 13, 20, 24)
    assert Box(11, 12, 21, 23).within(x, outer).flatten().tolist() == [5, 6]
    assert Box(0, 2, 3, 4).union(Box(1, 5, 0, 2)) == Box(0, 5, 0, 4)
    with pytest.raises(AssertionError):
        Box(9, 12, 21, 23).within(x, outer)
