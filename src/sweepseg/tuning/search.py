"""A search: trials one after the other, each a training with settings of its own, in a store that outlives the process.

Everything is drawn from the seed and the number of a trial, so equal searches make equal trials, interrupted or not.
One process at a time works on a folder: a trial that another one has begun is taken for one that was interrupted.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from torch import nn

from ..errors import Interrupted, SweepsegError, UsageError, printable
from ..io.files import atomic_write
from ..models import MODELS
from ..training.checkpoint import saved_states
from ..training.fit import Progress, train
from ..training.prepare import open_data
from ..training.settings import FREE, Settings
from .space import Space, applied, check_space

BEFORE_PRUNING = 4  # whole trials, of whose scores at the same step a trial has to reach the median


@dataclass(frozen=True)
class Trial:
    """What became of one training.

    Attributes:
        number: 0 for the first.
        outcome: "complete", "pruned" for one that fell behind, "failed" for one whose loss or weights became infinite.
        score: The score of its last validation, higher is better; NaN where there was none.
        step: The step of it, 0 where there was none.
        chosen: The settings that it tried, by name; those of the model's builder begin with "arguments.".
    """

    number: int
    outcome: Literal["complete", "pruned", "failed"]
    score: float
    step: int
    chosen: dict[str, Any]


def best_of(trials: list[Trial]) -> Trial | None:
    """The complete trial with the highest score, the first of them; None without one."""
    return max((trial for trial in trials if trial.outcome == "complete"), key=lambda trial: trial.score, default=None)


def tune(
    settings: Settings,
    space: Space,
    trials: int,
    *,
    listen: Callable[[int, Progress], None] = lambda number, progress: None,
    say: Callable[[str], None] = lambda line: None,
    builders: Mapping[str, Callable[..., nn.Module]] = MODELS,
) -> list[Trial]:
    """Search for the settings with the highest validation score, the first of the task (mIoU where there are masks).

    The output folder gets `trials.log`, Optuna's journal; `trial-000` and so on, the folders of the runs; and
    `best.yaml`, the settings of the best trial so far for ``sweepseg train --config``.

    Source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization" (the sampler, Optuna's TPE); Golovin et
    al. 2017, "Google Vizier", section 3.2.2 (the median rule for pruning).

    Args:
        settings: What all trials have in common.
        space: What differs.
        trials: How many trials there are to be in the end, those of earlier calls included.
        listen: Called after every optimizer step with the number of the trial.
        say: Called with lines for the user.
        builders: What the models are chosen from.

    Returns:
        All trials, the first one first.

    Raises:
        UsageError: Optuna is not installed, there is nothing to validate on, a value of the space cannot be used, or
            the folder holds another search.
        Interrupted: SIGINT or SIGTERM came; the same call goes on from there.
    """
    optuna = _import_optuna()
    if trials < 1:
        raise UsageError(f"trials is {trials}; give at least 1")
    check_space(space, settings, builders)
    if not any(sample.annotated for sample in open_data(settings).splits.get("val", ())):
        raise UsageError(f"{printable(settings.data)} has no annotated pictures in val to choose by; add some")
    output = Path(settings.output)
    study = _open_study(optuna, output, settings, space)
    while len(finished := _finished(study)) < trials:
        number = len(finished)
        seed = np.random.SeedSequence([settings.seed, number]).generate_state(1).item()
        study.sampler = optuna.samplers.TPESampler(seed=seed)
        trial = study.ask()
        run = applied(settings, {name: values.suggest(trial, name) for name, values in space.items()})
        trial.set_user_attr("chosen", {name: _value(run, name) for name in space})
        folder = output / f"trial-{number:03d}"
        if not _taken_up(study, trial, optuna):
            shutil.rmtree(folder, ignore_errors=True)
        run = replace(run, output=str(folder), resume=bool(saved_states(folder / "checkpoints")))

        def tick(progress: Progress, trial: Any = trial, number: int = number) -> None:
            listen(number, progress)
            if progress.validated:
                trial.report(next(iter(progress.scores.values())), progress.step)
                if progress.step < progress.steps and trial.should_prune():
                    raise optuna.TrialPruned

        try:
            history = train(run, listen=tick, say=say, builders=builders).history
            study.tell(trial, _score(history, best=run.early_stop > 0))
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except Interrupted as error:
            message = f"{folder.name} was interrupted; the same command goes on from there"
            raise Interrupted(error.exit_code - 128, message) from None
        except SweepsegError as error:
            if error.exit_code != SweepsegError.exit_code:  # of the data, the output or the installation
                raise
            say(f"{folder.name} failed: {error}")
            trial.set_user_attr("failed", True)
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)  # which tells the sampler that it was bad
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        _write_best(output, settings, _finished(study))
    return _finished(study)


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UsageError('optuna is not installed; pip install "sweepseg[tune]"') from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every trial
    return optuna


def _open_study(optuna: Any, output: Path, settings: Settings, space: Space) -> Any:
    """The study in a folder, made if missing.

    Raises:
        UsageError: It is of another search.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal = output / "trials.log"
    before = journal.read_bytes() if journal.exists() else b""
    atomic_write(journal, before[: before.rfind(b"\n") + 1])  # a line that a lost machine left half written
    study = optuna.create_study(
        study_name="tune",
        storage=JournalStorage(JournalFileBackend(str(journal))),
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=BEFORE_PRUNING),
        load_if_exists=True,
    )
    wanted = {"settings": settings.as_dict(), "space": {name: asdict(values) for name, values in space.items()}}
    earlier = study.user_attrs
    if not study.get_trials(deepcopy=False):
        for name, value in wanted.items():
            study.set_user_attr(name, value)
        return study
    differing = settings.differing(earlier["settings"])
    if earlier["space"] != wanted["space"]:
        differing.append("search")
    if differing:
        raise UsageError(
            f"{printable(output)} holds a search with another {', '.join(differing)}; go on with those of that search "
            "or name another --output"
        )
    return study


