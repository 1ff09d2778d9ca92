"""The words of sentences and their numbers: 0 is no word, 1 one that is not known, from 2 on the known ones follow."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

UNKNOWN, FIRST = 1, 2
MOST_WORDS = 100  # in a sentence; longer ones are refused, never cut


def words_of(sentence: str) -> list[str]:
    """The words of a sentence in lower case, without what stands between them.

    Raises:
        ValueError: There is none, or there are more than `MOST_WORDS`.

    >>> words_of("The man's dog, left!")
    ['the', "man's", 'dog', 'left']
    """
    found = re.findall(r"\w+(?:'\w+)*", sentence.lower())
    if not found:
        raise ValueError(f"{sentence!r} has no word; describe what to find, such as 'the dog on the left'")
    if len(found) > MOST_WORDS:
        raise ValueError(f"the sentence has {len(found)} words; at most {MOST_WORDS} are read, so say it in fewer")
    return found


def unknown_words(sentence: str, known: Sequence[str]) -> list[str]:
    """The words of a sentence that are not known, of which a model can make nothing.

    Raises:
        ValueError: See `words_of`; or none of its words is known.

    >>> unknown_words("The red hat", ("hat", "the"))
    ['red']
    """
    words = words_of(sentence)
    unknown = [word for word in dict.fromkeys(words) if word not in known]
    if len(unknown) == len({*words}):
        some = ", ".join(known[:50]) + (f" and {len(known) - 50} more" if len(known) > 50 else "")
        raise ValueError(f"no word of {sentence!r} is known; known are {some}")
    return unknown


def vocabulary(sentences: Iterable[str]) -> tuple[str, ...]:
    """The different words of sentences, sorted.

    Raises:
        ValueError: See `words_of`.
    """
    return tuple(sorted({word for sentence in sentences for word in words_of(sentence)}))


def numbered(sentence: str, known: Sequence[str]) -> np.ndarray:
    """The numbers of the words of a sentence, int64 (L,).

    Raises:
        ValueError: See `words_of`.

    >>> numbered("The red hat", ("hat", "the"))
    array([3, 1, 2])
    """
    numbers = {word: number for number, word in enumerate(known, FIRST)}
    return np.array([numbers.get(word, UNKNOWN) for word in words_of(sentence)], np.int64)
