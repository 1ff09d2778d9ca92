import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from sweepseg.errors import Interrupted, ModelFileError, UsageError
from sweepseg.training import fit, pictures, randomness
from sweepseg.training.checkpoint import load_state, save_state, saved_states
from sweepseg.training.fit import train
from sweepseg.training.run import Run

from .harness import differences, finish, fork, newest

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def run_to_the_end(settings) -> tuple[dict, list]:
    """The final state and the loss of each step."""
    losses = []
    train(settings, listen=lambda progress: losses.append((progress.step, progress.loss)))
    return newest(Path(settings.output)), losses


def run_interrupted(settings, stops, before_each=lambda: None, **resumed) -> tuple[dict, list]:
    """The same, stopped by a signal after each of some steps and resumed."""
    losses = []
    for stop in (*stops, None):

        def listen(progress, stop=stop):
            losses.append((progress.step, progress.loss))
            if progress.step == stop:
                os.kill(os.getpid(), signal.SIGTERM)

        before_each()
        try:
            train(settings, listen=listen)
        except Interrupted as interrupted:
            assert stop is not None and interrupted.exit_code == 143
        settings = type(settings)(**settings.as_dict() | {"resume": True} | resumed)
    return newest(Path(settings.output)), losses


# 6 pictures, batches of 2: an epoch is 3 steps, with accumulate=4 3/4 of a step
@pytest.mark.parametrize(
    "stops, changes",
    [
        ((1,), {}),
        ((2,), {"workers": 2, "precision": "bfloat16"}),
        ((3,), {"schedule": "one_cycle", "optimizer": "sgd"}),
        ((6,), {"accumulate": 4, "workers": 2}),
        ((1, 3, 4), {"accumulate": 4, "precision": "bfloat16", "schedule": "one_cycle"}),
        ((3, 6), {"precision": "bfloat16", "batch_size": 5, "l1": 1e-4, "class_weights": "inverse_sqrt"}),
        ((2, 5), {"workers": 2, "early_stop": 1, "ema": 0.5, "tensorboard": True}),
        ((2, 5), {"labels": 0.5, "consistency": 3.0, "confidence": 0.5, "accumulate": 2, "workers": 1}),
        ((1, 2, 3, 4, 5, 6), {"optimizer": "adam", "clip": 0.0, "ema": 0.0, "l2": 1e-3}),
    ],
)
def test_resumed_run_equals_one_in_one_go(settings, stops, changes):
    whole, whole_losses = run_to_the_end(settings("whole", **changes))
    resumed, resumed_losses = run_interrupted(settings("resumed", **changes), stops)
    assert differences(whole, resumed) == []
    assert resumed_losses == whole_losses
    assert [step for step, _ in whole_losses] == [*range(1, whole["step"] + 1)]
    assert whole["step"] == 7 or changes.get("early_stop")


def test_number_of_workers_and_further_checkpoints_change_nothing(settings):
    whole, whole_losses = run_to_the_end(settings("whole"))
    resumed, resumed_losses = run_interrupted(settings("resumed", workers=1), (2,), workers=2, save_every=1)
    assert differences(whole, resumed) == []
    assert resumed_losses == whole_losses


class AdvancingStream:
    """Randomness as it is usually done: one generator that advances, made anew in each process."""

    def renew(self):
        self.stream = np.random.default_rng(0)

    def __call__(self, seed, use, *counters):
        return self.stream


def plant_advancing_augmentation(monkeypatch):
    stream = AdvancingStream()
    monkeypatch.setattr(pictures, "generator", stream)
    return stream.renew


def plant_unseeded_dropout(monkeypatch):
    monkeypatch.setattr(
        fit, "seed_torch", lambda seed, use, *at: use == randomness.WEIGHTS and randomness.seed_torch(seed, use, *at)
    )


