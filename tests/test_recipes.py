from pathlib import Path

import pytest

from sweepseg.cli.parser import parse

FOLDER = Path(__file__).parents[1] / "recipes"
RECIPES, SHORT = sorted(FOLDER.glob("*.yaml")), sorted((FOLDER / "compare").glob("*.yaml"))


def test_there_are_recipes():
    assert len(RECIPES) >= 2 and len(SHORT) >= 2


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_train_takes_every_key(recipe):
    function, values = parse(["train", "DATA", "--config", str(recipe)])
    assert function.__name__ == "train" and values["precision"] == "bfloat16"


@pytest.mark.parametrize("recipe", SHORT, ids=lambda path: path.stem)
def test_compare_takes_every_key(recipe):
    function, values = parse(["compare", "DATA", "--config", str(recipe)])
    assert function.__name__ == "compare" and values["steps"] and values["crop"]
