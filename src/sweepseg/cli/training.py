"""The verb `train`."""


def train(quiet: bool = False, **values) -> int:
    """Train a model on a data set; the run's folder then is a model folder.

    Args:
        quiet: No progress bar and no summary.
        values: The fields of `training.settings.Settings`.
    """
    from ..training.allocator import keep_freed_memory
    from ..training.fit import Progress
    from ..training.fit import train as train_model
    from ..training.settings import Settings
    from .progress import bar, tracker
    from .terminal import say

    settings = Settings(**values)
    keep_freed_memory()
    with bar() as update:

        def listen(progress: Progress) -> None:
            if not quiet:
                update(f"loss {progress.loss:.3f} {progress.headline}".rstrip(), progress.step, progress.steps)

        trained = train_model(settings, listen=listen, say=say, progress=tracker("checking", quiet=quiet))
    if not quiet:
        last = trained.history[-1]
        score = f", val {trained.headline}" if trained.headline else ""
        print(f"{trained.steps} steps in {trained.seconds:.0f} s, loss {last['loss']:.3f}{score}")
        print(f"the model is in {settings.output}; use it: sweepseg predict IMAGES --model {settings.output}")
    return 0