def plant_global_order(monkeypatch):
    stream = AdvancingStream()
    monkeypatch.setattr(randomness, "generator", stream)
    monkeypatch.setattr(fit, "seed_torch", lambda *_: torch.manual_seed(0))  # it would advance the stream as well
    randomness.order.cache_clear()

    def renew():
        randomness.order.cache_clear()
        stream.renew()

    return renew


def plant_forgotten_average(monkeypatch):
    restore = Run._restore

    def without_average(run, state):
        restore(run, state | {"average": state["model"]})

    monkeypatch.setattr(Run, "_restore", without_average)


def plant_forgotten_optimizer(monkeypatch):
    restore = Run._restore

    def without_optimizer(run, state):
        restore(run, state | {"optimizer": run.optimizer.state_dict()})

    monkeypatch.setattr(Run, "_restore", without_optimizer)


@pytest.mark.parametrize(
    "plant",
    [
        plant_advancing_augmentation,
        plant_unseeded_dropout,
        plant_global_order,
        plant_forgotten_average,
        plant_forgotten_optimizer,
    ],
)
def test_planted_fault_is_seen_by_the_comparison(settings, monkeypatch, plant):
    renew = plant(monkeypatch) or (lambda: None)
    renew()
    whole, _ = run_to_the_end(settings("whole"))
    resumed, _ = run_interrupted(settings("resumed"), (4,), before_each=renew)
    randomness.order.cache_clear()
    assert differences(whole, resumed) != []


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_run_goes_on_as_if_it_had_not_been(settings, tmp_path, kills):
    """A child trains and saves at each step; a kill -9 at any moment leaves the previous or the new state, whole."""
    changes = {"steps": 20 * kills, "save_every": 1, "validate_every": 1000}
    whole, _ = run_to_the_end(settings("whole", **changes | {"save_every": 1000}))
    delays = random.Random(0)
    checkpoints = tmp_path / "killed" / "checkpoints"
    last, killed = 0, 0
    for _ in range(kills):
        go, started = os.pipe()
        child = fork(
            lambda started=started: train(
                settings("killed", resume=bool(saved_states(checkpoints)), **changes),
                listen=lambda _: os.write(started, b"."),
            )
        )
        os.close(started)
        os.read(go, 1)
        time.sleep(delays.uniform(0, 0.2))
        child.kill()
        child.join()
        os.close(go)
        killed += child.exitcode == -signal.SIGKILL
        steps = [load_state(path)["step"] for path in saved_states(checkpoints)]
        assert steps == sorted(steps) and len(steps) <= 3  # the third is dropped only after the newest is whole
        assert not steps or steps[-1] >= last
        last = steps[-1] if steps else 0
    assert killed >= kills // 2
    train(settings("killed", resume=True, **changes | {"save_every": 1000}))
    assert differences(whole, newest(tmp_path / "killed")) == []
    assert not [path for path in (tmp_path / "killed").rglob("*") if path.suffix == ".tmp"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_run_stopped_from_outside_goes_on_with_the_same_bits(settings, tmp_path, monkeypatch, signum):
    changes = {"steps": 30, "validate_every": 1000}
    whole, _ = run_to_the_end(settings("whole", **changes))
    child = fork(lambda: sys.exit(_code_of(settings("stopped", **changes))))
    while not (tmp_path / "stopped" / "metrics.csv").exists():
        time.sleep(0.002)
    os.kill(child.pid, signum)
    assert finish(child) == 128 + signum
    stopped = newest(tmp_path / "stopped")["step"]
    assert 1 <= stopped < 30
    steps = []
    train(settings("stopped", resume=True, **changes), listen=lambda progress: steps.append(progress.step))
    assert steps == [*range(stopped + 1, 31)]
    assert differences(whole, newest(tmp_path / "stopped")) == []


def _code_of(settings) -> int:
    try:
        train(settings, listen=lambda _: time.sleep(0.01))
    except Interrupted as interrupted:
        return interrupted.exit_code
    return 0


def test_resume_without_a_checkpoint_is_refused(settings, tmp_path):
    with pytest.raises(UsageError, match=r"no checkpoint in .*; leave out --resume"):
        train(settings(resume=True))
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_earlier_run_is_not_overwritten(settings):
    train(settings(steps=1))
    with pytest.raises(UsageError, match="holds an earlier run; continue it with --resume or name another --output"):
        train(settings(steps=1))


def test_run_killed_before_its_first_checkpoint_can_start_again(settings, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    assert train(settings(steps=1)).steps == 1


def test_resume_names_the_settings_that_differ(settings):
    train(settings(steps=2))
    with pytest.raises(UsageError, match="trained with another batch_size, learning_rate; resume with those"):
        train(settings(steps=2, batch_size=3, learning_rate=0.1, workers=1, resume=True))


def test_resume_on_other_pictures_is_refused(settings, tmp_path):
    from .harness import write_pictures

    data = write_pictures(tmp_path / "data", train=3, val=0)
    train(settings(data=str(data), steps=1))
    for part in ("images", "masks"):
        (data / part / "train" / "train2.png").rename(data / part / "train" / "other.png")
    with pytest.raises(UsageError, match="trained on other pictures"):
        train(settings(data=str(data), steps=1, resume=True))


def test_other_environment_is_one_line(settings, tmp_path):
    train(settings(steps=2))
    path = saved_states(tmp_path / "run" / "checkpoints")[-1]
    state = load_state(path)
    state["environment"] |= {"torch": "1.0", "threads": 64}
    save_state(path.parent, state, state["step"])
    lines = []
    train(settings(steps=2, resume=True), say=lines.append)
    assert [line for line in lines if line.startswith("warning")] == [
        f"warning: torch 1.0 became {torch.__version__}, threads 64 became 1; the result will differ in its last bits"
    ]


def _without_a_weight(state):
    del state["model"]["network.head.bias"]


def _with_a_weight_more(state):
    state["average"]["more"] = torch.zeros(1)


def _with_another_shape(state):
    state["model"]["network.head.bias"] = torch.zeros(7)


def _with_another_optimizer(state):
    state["optimizer"]["param_groups"].pop()


def _with_another_moment(state):
    state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(2, 2)


def _with_words_for_numbers(state):
    state["step"] = "1"


def _without_settings(state):
    del state["settings"]


def _with_a_list_for_settings(state):
    state["settings"] = []


@pytest.mark.parametrize(
    "damage",
    [
        _without_a_weight,
        _with_a_weight_more,
        _with_another_shape,
        _with_another_optimizer,
        _with_another_moment,
        _with_words_for_numbers,
        _without_settings,
        _with_a_list_for_settings,
    ],
)
def test_state_that_does_not_fit_is_refused(settings, tmp_path, damage):
    train(settings(steps=1))
    path = saved_states(tmp_path / "run" / "checkpoints")[-1]
    state = load_state(path)
    damage(state)
    save_state(path.parent, state, 1)
    with pytest.raises(ModelFileError, match="not a state of this model and optimizer"):
        train(settings(steps=1, resume=True))


def test_finished_run_resumes_to_the_same_model(settings):
    first = train(settings())
    again = train(settings(resume=True))
    assert again.steps == first.steps
    assert differences(dict(first.model.state_dict()), dict(again.model.state_dict())) == []


def test_a_state_from_before_there_were_other_tasks_goes_on_with_its_best_score(settings):
    def stop(progress):
        if progress.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(settings(early_stop=9), listen=stop)
    (*_, newest_state) = saved_states(Path(settings().output) / "checkpoints")
    state = load_state(newest_state)
    del state["best"]["score"]
    state["best"]["mean_iou"] = 2.0  # which nothing beats
    save_state(newest_state.parent, state, state["step"])
    lines = []
    train(settings(early_stop=9, resume=True), say=lines.append)
    assert "kept the weights of step 3, mIoU 2.000" in lines
