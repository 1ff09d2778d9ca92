import pytest

from sweepseg.benchmark import models
from sweepseg.models import CONTROLS


class CountingTimer:
    def __call__(self, functions):
        self.shapes = [function()[0].shape for function in functions]
        return [[1.0], [2.0]]


def test_every_model_stands_beside_its_control():
    rows = [row for case in models.cases(quick=False) for row in case.rows]
    assert {(row.name.split()[0], row.against.split()[0]) for row in rows} == {*CONTROLS.items()}
    assert len(rows) == 3 * len(CONTROLS) == len({row.name for row in rows})


@pytest.mark.parametrize("way", ["inference", "training step"])
def test_model_and_control_segment_a_picture_of_the_same_size(way, monkeypatch):
    asked, run = [], models.run
    monkeypatch.setattr(models, "run", lambda *arguments: asked.append(arguments) or run(*arguments))
    (case,) = (case for case in models.cases(quick=True) if case.rows[0].name == f"sweepnet_small {way}")
    timer = CountingTimer()
    (row,) = case.run(timer)
    assert timer.shapes == [(1, models.NUM_CLASSES, 32, 32)] * 2
    assert row.value == 2
    assert asked == [(model, 32, way == "training step") for model in ("sweepnet_small", "sweepnet_small_control")]


def test_a_volume_has_about_as_many_voxels_as_a_picture_has_pixels():
    assert models.size_of("sweepnet_small", 256) == (256, 256)
    assert models.size_of("sweepnet_volume_small", 256) == (40, 40, 40)  # 64,000 for 65,536
    timer = CountingTimer()
    (case,) = (one for one in models.cases(quick=True) if one.rows[0].name == "sweepnet_volume_small inference")
    assert case.run(timer)[0].size == "10x10x10"
    assert timer.shapes == [(1, models.NUM_CLASSES, 10, 10, 10)] * 2


@pytest.mark.parametrize("training", [True, False])
def test_only_training_steps_train(training, monkeypatch):
    asked = []
    monkeypatch.setattr(models, "network_run", lambda network, x, training: asked.append(training))
    models.run("sweepnet_small", 32, training)
    assert asked == [training]


def test_memory_is_measured_in_training(monkeypatch):
    asked = []
    monkeypatch.setattr(models, "peak_bytes", lambda builds: asked.extend(build.args for build in builds) or [1, 2])
    case = models.cases(quick=True)[2]
    (row,) = case.run(None)
    model, control = next(iter(CONTROLS.items()))
    assert asked == [(model, 32, True), (control, 32, True)]
    assert (row.value, row.quantity) == (2, "bytes")
