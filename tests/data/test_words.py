import numpy as np
import pytest

from sweepseg.data.words import MOST_WORDS, numbered, unknown_words, vocabulary, words_of


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("The RED hat", ["the", "red", "hat"]),
        ("  man's hat,left--of (2)", ["man's", "hat", "left", "of", "2"]),
        ("chien à côté", ["chien", "à", "côté"]),
        (" ".join(["a"] * MOST_WORDS), ["a"] * MOST_WORDS),
    ],
)
def test_words_are_in_lower_case_without_what_stands_between_them(sentence, words):
    assert words_of(sentence) == words


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [("", "'' has no word"), (" ?! ", "has no word"), ("a " * (MOST_WORDS + 1), "has 101 words; at most 100 are read")],
)
def test_sentences_without_words_or_with_too_many_are_refused(sentence, reason):
    for read in (words_of, lambda said: numbered(said, ("a",)), lambda said: unknown_words(said, ("a",))):
        with pytest.raises(ValueError, match=reason):
            read(sentence)


def test_numbers_leave_room_for_no_word_and_for_unknown_ones():
    known = vocabulary(["the red hat", "The hat!"])
    assert known == ("hat", "red", "the")
    numbers = numbered("the green hat", known)
    assert numbers.tolist() == [4, 1, 2] and numbers.dtype == np.int64


def test_unknown_words_are_named_and_a_sentence_of_nothing_else_is_refused_with_the_known_ones():
    assert unknown_words("the shiny red shiny thing", ("red", "the")) == ["shiny", "thing"]
    with pytest.raises(ValueError, match=r"no word of 'shiny thing' is known; known are red, the$"):
        unknown_words("shiny thing", ("red", "the"))
    with pytest.raises(ValueError, match=r"w49 and 10 more$"):
        unknown_words("shiny", [f"w{number}" for number in range(60)])
