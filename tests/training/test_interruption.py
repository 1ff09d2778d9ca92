import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from sweepseg import cli
from sweepseg.training import checkpoint, fit
from sweepseg.training.checkpoint import load_state, saved_states
from sweepseg.training.fit import train
from sweepseg.training.interruption import catching_signals
from sweepseg.training.randomness import STEP

from .harness import differences, finish, fork, newest

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
SIGNALS = pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])


def send(signum):
    os.kill(os.getpid(), signum)


@SIGNALS
def test_first_signal_is_remembered_and_handlers_are_put_back(signum):
    before = signal.getsignal(signum)
    with catching_signals() as interruption:
        assert interruption.signum is None
        send(signum)
        assert interruption.signum == signum
    assert signal.getsignal(signum) == before


@SIGNALS
def test_second_signal_ends_the_process_at_once(signum):
    def twice():
        with catching_signals():
            send(signal.SIGTERM)
            send(signum)
            time.sleep(60)

    child = fork(twice)
    assert finish(child, 10) == -signum


def test_other_threads_run_without_catching():
    seen = []

    def run():
        with catching_signals() as interruption:
            seen.append(interruption.signum)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [None]


def train_by_command_line(settings, before=lambda: None):
    """Train in a child process, as `sweepseg train` does."""
    values = {name: value for name, value in settings.as_dict().items() if value is not None}
    path = Path(settings.output + ".yaml")
    path.write_text(yaml.safe_dump(values))

    def run():
        before()
        sys.exit(cli.run(["train", "--config", str(path), "--quiet"]))

    return fork(run)


def sending(monkeypatch, module, name, *signums, call=1):
    """Make a function send signals to its own process in the middle of one of its calls."""
    function, calls = getattr(module, name), []

    def replaced(*arguments, **options):
        calls.append(name)
        if len(calls) == call:
            for signum in signums:
                send(signum)
        return function(*arguments, **options)

    monkeypatch.setattr(module, name, replaced)


@SIGNALS
@pytest.mark.parametrize(
    "module, name, call, saved",
    [
        (fit, "update_average", 2, 2),  # in a step
        (fit, "evaluate", 1, 3),  # in the validation after step 3
        (checkpoint, "atomic_write", 1, 4),  # while step 3 is saved: one step more
    ],
)
def test_command_line_saves_and_leaves_with_the_code_of_the_signal(
    settings, tmp_path, monkeypatch, capfd, signum, module, name, call, saved
):
    whole = train(settings("whole"))
    child = train_by_command_line(settings(), lambda: sending(monkeypatch, module, name, signum, call=call))
    assert finish(child) == 128 + signum
    assert capfd.readouterr().err == f"sweepseg: stopped after step {saved} of 7; continue with --resume\n"
    assert newest(tmp_path / "run")["step"] == saved
    resumed = train(settings(resume=True))
    assert resumed.history == whole.history
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "run")) == []


@SIGNALS
def test_second_signal_while_saving_leaves_whole_files(settings, tmp_path, monkeypatch, signum):
    train(settings("whole"))

    def between_writing_and_renaming():
        replace = os.replace

        def twice(source, target):
            if str(target).endswith("step-00000006.ckpt"):
                send(signum)
                send(signum)
            replace(source, target)

        monkeypatch.setattr(os, "replace", twice)

    child = train_by_command_line(settings(), between_writing_and_renaming)
    assert finish(child) == -signum
    assert [load_state(path)["step"] for path in saved_states(tmp_path / "run" / "checkpoints")] == [3]
    assert list((tmp_path / "run" / "checkpoints").glob(".*.tmp"))
    train(settings(resume=True))
    assert differences(newest(tmp_path / "whole"), newest(tmp_path / "run")) == []
    assert not list((tmp_path / "run" / "checkpoints").glob(".*.tmp"))


def test_signal_to_the_whole_group_leaves_the_workers_to_finish_the_step(settings, tmp_path, monkeypatch):
    """As Ctrl-C sends it, in the third batch of twelve for step 2: more are needed than the worker has read ahead."""

    def own_group_and_signal():
        os.setsid()
        seed = fit.seed_torch

        def sending(*counters):
            if counters[1:] == (STEP, 14):
                os.killpg(0, signal.SIGINT)
            seed(*counters)

        monkeypatch.setattr(fit, "seed_torch", sending)

    child = train_by_command_line(settings(workers=1, accumulate=12, validate_every=1000), own_group_and_signal)
    assert finish(child) == 130
    assert newest(tmp_path / "run")["step"] == 2
