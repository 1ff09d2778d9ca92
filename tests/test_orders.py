"""Scan orders: exact inverses, known paths, views, and which of them run strip by strip."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepseg.cells import MinGRU
from sweepseg.layers.sweep import Sweep
from sweepseg.orders import ORDERS, Order, backward, columns, diagonal, hilbert, patches, reroll, rows, snake, unroll

ALL = [*ORDERS.values(), patches(2, 3), patches(1, 2)]
EVERY = [*ALL, *map(backward, ALL)]
every_order = pytest.mark.parametrize("order", EVERY, ids=lambda order: order.name)


def numbered(height, width, batch=1, channels=1):
    """A map whose every value is its own place, (B, C, H, W)."""
    return torch.arange(batch * channels * height * width).view(batch, channels, height, width)


def layouts(x):
    """The same map contiguous, channels-last, as a transposed view, and as a crop of a larger one."""
    framed = x.new_full((*x.shape[:2], x.shape[2] + 2, x.shape[3] + 3), -1)
    framed[..., 1:-1, 2:-1] = x
    yield x
    yield x.contiguous(memory_format=torch.channels_last)
    yield x.mT.contiguous().mT
    yield framed[..., 1:-1, 2:-1]


@every_order
@settings(max_examples=25, deadline=None, derandomize=True)
@given(height=st.integers(1, 9), width=st.integers(1, 9))
def test_each_pixel_once_and_back(order, height, width):
    x = numbered(height, width, batch=2, channels=3)
    for view in layouts(x):
        sequence = unroll(view, order)
        assert sequence.shape[0] == 2 and sequence.shape[-1] == 3
        assert torch.equal(sequence[0, ..., 0].flatten().sort().values, x[0, 0].flatten())
        assert torch.equal(reroll(sequence, order, (height, width)), x)


PATHS = {  # over the pixels 0 to 11 of 3 rows of 4, by hand
    "rows": [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]],
    "columns": [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]],
    "raster": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    "snake": [0, 1, 2, 3, 7, 6, 5, 4, 8, 9, 10, 11],
    "diagonal": [0, 1, 4, 2, 5, 8, 3, 6, 9, 7, 10, 11],
    "hilbert": [0, 1, 5, 4, 8, 9, 10, 11, 7, 6, 2, 3],
    "patches(2, 3)": [0, 1, 2, 4, 5, 6, 3, 7, 8, 9, 10, 11],
    "patches(1, 2)": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
}


@pytest.mark.parametrize("order", ALL, ids=lambda order: order.name)
def test_path_by_hand(order):
    assert unroll(numbered(3, 4), order)[0, ..., 0].tolist() == PATHS[order.name]


def turtle(level):
    """Hilbert's curve over 2**level x 2**level pixels as (row, column), drawn by Lindenmayer's rules."""
    rules = {"L": "+RF-LFL-FR+", "R": "-LF+RFR+FL-"}  # F: a step; + and -: a turn
    text = "L"
    for _ in range(level):
        text = "".join(rules.get(letter, letter) for letter in text)
    row, column, down, right = 0, 0, 0, 1
    yield row, column
    for letter in text:
        if letter == "F":
            row, column = row + down, column + right
            yield row, column
        elif letter in "+-":
            down, right = (right, -down) if letter == "+" else (-right, down)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (4, 4), (16, 16), (5, 7), (7, 5), (1, 9), (33, 2)])
def test_hilbert_is_the_curve_of_the_square_around_the_map(height, width):
    square = turtle((max(height, width) - 1).bit_length())
    expected = [row * width + column for row, column in square if row < height and column < width]
    assert unroll(numbered(height, width), hilbert).flatten().tolist() == expected


@pytest.mark.parametrize("order", [rows, columns])
def test_rows_and_columns_are_views(order):
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    sequence = unroll(x, order)
    assert sequence.data_ptr() == x.data_ptr()
    back = reroll(sequence, order, (4, 5))
    assert back.data_ptr() == x.data_ptr() and back.stride() == x.stride()


@every_order
def test_channels_last_comes_back_channels_last(order):
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert reroll(unroll(x, order), order, (4, 5)).is_contiguous(memory_format=torch.channels_last)


@every_order
def test_backward_twice_is_the_order(order):
    assert backward(backward(order)) == order
    assert backward(order).name != order.name and backward(order).reverse is not order.reverse


def strip_by_strip(sweep, x, height):
    """Sweep over strips of ``height`` rows from the top, the state carried where the order says so."""
    state, outputs = None, []
    for strip in x.split(height, dim=2):
        output, final = sweep(strip, state)
        state = final if sweep.order.carries else None
        outputs.append(output)
    return torch.cat(outputs, dim=2)


def runs_on_strips(order):
    """Whether strips of 1, 2 and 3 rows all give the whole map's answer."""
    sweep, x = Sweep(MinGRU(2, 3).double(), order), torch.randn(1, 2, 7, 6).double()
    whole, _ = sweep(x)
    return all(torch.allclose(strip_by_strip(sweep, x, height), whole, rtol=0, atol=1e-12) for height in (1, 2, 3))


@every_order
def test_says_truly_whether_it_runs_on_strips(order):
    assert runs_on_strips(order) is order.strips


@pytest.mark.parametrize("order", [replace(snake, downwards=True), replace(diagonal, downwards=True)])
def test_catches_an_order_that_claims_strips(order):
    assert order.strips and not runs_on_strips(order)


@every_order
def test_inference_first_then_training(order):
    """Nothing made in inference mode is kept."""
    x = torch.randn(1, 2, 5, 6, requires_grad=True)
    with torch.inference_mode():
        unroll(x, order)
    sequence = unroll(x, order)
    reroll(sequence, order, (5, 6)).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


@pytest.mark.parametrize("order", ALL, ids=lambda order: order.name)
def test_one_graph(order):
    def there_and_back(x):
        return reroll(unroll(x, order), order, (4, 5))

    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(torch.compile(there_and_back, fullgraph=True, backend="eager")(x), x)


def test_loses_a_pixel_is_caught():
    forgetful = Order("forgetful", path=lambda grid: torch.cat((grid.flatten()[:-1], grid.flatten()[:1])))
    with pytest.raises(AssertionError):
        test_each_pixel_once_and_back.hypothesis.inner_test(forgetful, 2, 3)


@pytest.mark.parametrize("size", [(0, 2), (2, -1)])
def test_empty_patches_are_refused(size):
    with pytest.raises(ValueError, match=r"is empty; give at least 1x1"):
        patches(*size)
