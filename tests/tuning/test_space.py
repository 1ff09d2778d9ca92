import optuna
import pytest

from sweepseg.errors import UsageError
from sweepseg.training.settings import Settings
from sweepseg.tuning.space import Choice, Range, applied, check_space, default_space, read_space

SETTINGS = Settings(data="nuclei")


def read(tmp_path, text):
    (tmp_path / "search.yaml").write_text(text)
    return read_space(tmp_path / "search.yaml")


def test_a_search_file_is_a_recipe_with_lists_and_ranges(tmp_path):
    text = "clip: {low: 1.0e-4, high: 0.01, log: true}\nflip: [true, false]\narguments: {units: {low: 8, high: 9}}"
    assert read(tmp_path, text) == {
        "clip": Range(1e-4, 1e-2, log=True),
        "flip": Choice([True, False]),
        "arguments.units": Range(8, 9),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no search"),
        ("- 1", "holds no search"),
        ("a: [", "search.yaml"),
        ("clip: 3", "clip is 3; give a list of values"),
        ("clip: []", "clip is "),
        ("clip: {low: 3}", "clip is "),
        ("clip: {low: 3, high: 2}", "of which low is the smaller"),
        ("clip: {low: 0, high: 2, log: true}", "more than 0 with log"),
        ("clip: {low: 1, high: 2, step: 3}", "clip is "),
        ("clip: {low: a, high: b}", "clip is "),
        ("arguments: [gru]", "arguments is "),
    ],
)
def test_files_that_make_no_sense_are_refused(tmp_path, text, words):
    with pytest.raises(UsageError, match=r"search\.yaml") as refused:
        read(tmp_path, text)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.yaml"):
        read_space(tmp_path / "nowhere.yaml")


def test_values_are_what_the_command_line_would_read():
    chosen = applied(SETTINGS, {"crop": [64, 96], "learning_rate": 1, "arguments.cell": "gru", "arguments.units": 8})
    assert (chosen.crop, chosen.arguments) == ((64, 96), {"cell": "gru", "units": 8})
    assert applied(chosen, {"arguments.units": 9}).arguments == {"cell": "gru", "units": 9}


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("learning_rat", Choice([0.1]), "learning_rat cannot be searched; did you mean learning_rate?"),
        ("data", Choice(["nuclei"]), "data cannot be searched"),
        ("optimizer", Choice(["adam", "adamx"]), "optimizer cannot be adamx"),
        ("steps", Choice(["many"]), "steps cannot be many"),
        ("clip", Range(-1, 1), "clip is -1"),
        ("arguments.cell", Choice(["gru", "grue"]), "cell is 'grue'; choose from "),
        ("arguments.units", Range(0, 8), "hidden_size is 0"),
        ("arguments.width", Choice([8]), "width"),
        ("arguments.num_classes", Choice([8]), "num_classes, which the data set decides"),
    ],
)
def test_every_value_is_tried_before_anything_is_trained(name, values, words):
    with pytest.raises(UsageError) as refused:
        check_space({name: values}, SETTINGS)
    assert words in str(refused.value)


@pytest.mark.parametrize("model", ["sweepnet_small", "sweepnet_small_control", "reseg"])
def test_the_default_search_suits_every_model(model):
    space = default_space(model)
    check_space(space, Settings(data="nuclei", model=model))
    assert ("arguments.cell" in space) is model.startswith("sweepnet_small")


def test_suggestions_lie_in_the_space():
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(0)).ask()
    rate = Range(1e-4, 1e-2, log=True).suggest(trial, "rate")
    assert 1e-4 <= rate <= 1e-2 and float(f"{rate:.3e}") == rate
    assert Range(3, 3).suggest(trial, "units") == 3 and type(Range(2, 3).suggest(trial, "more")) is int
    assert Choice([[64, 96]]).suggest(trial, "crop") == [64, 96]
