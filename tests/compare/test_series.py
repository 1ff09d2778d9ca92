"""Every run once, whatever happens between and during the runs."""

import json
import math
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import jaccard_score
from training.harness import Tiny, finish, fork, write_pictures

from sweepseg.compare import BUILDERS, series
from sweepseg.compare.cost import Cost
from sweepseg.compare.results import read
from sweepseg.compare.series import Run, digest, go_through
from sweepseg.data import open_dataset
from sweepseg.data.pairs import read_pair
from sweepseg.errors import Interrupted, UsageError
from sweepseg.io.model_folder import read_model_folder
from sweepseg.training.settings import Settings


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures") / "blocks", train=4, val=2)


class Diverges(Tiny):
    def forward(self, image):
        return super().forward(image) * math.inf


@pytest.fixture(autouse=True)
def one_cost(monkeypatch):
    """Models that train in milliseconds, and costs that are not measured."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setitem(BUILDERS, "tiny", lambda num_classes, in_channels: Tiny(num_classes, in_channels))
    monkeypatch.setitem(BUILDERS, "diverges", lambda num_classes, in_channels: Diverges(num_classes, in_channels))
    monkeypatch.setattr(series, "measure", lambda model, arguments, size: Cost(math.prod(size), 0.125, 2.5))
    yield
    torch.set_num_threads(before)


@pytest.fixture
def runs(data, tmp_path):
    """Makes runs of 3 steps."""

    def runs(*seeds, models=("tiny",), output="runs", **changes):
        settings = {"steps": 3, "batch_size": 2, "crop": (12, 14), "device": "cpu", "output": str(tmp_path / output)}
        return [
            Run(Settings(**settings | {"data": str(data)} | changes, model=model, seed=seed), "val")
            for seed in seeds
            for model in models
        ]

    return runs


def test_a_row_says_what_was_trained_and_measured(runs, data, tmp_path):
    (run,) = runs(5)
    assert go_through([run], tmp_path / "results.csv") == 0
    (row,) = read(tmp_path / "results.csv")
    assert (row.data, row.split, row.model, row.seed) == ("blocks", "val", "tiny", 5)
    assert (row.settings, row.steps, row.crop, row.torch) == (digest(run.settings), 3, "12x14", torch.__version__)
    assert (row.multiply_adds, row.seconds, row.peak_mb) == (12 * 14, 0.125, 2.5) and row.train_seconds >= 0

    config, weights = read_model_folder(run.folder)
    model = Tiny(1, 3).eval()
    model.load_state_dict(weights)
    assert row.parameters == sum(parameter.numel() for parameter in model.parameters())
    mean, std = (torch.tensor(config[name]).view(-1, 1, 1) for name in ("mean", "std"))
    labels, truth = [], []
    dataset = open_dataset(data)
    for sample in dataset.splits["val"]:
        image, target = read_pair(dataset, sample, 3)
        with torch.no_grad():
            mask = model((torch.from_numpy(image) - mean)[None] / std)[0, 0] > 0
        labels.append(mask.numpy()[target != 255])
        truth.append(target[target != 255])
    ious = jaccard_score(np.concatenate(truth), np.concatenate(labels), average=None, labels=[0, 1])
    assert row.mean_iou == pytest.approx(ious.mean(), abs=1e-5)
    assert json.loads(row.class_iou) == pytest.approx({"background": ious[0], "object": ious[1]}, abs=1e-5)
    assert not (run.folder / "checkpoints").exists()


def test_what_has_a_row_is_skipped(runs, tmp_path, monkeypatch):
    results, said = tmp_path / "results.csv", []
    go_through(runs(0), results)
    go_through(runs(0, 1), results, say=said.append)
    assert [row.seed for row in read(results)] == [0, 1]
    assert said == [f"1 of 2 runs are in {results} already"]
    before = results.read_bytes()
    monkeypatch.setattr(series, "train", None)
    go_through(runs(1, 0), results)
    assert results.read_bytes() == before


def without_times(results):
    return [replace(row, train_seconds=0.0) for row in read(results)]


@pytest.fixture(scope="module")
def undisturbed():
    """Where the rows of a series that nothing disturbed are kept for the tests below."""
    return {}


def expected(undisturbed, runs, tmp_path):
    if not undisturbed:
        go_through(runs(0, 1, output="undisturbed"), tmp_path / "undisturbed.csv")
        undisturbed["rows"] = without_times(tmp_path / "undisturbed.csv")
    return undisturbed["rows"]


def test_an_interrupted_run_is_taken_up(runs, tmp_path, undisturbed):
    results, said = tmp_path / "results.csv", []

    def interrupt(run, progress):
        if (run.settings.seed, progress.step) == (1, 2):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match=r"blocks-val-tiny-1-.* the same command goes on from there") as stop:
        go_through(runs(0, 1), results, listen=interrupt)
    assert stop.value.exit_code == 143 and [row.seed for row in read(results)] == [0]
    go_through(runs(0, 1), results, say=said.append)
    assert "continuing at step 2" in said
    assert without_times(results) == expected(undisturbed, runs, tmp_path)


@pytest.mark.parametrize("moment", ["first step", "measurement"])
def test_a_kill_leaves_whole_rows(runs, tmp_path, undisturbed, monkeypatch, moment):
    """In the second run, before it has a checkpoint or when it is trained and has no row yet."""
    results = tmp_path / "results.csv"

    def kill(*_):
        if len(read(results)) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return Cost(0, 0.0, 0.0)

    def series_to_kill():
        if moment == "measurement":
            monkeypatch.setattr(series, "measure", kill)
        go_through(runs(0, 1), results, listen=kill if moment == "first step" else lambda *_: None)

    whole = expected(undisturbed, runs, tmp_path)
    assert finish(fork(series_to_kill)) == -signal.SIGKILL
    assert [row.seed for row in read(results)] == [0]
    go_through(runs(0, 1), results)
    (_, taken_up) = read(results)
    assert taken_up.train_seconds >= 0 or moment == "measurement"
    assert without_times(results)[1:] == whole[1:]


def test_a_run_that_fails_is_named_and_the_others_go_on(runs, tmp_path):
    results, said = tmp_path / "results.csv", []
    assert go_through(runs(0, models=("diverges", "tiny")), results, say=said.append) == 1
    assert [row.model for row in read(results)] == ["tiny"]
    assert any(line.startswith("blocks-val-diverges-0-") and "failed: loss" in line for line in said)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ["tiny", "tinny"]}, "model is tinny; choose from sweepnet_small, "),
        ({"models": ["tiny", "tiny"]}, "name each data set, model and seed once"),
        ({"crop": None}, r"crop is missing; give --crop \[HEIGHT,WIDTH\]"),
        ({"data": "nowhere"}, "nowhere is not a folder"),
        ({"data": "nuclei", "split": "vol"}, "nuclei has no pictures with masks in vol; it has train, val, test"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_before_anything_is_trained(runs, tmp_path, changes, message):
    split = changes.pop("split", "val")
    with pytest.raises(UsageError, match=message):
        go_through([replace(run, split=split) for run in runs(0, **changes)], tmp_path / "results.csv")
    assert not (tmp_path / "results.csv").exists()


def test_data_without_masks_are_refused(runs, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "set" / "train" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "set" / "train" / name / "a.png")
    with pytest.raises(UsageError, match="has no masks; compare is for segmentation"):
        go_through(runs(0, data=str(tmp_path / "set"), task="classification"), tmp_path / "results.csv")


def test_a_file_of_other_columns_is_refused_and_kept(runs, tmp_path):
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="has the columns a,b"):
        go_through(runs(0), tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_text() == "a,b\n1,2\n"


def test_runs_are_told_apart_by_what_decides_them(runs):
    (run,) = runs(0)

    def key(**changes):
        return replace(run, settings=replace(run.settings, **changes)).key

    same = {"workers": 2, "output": "x", "save_every": 7, "data": "elsewhere/blocks", "learning_rate": 2e-3}
    assert all(key(**{name: value}) == run.key for name, value in same.items())
    others = [{"steps": 4}, {"crop": (14, 12)}, {"seed": 1}, {"model": "x"}, {"data": "x"}, {"hold_out": "train"}]
    assert len({key(**changes) for changes in others} | {run.key}) == 1 + len(others)


def test_digest_of_earlier_rows_stays():
    """It stands in committed files: settings that are added, at their defaults, must not change it."""
    assert digest(Settings(data="nuclei", steps=600, crop=(192, 192))) == "5ec6cd22f8a8"
