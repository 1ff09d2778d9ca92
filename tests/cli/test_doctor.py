import importlib
import importlib.util
import json
import platform
import re
from types import SimpleNamespace

import pytest
import torch

from sweepseg.cli import run
from sweepseg.cli.doctor import findings
from sweepseg.models.folder import bundled_model


def with_torchvision(monkeypatch, outcome) -> str:
    """The line about torchvision when importing it gives this module, raises this error, or finds nothing."""
    find, load = importlib.util.find_spec, importlib.import_module

    def find_spec(name):
        return find(name) if name != "torchvision" else outcome

    def import_module(name):
        if name != "torchvision":
            return load(name)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(importlib, "import_module", import_module)
    (line,) = (line for line in findings() if "torchvision" in line)
    return line


def test_this_machine_and_installation_are_described():
    text = "\n".join(findings())
    assert torch.__version__ in text and platform.python_version() in text and platform.machine() in text


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (None, "not installed, and not needed"),
        (SimpleNamespace(__version__="0.99"), "0.99, works, and is not needed"),
        (RuntimeError("operator torchvision::nms does not exist"), "nms does not exist.*pip uninstall torchvision"),
    ],
    ids=["absent", "sound", "broken"],
)
def test_torchvision_is_told_apart(monkeypatch, outcome, words):
    assert re.search(words, with_torchvision(monkeypatch, outcome))


@pytest.mark.parametrize(
    ("problem", "words"),
    [(None, "compiled for .*(64|arm)"), ("built without kernels; do this", "slower reference path.*: built.*do this")],
    ids=["compiled", "absent"],
)
def test_kernels_are_described(monkeypatch, problem, words):
    monkeypatch.setattr("sweepseg.ops._native.problem", problem)
    (line,) = (line for line in findings() if line.startswith("kernels"))
    assert re.search(words, line)


def test_missing_extra_is_named_with_its_remedy(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tifffile" else find(name))
    (line,) = (line for line in findings() if "tifffile" in line)
    assert line.endswith('pip install "sweepseg[tiff]"')


def test_gradients_of_a_model_are_listed(capsys):
    assert run(["doctor", "--gradients", str(bundled_model())]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["cell", "weights", "lag", "0"] and len(lines) == 40
    assert all(re.search("(fresh|trained).*(vanishes by lag [0-9]+|reaches back)$", line) for line in lines)
    assert run(["doctor", "--gradients", str(bundled_model()), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)[0]
    assert lines[0].split()[0] == first["place"].split()[0] and first["verdict"] in lines[0]
