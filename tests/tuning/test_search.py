"""The search against the median rule worked by hand, and against itself after interruptions."""

import math
import os
import signal
import sys
from types import SimpleNamespace

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from training.harness import differences, finish, fork, write_pictures

from sweepseg.cli.parser import parse
from sweepseg.errors import Interrupted, SweepsegError, UsageError
from sweepseg.models.folder import load
from sweepseg.training.fit import Progress
from sweepseg.training.settings import Settings
from sweepseg.tuning import search
from sweepseg.tuning.search import best_of, tune
from sweepseg.tuning.space import Choice, Range

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
SPACE = {"learning_rate": Range(1e-3, 0.3, log=True), "colour": Choice([0.0, 0.4])}


@pytest.fixture
def scripted(monkeypatch):
    """Replaces training by scores given in advance, one list a trial, one score a step."""

    def script(*trials):
        left = iter(trials)

        def train(settings, *, listen, say, builders):
            scores = next(left)
            for step, score in enumerate(scores, 1):
                if score is None:
                    raise SweepsegError("loss nan")
                listen(Progress(step, len(scores), 0.0, {"mean_iou": score}, "", True))
            return SimpleNamespace(history=[{"step": 1, "val_mean_iou": score} for score in scores])

        monkeypatch.setattr(search, "train", train)

    return script


def test_what_falls_behind_the_median_of_whole_trials_is_pruned(settings, scripted):
    scripted([0.1, 0.5], [0.2, 0.6], [0.3, 0.7], [0.4, 0.8], [0.24, 0.9], [0.26, 0.1], [0.2, 0.2])
    found = tune(settings(), SPACE, 7)
    assert [trial.outcome for trial in found] == ["complete"] * 4 + ["pruned", "complete", "pruned"]
    assert [trial.score for trial in found] == [0.5, 0.6, 0.7, 0.8, 0.24, 0.1, 0.2]
    assert best_of(found) is found[3]


@pytest.mark.parametrize("score", [None, math.nan])
def test_a_trial_without_a_score_has_failed_and_the_search_goes_on(settings, scripted, score):
    scripted([score], [0.5])
    lines = []
    found = tune(settings(), SPACE, 2, say=lines.append)
    assert [trial.outcome for trial in found] == ["failed", "complete"] and "trial-000 failed: " in lines[0]


def test_early_stopping_counts_the_weights_that_are_kept(settings, scripted):
    scripted([0.9, 0.2])
    assert tune(settings(early_stop=1), SPACE, 1)[0].score == 0.9


def test_equal_seeds_make_equal_trials(settings, scripted):
    def chosen(output, seed, trials):
        scripted(*[[0.1 * k] for k in range(trials)])  # the sampler looks at scores from the 11th trial on
        return [trial.chosen for trial in tune(settings(output=output, seed=seed), SPACE, trials)]

    first = chosen("a", 0, 12)
    assert chosen("b", 0, 12) == first and chosen("c", 1, 1) != first[:1]
    assert len({trial["learning_rate"] for trial in first}) == 12


def test_the_best_settings_are_a_recipe_for_train(settings, scripted, tmp_path):
    scripted([0.5], [0.7], [0.6])
    common = settings(arguments={"units": 8}, model="sweepnet_small")
    space = SPACE | {"arguments.cell": Choice(["gru", "lstm"])}
    best = tune(common, space, 3)[1]
    _, values = parse(
        ["train", common.data, "--config", str(tmp_path / "run" / "best.yaml"), "--output", common.output]
    )
    del values["quiet"]
    rate, colour, cell = best.chosen.values()
    wanted = common.as_dict() | {"learning_rate": rate, "colour": colour, "arguments": {"units": 8, "cell": cell}}
    assert Settings(**values).as_dict() == wanted | {"device": "auto", "save_every": 500}


def test_another_search_in_the_same_folder_is_refused(settings, scripted):
    scripted([0.5], [0.6])
    tune(settings(), SPACE, 1)
    with pytest.raises(UsageError, match="another blur; go on"):
        tune(settings(blur=0.1), SPACE, 2)
    with pytest.raises(UsageError, match="another search; go on"):
        tune(settings(), {"colour": SPACE["colour"]}, 2)
    assert len(tune(settings(workers=1), SPACE, 2)) == 2


def test_a_search_that_was_stopped_ends_as_one_that_was_not(settings, tmp_path):
    """Interrupted, and killed with a line half written, in the second trial after its first validation."""

    def search(output, **listen):
        lines = []
        found = tune(settings(output=output, steps=3, batch_size=6), SPACE, 2, say=lines.append, **listen)
        assert [line.startswith("continuing at step ") for line in lines] == [True] * (output != "whole")
        return found

    def stop(signum):
        return lambda number, progress: os.kill(os.getpid(), signum) if (number, progress.step) == (1, 2) else None

    whole = search("whole")
    with pytest.raises(Interrupted, match="trial-001 was interrupted; the same command goes on") as stopped:
        search("interrupted", listen=stop(signal.SIGINT))
    assert stopped.value.exit_code == 130
    assert finish(fork(lambda: search("killed", listen=stop(signal.SIGKILL)))) == -signal.SIGKILL
    with (tmp_path / "killed" / "trials.log").open("a") as journal:
        journal.write('{"op_code":')
    for output in ("interrupted", "killed"):
        assert search(output) == whole
        names = [{p.relative_to(tmp_path / top) for p in (tmp_path / top).rglob("*")} for top in ("whole", output)]
        assert names[0] == names[1]
        assert (tmp_path / "whole" / "best.yaml").read_bytes() == (tmp_path / output / "best.yaml").read_bytes()
        models = [dict(load(tmp_path / top / "trial-001").state_dict()) for top in ("whole", output)]
        assert differences(*models) == []
        assert values_of(tmp_path / "whole") == values_of(tmp_path / output)


def values_of(folder):
    """What the pruning of later trials looks at."""
    storage = JournalStorage(JournalFileBackend(str(folder / "trials.log")))
    trials = optuna.load_study(study_name="tune", storage=storage).get_trials(states=[TrialState.COMPLETE])
    return [trial.intermediate_values for trial in trials]


def test_what_cannot_be_searched_is_refused(settings, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="trials is 0; give at least 1"):
        tune(settings(), SPACE, 0)
    with pytest.raises(UsageError, match="no annotated pictures in val"):
        tune(settings(data=str(write_pictures(tmp_path / "set", train=2, val=0))), SPACE, 1)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r'pip install "sweepseg\[tune\]"'):
        tune(settings(), SPACE, 1)
    assert not (tmp_path / "run").exists()


def test_settings_are_saved_with_each_trial(settings, tmp_path):
    (trial,) = tune(settings(steps=1), SPACE, 1)
    saved = yaml.safe_load((tmp_path / "run" / "trial-000" / "settings.yaml").read_text())
    assert {name: saved[name] for name in SPACE} == trial.chosen
