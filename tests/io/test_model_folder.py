import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from sweepseg.errors import ModelFileError
from sweepseg.io import model_folder
from sweepseg.io.model_folder import read_model_folder, write_model_folder

CONFIG = {
    "builder": "sweepnet_small",
    "arguments": {"in_channels": 3, "widths": [16, 32], "merge": "mean", "norm": None, "skip": True, "rate": 0.5},
    "task": "multiclass",
    "classes": ["background", "Zellkern"],
    "palette": [[0, 0, 0], [255, 0, 0]],
    "mean": [0.5],
    "std": [0.25],
    "input_range": [0, 1],
}
TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16), "n": torch.tensor(7)}


def safe(header: object, body: bytes = b"") -> bytes:
    """A safetensors file by hand; ``header`` is JSON text or what becomes it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(shape=(1,), offsets=(0, 4), dtype="F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


class Payload:
    """A pickle that leaves a marker behind in the working folder when it is loaded."""

    def __reduce__(self):
        return os.system, ("touch marker",)


def hostile_weights() -> dict[str, tuple[bytes, str]]:
    good = safetensors.torch.save(TENSORS)
    archive, inflated = io.BytesIO(), io.BytesIO()
    torch.save(Payload(), archive)
    with zipfile.ZipFile(inflated, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(5_000_000))
    many = {f"t{i}": entry((0,), (0, 0)) for i in range(10_001)}
    return {
        "69 pickle": (pickle.dumps(Payload(), protocol=4) + bytes(1000), "pickle"),
        "69 zipped pickle": (archive.getvalue(), "pickle"),
        "73 deflated zip": (inflated.getvalue(), "zip"),
        **{
            f"70 header of {length}": (struct.pack("<Q", length) + b"{}", f"header of {length} bytes")
            for length in (2**63, 2**64 - 1, 100_000_001, 3)
        },
        "71 empty": (b"", "empty file"),
        "71 seven bytes": (b"1234567", "7 bytes"),
        "71 cut body": (good[:-1], "cut short"),
        "71 cut header": (good[:40], "header"),
        "71 extra tail": (good + b"\0", "extended"),
        "71 overlap": (safe({"a": entry(), "b": entry()}, bytes(8)), "(?i)offset"),
        "71 hole": (safe({"a": entry((1,), (4, 8)), "b": entry((1,), (8, 12))}, bytes(8)), "(?i)offset"),
        "71 shape overflow": (safe({"a": entry((2**32, 2**32), (0, 0))}), "announced"),
        "71 negative size": (safe({"a": entry((-1, -1), (0, 4))}, bytes(4)), "shape"),
        "71 negative offset": (safe({"a": entry((1,), (-4, 0))}, bytes(4)), "(?i)invalid|number"),
        "71 no shape": (safe({"a": {"dtype": "F32"}}), "shape"),
        "71 not an entry": (safe({"a": 5}), "type"),
        "71 unknown type": (safe({"a": entry(dtype="F7")}, bytes(4)), "F7"),
        "71 list as type": (safe({"a": entry(dtype=["F32"])}, bytes(4)), "type"),
        "71 bad UTF-8": (safe(b'{"\xff": 1}'), "JSON"),
        "71 deep JSON": (safe(b"[" * 50_000), "JSON"),
        "71 list": (safe([]), "list"),
        "72 duplicate key": (safe(b'{"a":%b,"a":%b}' % ((json.dumps(entry()).encode(),) * 2), bytes(4)), "twice"),
        "72 many tensors": (safe(many), "10001 tensors"),
        "72 hostile name": (safe({"../../etc/passwd\n\x1b[31m": entry()}, bytes(4)), "tensor name"),
        "72 long name": (safe({"a" * 201: entry()}, bytes(4)), "tensor name"),
        "72 nan": (safetensors.torch.save({"a": torch.tensor([1, torch.nan])}), "not finite"),
        "72 infinity": (safetensors.torch.save({"a": torch.tensor([torch.inf]).half()}), "not finite"),
    }


def hostile_configs() -> dict[str, tuple[bytes | dict, str]]:
    """What is changed in the good config, or the bytes of the file."""
    return {
        "74 newer": ({"format": 2}, "format 2 is newer than 1, .* upgrade"),
        "74 older": ({"format": 0}, "format is 0"),
        "75 target": ({"_target_": "os.system"}, "unknown key '_target_'"),
        "75 class path": ({"class_path": "os.system"}, "unknown key"),
        "75 nested target": ({"arguments": {"_target_": "os.system"}}, "arguments is"),
        "75 nested class path": ({"arguments": {"cell": {"class_path": "os.system"}}}, "arguments is"),
        "75 instantiator": ({"arguments": {"_instantiator": "x"}}, "arguments is"),
        "75 path as argument": ({"arguments": {"cell": "os.system"}}, "arguments is"),
        "75 file as argument": ({"arguments": {"cell": "../../x"}}, "arguments is"),
        "75 path as builder": ({"builder": "os.system"}, "builder is"),
        "75 huge integer": ({"arguments": {"width": 10**30}}, "arguments is"),
        "75 endless integer": (b'{"format": ' + b"9" * 5000 + b"}", "JSON"),
        "75 number as builder": ({"builder": 5}, "builder is"),
        "75 bool as format": ({"format": True}, "format is"),
        "75 unhashable task": ({"task": {}}, "task is"),
        "75 unknown task": ({"task": "panoptic"}, "task is"),
        "75 escape in class": ({"classes": ["a", "\x1b[31m"]}, "classes is"),
        "75 colours": ({"palette": [[0, 0, 0]]}, "1 colours for 2 classes"),
        "75 colour": ({"palette": [[0, 0, 0], [0, 0, 256]]}, "palette is"),
        "75 std of 0": ({"std": [0]}, "std is"),
        "75 nan": ({"mean": [float("nan")]}, "mean is"),
        "75 infinity": (b'{"format": 1e999}', "format is"),
        "75 lengths": ({"mean": [0.5, 0.5]}, "mean has 2"),
        "75 range": ({"input_range": [1, 0]}, "input_range is"),
        "75 duplicate key": (b'{"format": 1, "format": 1}', "twice"),
        "75 deep": (b"[" * 50_000, "JSON"),
        "75 no JSON": (b"builder: x", "JSON"),
        "75 list": (b"[]", "list"),
        "75 long": (b" " * (2**20 + 1), "at most 1048576"),
        "75 missing key": (b'{"format": 1}', "key 'builder' is missing"),
    }


@pytest.fixture
def folder(tmp_path):
    write_model_folder(tmp_path / "model", TENSORS, CONFIG)
    return tmp_path / "model"


def spoil_config(folder: Path, change: bytes | dict) -> None:
    path = folder / "config.json"
    if isinstance(change, dict):
        change = json.dumps(json.loads(path.read_text()) | change).encode()
    path.write_bytes(change)


def test_what_is_written_is_read_back(folder):
    config, tensors = read_model_folder(folder)
    assert config == {"format": 1, "task_arguments": {}, "words": [], **CONFIG}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor)
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors"]
    with safetensors.safe_open(folder / "model.safetensors", "pt") as file:  # as any other reader sees it
        assert sorted(file.keys()) == sorted(TENSORS)


@pytest.mark.parametrize("row", hostile_weights())
def test_hostile_weights_are_refused(row, folder):
    data, reason = hostile_weights()[row]
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelFileError, match=reason) as caught:
        read_model_folder(folder)
    assert str(caught.value).startswith(str(folder)) and str(caught.value).isprintable()


@pytest.mark.parametrize("row", hostile_configs())
def test_hostile_configs_are_refused(row, folder):
    change, reason = hostile_configs()[row]
    spoil_config(folder, change)
    with pytest.raises(ModelFileError, match=reason) as caught:
        read_model_folder(folder)
    assert str(caught.value).startswith(str(folder)) and str(caught.value).isprintable()


def test_random_damage_lets_no_other_error_escape(folder):
    rng = random.Random(0)
    good = {name: (folder / name).read_bytes() for name in ("model.safetensors", "config.json")}
    refused = 0
    for _ in range(300):
        name = rng.choice(list(good))
        data = bytearray(good[name])
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(len(data))] = rng.choice(b'[]{}",:0-aZ\0\xff')
        (folder / name).write_bytes(data)
        try:
            read_model_folder(folder)
        except ModelFileError:
            refused += 1
        (folder / name).write_bytes(good[name])
    assert refused > 100


@pytest.mark.parametrize("key", ["format", *CONFIG])
def test_every_key_is_required_and_typed(key, folder):
    for wrong in (object, 5.5, "§", [[]], {"": 0}):
        spoil_config(folder, {key: wrong} if wrong is not object else b"{}")
        with pytest.raises(ModelFileError):
            read_model_folder(folder)


def test_68_pickles_beside_or_instead_of_a_model(folder, tmp_path):
    (folder / "last.ckpt").write_bytes(b"training state may lie beside a model")
    read_model_folder(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"last\.ckpt is not read: .* never loaded"):
        read_model_folder(folder)
    for path, reason in ((folder / "last.ckpt", "not a directory"), (tmp_path / "gone", "no such file")):
        with pytest.raises(ModelFileError, match=f"{reason}.*; .* never loaded"):
            read_model_folder(path)


def test_a_part_that_is_missing_or_no_file(folder):
    (folder / "config.json").unlink()
    with pytest.raises(ModelFileError, match="no such file"):
        read_model_folder(folder)
    os.mkfifo(folder / "config.json")
    with pytest.raises(ModelFileError, match="not a regular file"):
        read_model_folder(folder)


def test_weights_above_the_limit_are_not_read(folder, monkeypatch):
    size = (folder / "model.safetensors").stat().st_size
    monkeypatch.setattr(model_folder, "MAX_WEIGHTS", size)
    read_model_folder(folder)
    monkeypatch.setattr(model_folder, "MAX_WEIGHTS", size - 1)
    with pytest.raises(ModelFileError, match="at most"):
        read_model_folder(folder)


@pytest.mark.parametrize(
    ("tensors", "config"),
    [
        ({"a": torch.tensor([torch.nan])}, CONFIG),
        ({"a": torch.ones(1, dtype=torch.float64)}, CONFIG),
        ({"a b": torch.ones(1)}, CONFIG),
        (TENSORS, CONFIG | {"builder": "os.system"}),
        (TENSORS, CONFIG | {"extra": 1}),
    ],
    ids=["nan", "float64", "name", "builder", "unknown key"],
)
def test_what_would_be_refused_is_not_written(tensors, config, tmp_path):
    with pytest.raises(ValueError, match="could be read again"):
        write_model_folder(tmp_path / "model", tensors, config)
    assert not (tmp_path / "model").exists()


def test_transposed_weights_are_written_by_value(tmp_path):
    weight = torch.arange(6.0).reshape(2, 3).T
    write_model_folder(tmp_path / "model", {"a": weight}, CONFIG)
    assert torch.equal(read_model_folder(tmp_path / "model")[1]["a"], weight)


AUDITED = """
import pathlib, sys, torch
from sweepseg.errors import ModelFileError, printable
from sweepseg.io.model_folder import read_model_folder
root = pathlib.Path(sys.argv[1])
read_model_folder(root / "good"), printable("\\n")  # import what they need
events = set()
bad = ("pickle.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.", "import", "exec",
       "compile", "marshal.", "ctypes.")
