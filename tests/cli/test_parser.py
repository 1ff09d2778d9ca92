import inspect
from dataclasses import fields
from typing import Literal, get_args, get_origin

import pytest
import yaml

from sweepseg.cli.parser import PER_RUN, SETTINGS, VERBS, parse
from sweepseg.errors import UsageError
from sweepseg.training.settings import Settings


def other(kind, default):
    """A value of a type that is not the default."""
    if get_origin(kind) is list:
        return [other(get_args(kind)[0], None)] * 2
    if get_origin(kind) is Literal:
        return get_args(kind)[-1]
    if get_origin(kind) is tuple:
        return [other(part, None) for part in get_args(kind)]
    if get_origin(kind) is dict:
        return {"cell": "gru", "units": 8, "share": 0.5, "causal": True}
    if get_args(kind):
        return other(get_args(kind)[0], default)
    return {bool: not default, int: 7, float: 0.25, str: "0001"}[kind]


def changed(verb: str) -> dict:
    """A value that is not the default for every option of a verb, by the signature of its function."""
    parameters = [p for p in inspect.signature(VERBS[verb]).parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = {p.name: other(p.annotation, p.default) for p in parameters}
    if VERBS[verb] in SETTINGS:
        settings = {field.name: other(field.type, field.default) for field in fields(Settings)}
        settings = {k: v for k, v in settings.items() if k not in PER_RUN.get(VERBS[verb], ())}
        options = settings | options
    return options


def plain(values: dict) -> dict:
    return {name: [*value] if isinstance(value, tuple) else value for name, value in values.items()}


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_a_flag_and_a_yaml_key(verb, tmp_path):
    options = changed(verb)
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(options))
    function, from_yaml = parse([verb, "--config", str(tmp_path / "options.yaml")])
    assert function is VERBS[verb]
    assert plain(from_yaml) == options

    words = [verb]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, list) and name in ("data", "models", "seeds", "scales"):
            words += [*([] if name == "data" else [flag]), *map(str, value)]
        elif name in ("input", "data", "image"):
            words.append(str(value))
        elif isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            words += [flag, str(value)]
    assert plain(parse(words)[1]) == options


def test_flags_after_the_file_win(tmp_path):
    (tmp_path / "options.yaml").write_text("memory: 1GB\noverlay: true\n")
    _, values = parse(["predict", "x", "--config", str(tmp_path / "options.yaml"), "--memory", "2GB"])
    assert (values["memory"], values["overlay"], values["output"]) == ("2GB", True, "predictions")


def test_settings_that_a_run_saves_start_the_same_run(tmp_path):
    settings = Settings(data="nuclei", crop=(64, 96), learning_rate=1e-5, hold_out="0001", flip=False)
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings.as_dict()))
    _, values = parse(["train", "--config", str(tmp_path / "settings.yaml")])
    assert values.pop("quiet") is False
    assert Settings(**values) == settings


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no verb was given; the verbs are check, train, "),
        (["predct", "x"], "'predct' is no verb; did you mean predict?"),
        (["frobnicate"], "'frobnicate' is no verb; the verbs are "),
        (["--quiet"], "'--quiet' is no verb; the verbs are "),
        (["predict"], "input is missing; see sweepseg predict --help"),
        (["predict", "x", "--ovelay"], "predict does not take '--ovelay'; did you mean --overlay?"),
        (["predict", "x", "--memry=3GB"], "predict does not take '--memry=3GB'; did you mean --memory?"),
        (["predict", "x", "--skip_existing"], "predict does not take '--skip_existing'; did you mean --skip-existing?"),
        (["predict", "x", "--over"], "predict does not take '--over'; did you mean --overlay?"),
        (["predict", "x", "y"], "predict does not take 'y'"),
        (["predict", "x", "--memory"], "argument --memory: expected one argument"),
        (["train", "nuclei", "--steps", "abc"], "steps is 'abc'; give a whole number or null"),
        (["train", "nuclei", "--epochs", "many"], "epochs is 'many'; give a number"),
        (["train", "nuclei", "--optimizer", "adamx"], "optimizer is 'adamx'; give adamw or adam or sgd"),
        (["val", "nuclei", "--scales", "x"], "scales is 'x'; give a number"),
        (["compare", "nuclei", "--seeds", "0", "x"], "seeds is 'x'; give a whole number"),
        (["compare", "nuclei", "--seed", "0"], "compare does not take '--seed'; did you mean --seeds?"),
        (["compare"], "data is missing; see sweepseg compare --help"),
        (["train", "nuclei", "--arguments", "5"], "arguments is '5'; give {name: value, ...} or null"),
        (["tune", "nuclei", "--resume"], "tune does not take '--resume'"),
        (
            ["train", "nuclei", "--crop", "5"],
            "crop is '5'; give [a whole number, a whole number] or "
            "[a whole number, a whole number, a whole number] or null",
        ),
    ],
    ids=" ".join,
)
def test_words_that_make_no_sense_are_answered_in_one_line(words, message):
    with pytest.raises(UsageError) as refusal:
        parse(words)
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("memry: 1GB", "predict does not take 'memry'; did you mean memory?"),
        ("nothing: 1", "predict does not take 'nothing'"),
        ("overlay: maybe", "Value not boolean: maybe"),
        ("output: {class_path: os.system}", "output is "),
        ("a: [", "Problems parsing config"),
        ("- 1", "Unexpected config"),
    ],
)
def test_yaml_that_makes_no_sense_is_answered_in_one_line(tmp_path, text, message):
    (tmp_path / "options.yaml").write_text(text)
    with pytest.raises(UsageError) as refusal:
        parse(["predict", "x", "--config", str(tmp_path / "options.yaml")])
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)


def test_missing_yaml_file_is_named():
    with pytest.raises(UsageError, match=r"nowhere\.yaml"):
        parse(["predict", "x", "--config", "nowhere.yaml"])


@pytest.mark.parametrize("name", ["123", "null", "a: b", "[x]", "--x.png", "true"])
def test_odd_names_of_inputs_stay_names(name):
    assert parse(["predict", "--", name])[1]["input"] == name
