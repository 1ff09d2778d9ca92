import json
from pathlib import Path

import pytest
import torch
from inference.models import model, told_model
from safetensors.torch import load_file, save_file

from sweepseg.errors import ModelFileError
from sweepseg.models.folder import build, bundled_model, load, save_model
from sweepseg.models.segmenter import ModelConfig


def tensors(network) -> dict[str, torch.Tensor]:
    return network.state_dict()


@pytest.fixture
def saved(tmp_path) -> Path:
    save_model(tmp_path / "model", model("multiclass", 3))
    return tmp_path / "model"


def change_config(folder: Path, **values) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def change_tensors(folder: Path, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("task", "classes", "channels"), [("binary", 2, 3), ("multiclass", 7, 1), ("multilabel", 1, 5)]
)
@pytest.mark.parametrize("builder", ["sweepnet_small", "sweepnet_small_control"])
def test_saving_and_loading_gives_the_same_model_bit_for_bit(tmp_path, task, classes, channels, builder):
    before = model(task, classes, channels, builder)
    save_model(tmp_path / "model", before)
    after = load(tmp_path / "model")
    assert after.config == before.config and not after.training
    assert tensors(after.network).keys() == tensors(before.network).keys()
    assert all(torch.equal(value, tensors(before.network)[name]) for name, value in tensors(after.network).items())
    image = torch.rand(1, channels, 40, 56)
    with torch.inference_mode():
        assert torch.equal(after(image), before(image))


@pytest.mark.parametrize(
    ("task", "builder", "logits", "other"),
    [
        ("classification", "renet_classifier", 3, "sequence"),
        ("sequence", "crnn", 4, "multiclass"),
        ("multiclass", "sweepnet_volume_small", 3, "generation"),
        ("instances", "sweepnet_nano", 5, "detection"),
        ("detection", "rsis", 5, "instances"),
        ("regression", "sweepnet_nano", 3, "classification"),
    ],
)
def test_networks_are_saved_and_loaded_for_their_task_alone(tmp_path, task, builder, logits, other):
    config = ModelConfig(
        builder=builder,
        arguments={"num_classes": logits, "in_channels": 1},
        task=task,
        classes=("a", "b", "c"),
        palette=((0, 0, 0),) * 3,
        mean=(0.5,),
        std=(1.0,),
    )
    before = build(config).eval()
    image = torch.rand(2, 1, *(12, 30, 40)[-before.dimensions :])
    save_model(tmp_path / "model", before)
    with torch.inference_mode():
        assert torch.equal(load(tmp_path / "model")(image), before(image))
    change_config(tmp_path / "model", classes=["a", "b"], palette=[[0, 0, 0]] * 2)
    with pytest.raises(ModelFileError, match=f"gives {logits} logits; 2 classes want {logits - 1}"):
        load(tmp_path / "model")
    change_config(tmp_path / "model", task=other)
    with pytest.raises(ModelFileError, match=f"model {builder} does not do task {other}"):
        load(tmp_path / "model")


def test_half_precision_weights_take_half_the_space_and_load_as_float32(tmp_path):
    before = model()
    save_model(tmp_path / "float", before)
    save_model(tmp_path / "half", before, half=True)
    full, half = (
        path.stat().st_size for path in map(Path, (tmp_path / n / "model.safetensors" for n in ("float", "half")))
    )
    assert half < 0.52 * full
    weights = dict(before.network.named_parameters())
    for name, value in tensors(load(tmp_path / "half").network).items():
        want = tensors(before.network)[name]
        assert value.dtype == want.dtype
        assert torch.equal(value, want.half().float() if name in weights else want)  # statistics stay as they are