def _taken_up(study: Any, trial: Any, optuna: Any) -> bool:
    """Whether an earlier process left this trial unfinished; its scores become those of the new one."""
    found = False
    for earlier in study.get_trials():
        if earlier.state == optuna.trial.TrialState.RUNNING and earlier.number != trial.number:
            study.tell(earlier.number, state=optuna.trial.TrialState.FAIL)
            if earlier.params == trial.params:
                found = True
                for step, score in earlier.intermediate_values.items():
                    trial.report(score, step)
    return found


def _finished(study: Any) -> list[Trial]:
    """The trials of a study that came to an end."""
    found: list[Trial] = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name in ("COMPLETE", "PRUNED"):
            step = trial.last_step or 0
            score = trial.value if trial.state.name == "COMPLETE" else trial.intermediate_values.get(step, math.nan)
            outcome: Any = "failed" if "failed" in trial.user_attrs else trial.state.name.lower()
            found.append(Trial(len(found), outcome, score, step, trial.user_attrs["chosen"]))
    return found


def _value(settings: Settings, name: str) -> Any:
    first, _, argument = name.partition(".")
    value = settings.as_dict()[first]
    return value[argument] if argument else value


def _score(history: list[dict], *, best: bool) -> float:
    """The first score of the last validation, or of the best one, whose weights are kept when a run stops early.

    Raises:
        SweepsegError: It is not a number, as where every pixel is ignored.
    """
    rows = ([value for name, value in row.items() if name.startswith("val_")] for row in history)
    scores = [row[0] for row in rows if row]
    score = max(scores) if best else scores[-1]
    if math.isnan(score):
        raise SweepsegError("the validation has no score; see sweepseg check")
    return score


def _write_best(output: Path, settings: Settings, trials: list[Trial]) -> None:
    """Write the settings of the best trial that are not the defaults."""
    best = best_of(trials)
    if best is None:
        return
    found = applied(settings, best.chosen)
    values = found.as_dict()
    kept = {
        field.name: values[field.name]
        for field in fields(Settings)
        if field.name not in FREE | {"data"} and getattr(found, field.name) != field.default
    }
    head = f"# trial {best.number} of {len(trials)}, score {best.score:.4f}; sweepseg train DATA --config THIS\n"
    atomic_write(output / "best.yaml", (head + yaml.safe_dump(kept, sort_keys=False)).encode())
