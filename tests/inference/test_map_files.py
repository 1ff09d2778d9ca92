import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepseg.inference.map_files import Box, MapFile, StateFile


@st.composite
def boxes(draw, height: int = 7, width: int = 5) -> Box:
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return Box(top, draw(st.integers(top + 1, height)), left, draw(st.integers(left + 1, width)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(boxes(), min_size=1, max_size=5), boxes(), st.booleans())
def test_windows_come_back_as_from_an_array(tmp_path_factory, written, read, channels_last):
    oracle = np.zeros((1, 3, 7, 5), np.float32)
    everything = Box(0, 7, 0, 5)
    with MapFile(tmp_path_factory.mktemp("maps") / "map", 3, 7, 5) as file:
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


def test_file_is_deleted_and_never_replaces_another(tmp_path):
    path = tmp_path / "map"
    with MapFile(path, 1, 2, 2) as file:
        file.close()  # a second time does no harm
        assert not path.exists()
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        MapFile(path, 1, 2, 2)
    assert path.read_text() == "precious"


def test_what_was_never_written_is_not_made_up(tmp_path):
    with MapFile(tmp_path / "map", 1, 4, 4) as file:
        file.write(Box(0, 1, 0, 4), torch.ones(1, 1, 1, 4))
        with pytest.raises(EOFError, match="shorter than what was written"):
            file.read(Box(1, 2, 0, 4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_stored_values_keep_their_type(dtype, tmp_path):
    x = torch.arange(24).view(1, 2, 3, 4).to(dtype)
    with MapFile(tmp_path / "map", 2, 3, 4, dtype=dtype) as file:
        file.write(Box(0, 3, 0, 4), x)
        assert (tmp_path / "map").stat().st_size == 24 * dtype.itemsize
        part = file.read(Box(1, 3, 0, 3))
    assert part.dtype == dtype and part.tolist() == x[..., 1:, :3].tolist()


def test_states_come_back_in_the_opposite_order(tmp_path):
    lstm = (torch.randn(1, 7, 3), torch.randn(1, 7, 3))
    x = torch.randn(2, 3)
    states = [None, [None, x, lstm], [None, x.double(), lstm], [torch.zeros(0), [], None]]
    with StateFile(tmp_path / "states") as file:
        for state in states:
            file.push(state)
        file.file.flush()
        size = sum(StateFile.HEADER + tensor.nbytes for tensor in (x, x.double(), *lstm, *lstm, torch.zeros(0)))
        assert (tmp_path / "states").stat().st_size == size
        for state in reversed(states):
            torch.testing.assert_close(file.pop(), state, rtol=0, atol=0)
        assert not file.states
    assert not (tmp_path / "states").exists()


def test_a_window_lies_where_its_box_says():
    x = torch.arange(12.0).view(1, 1, 3, 4)
    outer = Box(10, 13, 20, 24)
    assert Box(11, 12, 21, 23).within(x, outer).flatten().tolist() == [5, 6]
    assert Box(0, 2, 3, 4).union(Box(1, 5, 0, 2)) == Box(0, 5, 0, 4)
    with pytest.raises(AssertionError):
        Box(9, 12, 21, 23).within(x, outer)
