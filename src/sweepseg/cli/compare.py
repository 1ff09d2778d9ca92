"""The verb `compare`."""


def compare(
    data: list[str],
    models: list[str] = ["sweepnet_small", "sweepnet_small_control"],  # noqa: B006 - nobody changes these lists
    seeds: list[int] = [0],  # noqa: B006
    split: str = "test",
    results: str = "runs/compare/results.csv",
    plot: str | None = None,
    output: str = "runs/compare",
    json: bool = False,
    quiet: bool = False,
    **values,
) -> int:
    """Train models alike, each data set, seed and model in turn, and print what each reaches and costs.

    A finished run is a row of the results; what has a row is skipped and what was interrupted is continued.

    Args:
        data: Folders of data sets, YAML files with their `root` and `classes`, or "nuclei" for the bundled sample.
        models: Names of models, of `sweepseg list` or of other packages: smp_unet_resnet18, segformer_b0, monai_unet.
        seeds: Seeds of weights, order, augmentation and dropout.
        split: What to measure on: train, val or test.
        results: CSV file to add rows to; the table of all its rows stands beside it, with the suffix .md.
        plot: PNG file to draw mIoU over multiply-adds into.
        output: Folder for the runs: weights, settings and metrics.
        json: Print the rows as JSON.
        quiet: No progress bar and no table; failures are still named.
        values: The fields of `training.settings.Settings`.
    """
    from ..compare.peers import mend_torchvision

    mend_torchvision()  # before lightning is imported, which fails where torchvision does

    import importlib.util
    from dataclasses import asdict
    from pathlib import Path

    from ..compare.report import plot as draw
    from ..compare.report import table
    from ..compare.results import read
    from ..compare.series import Run, go_through
    from ..errors import UsageError
    from ..io.files import atomic_write
    from ..training.allocator import keep_freed_memory
    from ..training.fit import Progress
    from ..training.settings import Settings
    from .progress import bar
    from .terminal import print_json, say

    if Path(results).suffix != ".csv":
        raise UsageError(f"results is {results}; give a name that ends in .csv")
    if plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise UsageError('matplotlib is not installed; pip install "sweepseg[plots]" or leave out --plot')
    runs = [
        Run(Settings(**values, data=one, model=model, seed=seed, output=output), split)
        for one in data
        for seed in seeds
        for model in models
    ]
    keep_freed_memory()
    with bar() as update:

        def listen(run: Run, progress: Progress) -> None:
            if not quiet:
                update(f"{run.data} {run.settings.model} {run.settings.seed}", progress.step, progress.steps)

        failed = go_through(runs, Path(results), listen=listen, say=say)
    rows = read(Path(results))
    atomic_write(Path(results).with_suffix(".md"), table(rows).encode())
    if plot is not None:
        atomic_write(plot, draw(rows))
    if json:
        print_json([*map(asdict, rows)])
    elif not quiet:
        print(table(rows))
    return 0 if not failed else 4 if failed == len(runs) else 3
