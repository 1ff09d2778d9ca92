"""Data sets of images with sentences that each mean some of the objects in them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import UsageError
from .classes import voc_palette
from .dataset import Problem, ReferringSet, Sample
from .layouts import SPLITS
from .listing import by_name, read_text
from .refcoco import read_refcoco
from .words import vocabulary, words_of

LOOKED_FOR = (
    "{images,instances}/{train,val,test}/NAME.png and sentences/{train,val,test}.tsv "
    "(NAME.png, a tab, numbers such as 1,3, a tab, the sentence); or instances.json and refs(unc).p"
)


def open_referring(root: Path, names: Sequence[str] | None = None) -> ReferringSet:
    """Open `images/SPLIT/NAME.png`, `instances/SPLIT/NAME.png` and `sentences/SPLIT.tsv`, or a folder of RefCOCO.

    A line of the table is `NAME.png`, a tab, the numbers in the instance map of the objects that are meant, with commas
    between them, a tab and the sentence. For RefCOCO, RefCOCO+ and RefCOCOg see `refcoco.read_refcoco`.

    Args:
        root: Folder of the data set.
        names: What background and object are called.

    Raises:
        UsageError: There is no sentence, a file cannot be understood, or there are not two names.
    """
    classes = tuple(names or ("background", "object"))
    if len(classes) != 2:
        raise UsageError(f"{root} has {len(classes)} classes; task referring has two, background and object")
    layout, (splits, problems) = (
        ("refcoco", read_refcoco(root)) if (root / "instances.json").is_file() else ("sentences", _tables(root))
    )
    sayable = {split: tuple(_sayable(samples, problems)) for split, samples in splits.items()}
    if not any(sayable.values()):
        raise UsageError(f"{root} holds no image with a sentence; looked for {LOOKED_FOR}")
    return ReferringSet(
        root=root,
        layout=layout,
        task="referring",
        classes=classes,
        palette=voc_palette(2),
        splits={split: samples for split, samples in sayable.items() if samples},
        problems=tuple(problems),
        words=vocabulary(sample.sentence or "" for sample in sayable.get("train", ())),
    )


def _sayable(samples: Iterable[Sample], problems: list[Problem]) -> Iterable[Sample]:
    """The samples whose sentence can be read; the others are problems."""
    for sample in samples:
        try:
            words_of(sample.sentence or "")
            yield sample
        except ValueError as error:
            problems.append(Problem(sample.image, str(error)))


def _tables(root: Path) -> tuple[Mapping[str, Sequence[Sample]], list[Problem]]:
    """The samples in the tables, named `NAME/LINE`, and what they name that is not there."""
    splits: dict[str, list[Sample]] = {}
    problems = []
    for split in SPLITS:
        table = root / "sentences" / f"{split}.tsv"
        if not table.is_file():
            continue
        images, instances = (by_name(root / part / split) for part in ("images", "instances"))
        splits[split] = []
        for number, line in enumerate(read_text(table).splitlines(), 1):
            file, numbers, sentence = _row(line, table, number)
            name = Path(file).with_suffix("").as_posix()
            missing = [part for part, files in (("images", images), ("instances", instances)) if name not in files]
            if missing:
                problems.append(Problem(table, f"line {number} names {file}, which is not in {missing[0]}/{split}"))
                continue
            image, mask = images[name][0], instances[name][0]
            splits[split].append(Sample(f"{name}/{number}", image, mask, sentence=sentence, numbers=numbers))
    return splits, problems


def _row(line: str, table: Path, number: int) -> tuple[str, tuple[int, ...], str]:
    match line.split("\t"):
        case [file, numbers, sentence] if file and all(one.strip().isdecimal() for one in numbers.split(",")):
            return file, tuple(map(int, numbers.split(","))), sentence
    raise UsageError(f"{table}: line {number}: write NAME.png, a tab, numbers such as 1,3, a tab and the sentence")
