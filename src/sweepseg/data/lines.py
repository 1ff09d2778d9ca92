"""Data sets of lines of text: images, and beside them what each reads."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from .classes import voc_palette
from .dataset import LineSet, Problem, Sample
from .layouts import SPLITS
from .listing import by_name, read_text

TABLE = "labels.tsv"
LOOKED_FOR = f"{{train,val,test}}/NAME.png and, beside them, {TABLE} or NAME.txt"


def open_lines(root: Path, names: Sequence[str] | None = None) -> LineSet:
    """Open `SPLIT/NAME.png` with `SPLIT/labels.tsv` (`NAME.png`, a tab, what it reads) or `SPLIT/NAME.txt` beside each.

    Args:
        root: Folder of the data set.
        names: The characters in the order of their indices; by default those of the training lines, sorted.

    Raises:
        UsageError: There is no line, a table cannot be understood, or no character to learn.
    """
    splits: dict[str, tuple[Sample, ...]] = {}
    problems: list[Problem] = []
    for split in SPLITS:
        images = by_name(root / split)
        table = _table(root / split / TABLE)
        samples = []
        for name, paths in images.items():
            problems += [Problem(path, f"has the same name as {paths[0].name}; keep one of them") for path in paths[1:]]
            text = table.pop(name, None) if table is not None else _beside(paths[0])
            if not text:
                remedy = f"write it into {TABLE}" if table is not None else f"write it into {name}.txt beside it"
                problems.append(Problem(paths[0], f"nothing says what it reads; {remedy} or remove the image"))
            else:
                samples.append(Sample(name, paths[0], None, text=text))
        problems += [Problem(root / split / TABLE, f"names {name}, which is no image here") for name in table or ()]
        splits[split] = tuple(samples)
    if not any(splits.values()):
        raise UsageError(f"{root} holds no line of text; looked for {LOOKED_FOR}")
    if names is None:
        names = sorted({character for sample in splits["train"] for character in sample.text or ""})
    if not names or any(len(name) != 1 for name in names):
        raise UsageError(f"{root} has the characters {', '.join(names) or 'none'}; give one a line in classes.txt")
    return LineSet(
        root=root,
        layout="lines",
        task="sequence",
        classes=tuple(names),
        palette=voc_palette(len(names)),
        splits={split: samples for split, samples in splits.items() if samples},
        problems=tuple(problems),
    )


def _table(path: Path) -> dict[str, str] | None:
    """What the lines of a table say by name of the image without its suffix; None where there is no table."""
    if not path.is_file():
        return None
    texts: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        name, tab, text = line.partition("\t")
        name = Path(name).with_suffix("").as_posix()
        if not tab or name in texts:
            fault = f"{name} stands there twice" if tab else "no tab"
            raise UsageError(f"{path}: line {number}: {fault}; write NAME.png, a tab and what the image reads")
        texts[name] = text
    return texts


def _beside(image: Path) -> str | None:
    path = image.with_suffix(".txt")
    return read_text(path).rstrip("\r\n") if path.is_file() else None
