"""The verb `generate`."""

from .terminal import print_json


def generate(
    model: str = "runs/train",
    count: int = 16,
    seed: int = 0,
    output: str = "generated",
    size: tuple[int, int] = (28, 28),
    complete: str | None = None,
    rows: int | None = None,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Draw pictures from a model of task generation, or the rest of a picture.

    Args:
        model: Model folder of task generation.
        count: Pictures to make.
        seed: Seed of the draws.
        output: Folder for the pictures, `0000.png` and so on.
        size: Height and width in pixels, best those of the training pictures; with `complete` those of the image.
        complete: Image whose upper rows all pictures begin with.
        rows: How many rows of it are kept; by default half of them.
        json: Print the summary as JSON.
        quiet: No progress bar and no summary.
    """
    from pathlib import Path

    from ..errors import UsageError, printable
    from ..inference.generate import generate as generate_pictures
    from ..inference.generate import read_picture
    from ..io.images import write_image
    from ..models.folder import load
    from .progress import bar

    if rows is not None and complete is None:
        raise UsageError(f"rows is {rows}, of no image; name one with --complete or leave it out")
    generator, begun, folder = load(model), None, Path(output)
    if complete is not None:
        image = read_picture(generator, complete)
        size = image.shape[0], image.shape[1]
        rows = size[0] // 2 if rows is None else rows
        if not 0 <= rows <= size[0]:
            raise UsageError(f"rows is {rows}; {complete} has {size[0]}")
        begun = image[:rows]
    with bar(quiet=quiet) as update:
        pictures = generate_pictures(
            generator,
            count,
            size=size,
            seed=seed,
            begun=begun,
            listen=lambda done, total: update("drawing rows", done, total),
        )
    names = [f"{number:04}.png" for number in range(count)]
    for name, picture in zip(names, pictures, strict=True):
        write_image(folder / name, picture)
    if json:
        print_json({"output": output, "files": names})
    elif not quiet:
        print(f"{count} pictures are in {printable(output)}")
    return 0
