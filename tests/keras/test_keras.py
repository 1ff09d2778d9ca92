"""The page about Keras, and what happens without Keras."""

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "keras.md"


def test_the_page_runs():
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf8"), re.DOTALL):
        exec(block, names)
    assert names["model"].output_shape == (None, None, None, 11)
    assert names["module"].sweeps[1].order.name == "backward rows"


@pytest.mark.parametrize("missing", ["keras", "tensorflow"])
def test_says_what_to_install(monkeypatch, missing):
    """Keras itself is missing, or what Keras takes for its backend if nobody tells it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "keras" or name.startswith("sweepseg.keras")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"there is no {missing}.*; pip install .*KERAS_BACKEND=torch"):
        import_module("sweepseg.keras")
