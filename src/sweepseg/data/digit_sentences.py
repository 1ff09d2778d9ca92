"""Sentences about digit scenes, such as "the seven left of the three", with the digits that they mean.

Some combinations of words are held out: they never occur in the sentences of train and val, and every sentence of test
has one, although each of its words is known from train.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from .digit_scenes import COLORS, NAMES, SENTENCES, Scene, draw_scene, generator

EXTREMES = ("largest", "smallest")  # by the height of the box
RELATIONS = {"left of": (1, 1), "right of": (1, -1), "above": (0, 1), "below": (0, -1)}  # axis, sign towards the anchor
APART = 4  # pixels between the middles of two boxes, or the relation counts as unclear
TALLER = 120  # percent of the next height, or it counts as unclear which is the largest (smallest)

_PLACES = {word: place for words in (NAMES, COLORS, EXTREMES, RELATIONS) for place, word in enumerate(words)}


@dataclass(frozen=True)
class Phrase:
    """Digits by what they are: "three", "red three", "red digit", "digit"."""

    color: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.color, self.name or "digit")))

    def fits(self, scene: Scene, place: int) -> bool:
        """Whether the digit ``scene.digits[place]`` is one of these."""
        return self.color in (None, scene.colors[place]) and self.name in (None, NAMES[scene.digits[place]])


@dataclass(frozen=True)
class Sentence:
    """A description of one digit ("the ...") or of several ("every ...").

    Attributes:
        target: What is meant.
        extreme: One of `EXTREMES` or None.
        relation: One of `RELATIONS` or None.
        anchor: What the relation refers to.
        determiner: "the" or "every".
    """

    target: Phrase
    extreme: str | None = None
    relation: str | None = None
    anchor: Phrase | None = None
    determiner: str = "the"

    def __str__(self) -> str:
        related = f"{self.relation} the {self.anchor}" if self.relation else None
        return " ".join(filter(None, (self.determiner, self.extreme, str(self.target), related)))

    @property
    def combinations(self) -> tuple[tuple[str, ...], ...]:
        """The words that stand together: colour and digit, extreme and either, digit and relation and digit."""
        target, anchor = self.target, self.anchor or Phrase()
        together = (
            (target.color, target.name),
            (anchor.color, anchor.name),
            (self.extreme, target.color),
            (self.extreme, target.name),
            (target.name, self.relation, anchor.name),
        )
        return tuple(words for words in together if None not in words)  # type: ignore[misc]

    @property
    def held_out(self) -> bool:
        """Whether it is one for the test split, as a fifth of all combinations are; each word is in some of them."""
        return any(sum(_PLACES[word] for word in words) % 5 == 0 for words in self.combinations)


@dataclass(frozen=True, eq=False)
class Referring:
    """A scene, a sentence about it, and the numbers (in `Scene.instances`) of the digits that the sentence means."""

    scene: Scene
    sentence: Sentence
    numbers: tuple[int, ...]

    @property
    def mask(self) -> np.ndarray:
        """The pixels of what is meant, (H, W) bool."""
        return np.isin(self.scene.instances, self.numbers)


def referring(seed: int, split: str, index: int) -> Referring:
    """A scene of two to five digits with one of the sentences that are true of it, each kind equally likely.

    Args:
        seed: Of the whole series, 0 or more.
        split: "train", "val" or "test".
        index: Number in the series, 0 or more.

    Raises:
        ValueError: There is no such split.

    >>> example = referring(0, "train", 3)
    >>> str(example.sentence), example.numbers
    ('every purple digit above the zero', (1, 3))
    """
    return described(seed, split, index, 1)[0]


def described(seed: int, split: str, index: int, count: int) -> list[Referring]:
    """The scene of `referring` with up to ``count`` sentences, drawn one after the other, less what is drawn again."""
    draw = generator(seed, SENTENCES, split, index)
    while True:  # until a scene has a sentence for this split
        scene = draw_scene(draw, split)
        kinds: dict[tuple[bool, bool, str], list[Referring]] = {}
        for said, numbers in sentences(scene) if len(scene.digits) > 1 else ():
            if said.held_out == (split == "test"):
                kind = said.extreme is None, said.relation is None, said.determiner
                kinds.setdefault(kind, []).append(Referring(scene, said, numbers))
        if kinds:
            drawn = ([*kinds.values()][draw.integers(len(kinds))] for _ in range(count))
            return [*dict.fromkeys(kind[draw.integers(len(kind))] for kind in drawn)]


def sentences(scene: Scene) -> list[tuple[Sentence, tuple[int, ...]]]:
    """Every sentence that is clearly true of a scene, with the numbers of the digits that it means.

    "The" means one digit and "every" at least two. Nothing is said where two digits are hardly of different height, or
    hardly apart in the direction of a relation.

    Args:
        scene: One picture, not a clip.
    """
    names, boxes = [NAMES[digit] for digit in scene.digits], scene.boxes.tolist()
    heights = [bottom - top for top, _, bottom, _ in boxes]
    middles = [[box[axis] + box[axis + 2] for box in boxes] for axis in (0, 1)]  # twice
    phrases = [Phrase(*words) for words in zip(scene.colors, names, strict=True)]
    phrases += [Phrase(name=name) for name in names] + [Phrase(color) for color in scene.colors]
    phrases = [*dict.fromkeys(phrases)]
    fitting = {
        phrase: [place for place in range(len(names)) if phrase.fits(scene, place)] for phrase in (*phrases, Phrase())
    }
    found: list[tuple[list[int], tuple[Phrase, str | None, str | None, Phrase | None]]] = [
        (fitting[target], (target, None, None, None)) for target in phrases
    ]
    for target, extreme in product(fitting, EXTREMES):
        found.append((_extreme(heights, fitting[target], extreme), (target, extreme, None, None)))
    for target, relation, anchor in product(fitting, RELATIONS, phrases):
        if len(fitting[anchor]) == 1:
            places = _related(middles, fitting[target], relation, fitting[anchor][0])
            found.append((places, (target, None, relation, anchor)))
    return [
        (Sentence(*words, determiner="the" if len(places) == 1 else "every"), tuple(place + 1 for place in places))
        for places, words in found
        if places
    ]


def _extreme(heights: list[int], places: list[int], extreme: str) -> list[int]:
    """The largest or smallest of the digits in ``places``; none if it is the only one or not clearly so."""
    ranked = sorted(places, key=lambda place: heights[place])
    ends = ranked[:2] if extreme == "smallest" else ranked[-2:]
    if len(ends) < 2 or 100 * heights[ends[1]] < TALLER * heights[ends[0]]:
        return []
    return ends[:1] if extreme == "smallest" else ends[1:]


def _related(middles: list[list[int]], places: list[int], relation: str, anchor: int) -> list[int]:
    """Those of ``places`` that are, say, above the ``anchor``; none if one of them is hardly above or below it."""
    axis, towards = RELATIONS[relation]
    distances = {p: towards * (middles[axis][anchor] - middles[axis][p]) for p in places if p != anchor}
    if any(abs(distance) < 2 * APART for distance in distances.values()):
        return []
    return [place for place, distance in distances.items() if distance > 0]
