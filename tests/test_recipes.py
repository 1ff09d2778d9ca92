from pathlib import Path

import pytest

from sweepseg.cli.parser import parse

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


def test_there_are_recipes():
    assert len(RECIPES) >= 2


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_train_takes_every_key(recipe):
    function, values = parse(["train", "DATA", "--config", str(recipe)])
    assert function.__name__ == "train" and values["precision"] == "bfloat16"
