"""The verb `tune`."""


def tune(
    trials: int = 20,
    search: str | None = None,
    output: str = "runs/tune",
    json: bool = False,
    quiet: bool = False,
    **values,
) -> int:
    """Search for the settings with the highest validation score; those that fall behind are given up early.

    A stopped search goes on with the same command. Every other option is a setting that all trials have in common.

    Args:
        trials: How many trials there are to be in the end, those of earlier calls included.
        search: YAML file of what to choose from: settings of `train` with lists or ranges for values; by default the
            learning rate, the weight decay and, where the model takes them, cell, order and units.
        output: Folder for the trials; `best.yaml` in it is for `train --config`.
        json: Print the trials as JSON.
        quiet: No progress bar and no table.
        values: The fields of `training.settings.Settings`.
    """
    from dataclasses import asdict
    from pathlib import Path

    from ..errors import printable
    from ..training.allocator import keep_freed_memory
    from ..training.fit import Progress
    from ..training.settings import Settings
    from ..tuning.search import best_of
    from ..tuning.search import tune as search_settings
    from ..tuning.space import default_space, read_space
    from .progress import bar
    from .terminal import print_columns, print_json, say

    settings = Settings(**values, output=output)
    space = read_space(search) if search else default_space(settings.model)
    keep_freed_memory()
    with bar(quiet=quiet) as update:

        def listen(number: int, progress: Progress) -> None:
            update(f"trial {number + 1} of {trials} {progress.headline}".rstrip(), progress.step, progress.steps)

        found = search_settings(settings, space, trials, listen=listen, say=say)
    best = best_of(found)
    if json:
        print_json([asdict(trial) for trial in found])
    elif not quiet:
        head = ["trial", "outcome", "score", "step", *space]
        rows = [[str(t.number), t.outcome, f"{t.score:.4f}", str(t.step), *map(str, t.chosen.values())] for t in found]
        print_columns([head, *rows])
        if best is not None:
            file = printable(Path(output) / "best.yaml")
            print(f"trial {best.number} is the best; train with its settings: sweepseg train DATA --config {file}")
    if best is None:
        say("no trial came to its end; search among smaller learning rates")
    return 0 if best is not None else 4
