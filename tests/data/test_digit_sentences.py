import re

import numpy as np
import pytest
from scipy import ndimage

from sweepseg.data.digit_scenes import scene
from sweepseg.data.digit_sentences import Phrase, Sentence, described, referring, sentences

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
COLORS = ["red", "green", "blue", "yellow", "purple", "white"]
EXTREMES = ["largest", "smallest"]
RELATIONS = ["left of", "right of", "above", "below"]
GRAMMAR = re.compile(
    rf"(?P<which>the|every) (?:(?P<extreme>{'|'.join(EXTREMES)}) )?(?:(?P<color>{'|'.join(COLORS)}) )?"
    rf"(?P<name>digit|{'|'.join(NAMES)})(?: (?P<relation>{'|'.join(RELATIONS)}) the "
    rf"(?:(?P<color2>{'|'.join(COLORS)}) )?(?P<name2>digit|{'|'.join(NAMES)}))?"
)
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def examples():
    return {split: [referring(0, split, index) for index in range(60)] for split in SPLITS}


def meant(text, one):
    """The numbers that a sentence means, by reading its text and measuring in the instance map alone."""
    said = GRAMMAR.fullmatch(text).groupdict()
    boxes = ndimage.find_objects(one.instances)
    heights = {n: box[0].stop - box[0].start for n, box in enumerate(boxes, 1)}
    rows = {n: (box[0].start + box[0].stop) / 2 for n, box in enumerate(boxes, 1)}
    columns = {n: (box[1].start + box[1].stop) / 2 for n, box in enumerate(boxes, 1)}

    def fitting(color, name):
        return {
            n
            for n, (digit, shown) in enumerate(zip(one.digits, one.colors, strict=True), 1)
            if color in (None, shown) and name in ("digit", NAMES[digit])
        }

    chosen = fitting(said["color"], said["name"])
    if said["extreme"]:
        assert len(chosen) > 1
        best = (max if said["extreme"] == "largest" else min)(heights[n] for n in chosen)
        chosen = {n for n in chosen if heights[n] == best}
    if said["relation"]:
        (anchor,) = fitting(said["color2"], said["name2"])
        holds = {
            "left of": lambda n: columns[n] < columns[anchor],
            "right of": lambda n: columns[n] > columns[anchor],
            "above": lambda n: rows[n] < rows[anchor],
            "below": lambda n: rows[n] > rows[anchor],
        }[said["relation"]]
        middles = rows if said["relation"] in ("above", "below") else columns
        assert all(abs(middles[n] - middles[anchor]) >= 4 for n in chosen - {anchor})  # clear for everyone
        chosen = {n for n in chosen if holds(n)}
    assert len(chosen) == 1 if said["which"] == "the" else len(chosen) > 1
    return chosen


def combinations(text):
    """The words of a sentence that stand together."""
    said = GRAMMAR.fullmatch(text).groupdict()
    name, name2 = (None if said[key] == "digit" else said[key] for key in ("name", "name2"))
    together = [(said["color"], name), (said["color2"], name2), (said["extreme"], said["color"])]
    together += [(said["extreme"], name), (name, said["relation"], name2)]
    return {words for words in together if None not in words}


def test_every_sentence_of_a_scene_is_true_of_exactly_the_digits_that_it_names():
    count = 0
    for index in range(25):
        one = scene(3, "train", index)
        for said, numbers in sentences(one):
            assert meant(str(said), one) == set(numbers), said
            count += 1
    assert count > 1000


def test_several_sentences_are_of_one_scene_and_begin_with_that_of_referring(examples):
    counts = []
    for index in range(8):
        several, first = described(0, "test", index, 6), examples["test"][index]
        assert (several[0].sentence, several[0].numbers) == (first.sentence, first.numbers)
        np.testing.assert_array_equal(several[0].scene.image, first.scene.image)
        assert all(one.scene is several[0].scene and one.sentence.held_out for one in several)
        assert len({str(one.sentence) for one in several}) == len(several) <= 6
        assert all(meant(str(one.sentence), one.scene) == {*one.numbers} for one in several)
        counts.append(len(several))
    assert max(counts) > 3


def test_marked_pixels_are_those_that_the_sentence_means(examples):
    for one in (one for split in examples.values() for one in split):
        numbers = meant(str(one.sentence), one.scene)
        expected = sum(one.scene.instances == number for number in numbers)
        assert one.mask.dtype == bool and len(one.scene.digits) > 1
        np.testing.assert_array_equal(one.mask, expected.astype(bool))


def test_combinations_of_test_sentences_never_occur_in_train_or_val_but_their_words_do(examples):
    texts = {split: [str(one.sentence) for one in made] for split, made in examples.items()}
    known = set().union(*(combinations(text) for split in ("train", "val") for text in texts[split]))
    words = {word for text in texts["train"] for word in re.findall("left of|right of|[a-z]+", text)}
    assert all(combinations(text) - known for text in texts["test"])
    assert {word for text in texts["test"] for word in re.findall("left of|right of|[a-z]+", text)} <= words

    places = {word: place for words in (NAMES, COLORS, EXTREMES, RELATIONS) for place, word in enumerate(words)}
    for split, held_out in (("train", False), ("val", False), ("test", True)):
        for text in texts[split]:
            assert any(sum(map(places.get, words)) % 5 == 0 for words in combinations(text)) == held_out


def test_all_kinds_of_sentences_occur(examples):
    for split, made in examples.items():
        kinds = [(bool(one.sentence.extreme), one.sentence.relation, one.sentence.determiner) for one in made]
        relations = [relation for _, relation, _ in kinds if relation]
        assert {*relations} == {*RELATIONS} and len(relations) > 12
        assert sum(extreme for extreme, _, _ in kinds) >= 2
        assert sum(determiner == "every" for _, _, determiner in kinds) > 6, split


def test_a_sentence_in_words():
    said = Sentence(Phrase("red", "seven"), relation="left of", anchor=Phrase(name="three"))
    assert str(said) == "the red seven left of the three"
    assert said.combinations == (("red", "seven"), ("seven", "left of", "three")) and said.held_out
    assert str(Sentence(Phrase("blue"), extreme="largest")) == "the largest blue digit"
    assert not Sentence(Phrase("blue"), extreme="largest").held_out
