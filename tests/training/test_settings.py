import math

import pytest
import yaml

from sweepseg.errors import UsageError
from sweepseg.training.settings import Settings


@pytest.mark.parametrize(
    "name, value, wanted",
    [
        ("batch_size", 0, "at least 1"),
        ("accumulate", 0, "at least 1"),
        ("validate_every", 0, "at least 1"),
        ("save_every", 0, "at least 1"),
        ("steps", 0, "at least 1"),
        ("clip_length", 0, "at least 1"),
        ("clip_stride", 0, "at least 1"),
        ("chunk_length", 0, "at least 1"),
        ("crop", (0, 5), "a height and width of at least 1"),
        ("l1", -1e-9, "0 or more"),
        ("l2", -1.0, "0 or more"),
        ("weight_decay", -1.0, "0 or more"),
        ("clip", -1.0, "0 or more"),
        ("clip_value", -1.0, "0 or more"),
        ("rotate", -1.0, "0 or more"),
        ("noise", -0.1, "0 or more"),
        ("early_stop", -1, "0 or more"),
        ("workers", -1, "0 or more"),
        ("seed", -1, "0 or more"),
        ("ema", 1.5, "0 to 1"),
        ("labels", 0.0, "more than 0, up to 1"),
        ("labels", 1.5, "more than 0, up to 1"),
        ("consistency", -1.0, "0 or more"),
        ("confidence", 1.5, "0 to 1"),
        ("blur", -0.1, "0 to 1"),
        ("colour", 1.1, "0 to 1"),
        ("oversample_foreground", 33.0, "0 to 1"),
        ("cutmix", -0.5, "0 to 1"),
        ("teacher_weight", 2.0, "0 to 1"),
        ("warmup", 2.0, "0 to 1"),
        ("label_smoothing", 1.0, "less than 1"),
        ("epochs", 0.0, "more than 0"),
        ("learning_rate", math.nan, "more than 0"),
        ("scale", (2.0, 1.0), "the smaller first, more than 0"),
        ("scale", (0.0, 1.0), "the smaller first, more than 0"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(name, value, wanted):
    with pytest.raises(UsageError) as refused:
        Settings(data="nuclei", **{name: value})
    assert str(refused.value) == f"{name} is {value}; give {wanted}"


def test_plain_values_survive_yaml_and_make_the_same_settings():
    settings = Settings(data="nuclei", crop=(3, 4), steps=5, task="binary")
    again = yaml.safe_load(yaml.safe_dump(settings.as_dict()))
    assert settings.differing(again) == []
    assert Settings(**again).as_dict() == settings.as_dict()


def test_only_what_decides_the_result_counts_as_different():
    first = Settings(data="nuclei")
    free = {
        "output": "x",
        "workers": 3,
        "resume": True,
        "tensorboard": True,
        "save_every": 1,
        "device": "cpu",
    }
    assert first.differing(Settings(data="nuclei", **free).as_dict()) == []
    changed = {"data": "y", "seed": 1, "crop": (1, 2), "ema": 0.5, "loss": "dice", "epochs": 1.0, "hold_out": "a"}
    assert set(first.differing(Settings(**changed).as_dict())) == changed.keys()


def test_a_setting_that_an_earlier_run_did_not_know_had_the_effect_of_its_default():
    earlier = Settings(data="nuclei").as_dict()
    del earlier["oversample_foreground"]
    assert Settings(data="nuclei").differing(earlier) == []
    assert Settings(data="nuclei", oversample_foreground=0.5).differing(earlier) == ["oversample_foreground"]
