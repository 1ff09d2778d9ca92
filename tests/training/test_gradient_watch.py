import pytest

from sweepseg.training.gradient_watch import BLOWN_UP, DEAD, PATIENCE, GradientWatch


def said(norms):
    lines = []
    watch = GradientWatch(lines.append)
    for step, norm in enumerate(norms, 1):
        watch(norm, step)
    return lines


@pytest.mark.parametrize(("norm", "word"), [(DEAD / 2, "died"), (0.0, "died"), (2 * BLOWN_UP, "blown up")])
def test_a_trend_is_said_once_until_it_ends(norm, word):
    assert said([norm] * (PATIENCE - 1)) == []
    (line,) = said([1.0, 1.0] + [norm] * 3 * PATIENCE)
    assert word in line and "since step 3;" in line
    assert len(said(([norm] * PATIENCE + [1.0]) * 2)) == 2


@pytest.mark.parametrize("between", [1.0, BLOWN_UP * 2])
def test_what_comes_back_in_between_is_no_trend(between):
    assert said(([0.0] * (PATIENCE - 1) + [between]) * 3) == []