def test_bundled_model_loads():
    config = load(bundled_model()).config
    assert config.classes == ("background", "nucleus") and config.task_arguments == {}  # which its file leaves out


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"builder": "resnet"}, "unknown model 'resnet'; this version has sweepnet_small"),
        ({"arguments": {"num_classes": 4}}, r"head.* is torch.float32 \(3,.*the config wants torch.float32 \(4,"),
        ({"arguments": {"num_classes": 3, "in_channels": 1}}, r"\(32, 3, 3, 3\), the config wants .* \(32, 1, 3, 3\)"),
        ({"arguments": {}}, "missing a required argument: 'num_classes'"),
        ({"arguments": {"num_classes": 3, "depth": 2}}, "unexpected keyword argument 'depth'"),
        ({"arguments": {"num_classes": "3"}}, "num_classes is '3', not int"),
        ({"arguments": {"num_classes": True}}, "num_classes is True, not int"),
        ({"arguments": {"num_classes": 3.0}}, "num_classes is 3.0, not int"),
        ({"arguments": {"num_classes": None}}, "num_classes is None, not int"),
        ({"arguments": {"num_classes": [3]}}, r"num_classes is \[3\], not int"),
        ({"arguments": {"num_classes": 3, "causal": "no"}}, "causal is 'no', not bool"),
        ({"arguments": {"num_classes": 10**9}}, "give 1 to 255"),
        ({"arguments": {"num_classes": -1}}, "give 1 to 255"),
        ({"arguments": {"num_classes": 3, "in_channels": -1}}, "negative dimension"),
        ({"arguments": {"num_classes": 3, "in_channels": 10**9}}, r"the config wants .* \(32, 1000000000, 3, 3\)"),
        ({"arguments": {"num_classes": 3, "in_channels": 2**53}}, "overflow"),
        ({"arguments": {"num_classes": 3, "causal": True}}, "is torch.float32|missing"),
        ({"classes": ["a", "b"], "palette": [[0, 0, 0]] * 2}, "gives 3 logits; 2 classes want 2"),
        ({"classes": ["a", "b", "b"]}, "two classes have one name"),
        ({"classes": ["a"], "palette": [[0, 0, 0]]}, "1 classes for task multiclass, which takes 2 to 255"),
        ({"task": "binary"}, "3 classes for task binary, which takes 2"),
        (
            {"task": "binary", "classes": ["a", "b"], "palette": [[0, 0, 0]] * 2},
            "gives 3 logits; 2 classes want 1",
        ),
        ({"task": "multilabel", "classes": ["a", "b", "../../c"]}, "'../../c' cannot be the name of a mask file"),
        ({"task": "multilabel", "classes": ["a", "b", "c\\d"]}, "cannot be the name of a mask file"),
        ({"mean": [0.5], "std": [0.5]}, "means of 1 channels, but got an image tensor"),
        ({"task": "classification"}, "model sweepnet_small does not do task classification"),
    ],
)
def test_config_that_does_not_fit_is_refused_by_naming_the_difference(saved, values, words):
    change_config(saved, **values)
    with pytest.raises(ModelFileError, match=words) as refusal:
        load(saved)
    assert str(refusal.value).startswith(str(saved)) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: weights.pop("stages.head.module.project.bias"), "missing: stages.head.module.project.bias;"),
        (lambda weights: weights.update(more=torch.zeros(1)), "missing: none; unknown: more"),
        (lambda weights: weights.update({f"m{i}": torch.zeros(1) for i in range(9)}), "m0, m1, m2 and 6 more"),
        (
            lambda weights: weights.update({"stages.head.module.project.bias": torch.zeros(4)}),
            r"project.bias is torch.float32 \(4,\), the config wants torch.float32 \(3,\)",
        ),
        (
            lambda weights: weights.update({"stages.head.module.project.bias": torch.zeros(3, dtype=torch.int64)}),
            "project.bias is torch.int64",
        ),
        (lambda weights: weights["stages.down2.module.1.running_var"].neg_(), "running_var holds a negative variance"),
    ],
    ids=["missing", "unknown", "many unknown", "shape", "type", "variance"],
)
def test_weights_that_do_not_fit_are_refused_by_naming_the_difference(saved, change, words):
    change_tensors(saved, change)
    with pytest.raises(ModelFileError, match=words):
        load(saved)


def test_building_with_impossible_arguments_names_them():
    config = ModelConfig(
        builder="sweepnet_small", arguments={"num_classes": 0}, task="binary", classes=(), palette=(), mean=(), std=()
    )
    with pytest.raises(ModelFileError, match="sweepnet_small does not take num_classes=0"):
        build(config)


@pytest.fixture
def told(tmp_path):
    """A saved model that knows two words, and it."""
    before = told_model()
    save_model(tmp_path / "told", before)
    return tmp_path / "told", before


def test_words_are_part_of_a_model_and_others_have_none(told, saved):
    folder, before = told
    image, words = torch.rand(1, 3, 20, 24), torch.tensor([[3, 1, 2]])
    after = load(folder)
    assert after.config.words == ("hat", "red")
    with torch.inference_mode():
        assert torch.equal(after(image, words), before(image, words))
    assert load(saved).config.words == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"words": ["hat"]}, "num_words is 4 for 1 words; wanted is 2 more"),
        ({"words": []}, "0 words for task referring"),
        ({"task": "binary"}, "2 words for task binary; referring, and no other task, has some"),
        ({"words": ["hat", "\x07"]}, "wanted is a list of printable words"),
    ],
)
def test_words_that_do_not_fit_are_refused(told, change, reason):
    change_config(told[0], **change)
    with pytest.raises(ModelFileError, match=reason):
        load(told[0])


def test_a_model_of_sentences_without_words_is_refused(told):
    config = json.loads((told[0] / "config.json").read_text())
    del config["words"]
    (told[0] / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match="0 words for task referring"):
        load(told[0])
