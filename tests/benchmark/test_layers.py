import pytest

from sweepseg.benchmark import layers


@pytest.mark.parametrize("exponent", [1.0, 1.25])
def test_growth_is_the_exponent_of_the_pixels(exponent):
    case = next(case for case in layers.cases(8) if "growth" in case.rows[-1].name)
    pixels = [(8 * 2**i) ** 2 for i in range(5)]
    *sizes, growth = case.run(lambda functions: [[count**exponent] for count in pixels])
    assert growth.value == pytest.approx(exponent)
    assert [row.value for row in sizes] == pytest.approx([1e9 * count ** (exponent - 1) for count in pixels])


def test_memory_is_the_ratio_of_both_layers(monkeypatch):
    asked = []
    monkeypatch.setattr(layers, "MISSING", None)
    monkeypatch.setattr(
        layers, "peak_bytes", lambda builds: [asked.append(build.args) or len(asked) for build in builds]
    )
    (case,) = (case for case in layers.cases(8) if case.rows[0].quantity == "bytes")
    (row,) = case.run(None)
    assert asked == [(16, False), (16, True)], "ours, then that of torch"
    assert (row.value, row.ours, row.theirs) == (0.5, 1, 2)