sys.addaudithook(lambda event, _: events.add(event) if event.startswith(bad) else None)
refused = 0
for folder in sorted((root / "bad").iterdir()):
    try:
        read_model_folder(folder)
    except ModelFileError:
        refused += 1
print(refused, sorted(events), pathlib.Path("marker").exists())
torch.load(root / "control.pt")
print("pickle.find_class" in events, pathlib.Path("marker").exists())
"""


@pytest.mark.parametrize("force", [None, "1"])
def test_68_to_75_nothing_runs_while_hostile_models_are_refused(force, folder, tmp_path):
    """An audit hook watches; the control, a plain `torch.load` that the variable has made unsafe, trips it."""
    (tmp_path / "bad").mkdir()
    write_model_folder(tmp_path / "good", TENSORS, CONFIG)
    cases = [*hostile_weights().items(), *hostile_configs().items()]
    for number, (row, (change, _)) in enumerate(cases):
        spoiled = tmp_path / "bad" / str(number)
        write_model_folder(spoiled, TENSORS, CONFIG)
        if row in hostile_configs():
            spoil_config(spoiled, change)
        else:
            (spoiled / "model.safetensors").write_bytes(change)
    torch.save(Payload(), tmp_path / "bad" / "model.ckpt")
    torch.save(Payload(), tmp_path / "control.pt")
    environment = {key: value for key, value in os.environ.items() if key != "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"}
    if force:
        environment["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = force
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AUDITED, str(tmp_path)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=bool(force),
    )  # fmt: skip
    watched, *control = child.stdout.splitlines()
    assert watched == f"{len(cases) + 1} [] False", child.stderr
    assert control == (["True True"] if force else [])
    if not force:
        assert "Weights only load failed" in child.stderr
