"""The embedded corpus: Korean–English sentence pairs with gold word alignments, made by a small bilingual grammar."""

from __future__ import annotations

import functools
import random
import zlib
from dataclasses import dataclass
from typing import Literal

from sightline.data.grammar import lexicon
from sightline.data.grammar.phrases import Draft, Words
from sightline.data.grammar.sentences import build

SplitName = Literal["train", "validation", "test", "deep"]
SIZES: dict[SplitName, int] = {"train": 20_000, "validation": 500, "test": 500, "deep": 300}
# One combination of words in so many is kept from training.
_HELD_OUT = 12


@dataclass(frozen=True, slots=True)
class Pair:
    """A Korean sentence, its English translation, and which words mean the same.

    `alignment` holds (Korean word, English word), counted from 0 among the words that `str.split` gives; articles and
    auxiliaries belong to the word they go with. `depth` counts relative clauses inside each other.
    """

    korean: str
    english: str
    alignment: tuple[tuple[int, int], ...]
    depth: int


def pair(seed: int, index: int, *, max_depth: int = 1) -> Pair:
    """Sentence number `index` of the endless corpus of `seed`: a pure function of its arguments."""
    return _make(seed, index, max_depth)[0]


def _make(seed: int, index: int, max_depth: int) -> tuple[Pair, Draft]:
    draft, (korean, english, end) = build(random.Random(seed * 1_000_003 + index), max_depth)
    alignment = tuple(
        (i, j) for i, one in enumerate(korean) for j, other in enumerate(english) if one.concepts & other.concepts
    )
    return Pair(_written(korean, end), _capital(_written(english, end)), alignment, draft.depth), draft


def _written(words: Words, end: str) -> str:
    return " ".join(word.text for word in words) + end


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _held_out(combination: tuple[str, str]) -> bool:
    return zlib.crc32(" ".join(combination).encode()) % _HELD_OUT == 0


def split(name: SplitName, size: int | None = None) -> list[Pair]:
    """A part of the corpus; always the same, without duplicates within it or across parts.

    "train" holds sentences none of whose combinations (verb and object, adjective and noun, verb and place) is held
    out; those of "validation" and "test" each hold at least one, so that every one of them combines words as no
    training sentence does. Sentences of "deep" nest two relative clauses, training sentences at most one. Every word
    of the other parts also occurs in training.
    """
    return list(_parts(name, SIZES[name] if size is None else size))


@functools.lru_cache(maxsize=8)
def _parts(name: SplitName, size: int) -> tuple[Pair, ...]:
    # validation and test are drawn from different seeds, and a sentence's own hash decides which may have it
    seed, deepest = {"train": (1, 1), "validation": (2, 1), "test": (3, 1), "deep": (4, 2)}[name]
    known = frozenset[str]() if name == "train" else _words_of(_parts("train", SIZES["train"]))
    found: dict[str, Pair] = {}
    index = 0
    while len(found) < size:
        one, draft = _make(seed, index, deepest)
        index += 1
        held = any(map(_held_out, draft.combinations))
        side = zlib.crc32(one.korean.encode()) % 2
        wanted = {
            "train": not held,
            "validation": held and side == 0,
            "test": held and side == 1,
            "deep": one.depth >= 2,
        }[name]
        if wanted and (name == "train" or _words_of((one,)) <= known):
            found.setdefault(one.korean, one)
    return tuple(found.values())


def _words_of(pairs: tuple[Pair, ...]) -> frozenset[str]:
    return frozenset(word for one in pairs for text in (one.korean, one.english) for word in text.split())


def count_lower_bound() -> int:
    """How many different Korean sentences there are at least.

    Counts only statements of one kind: a person, a verb, a bare, pointed-at or counted object, past or future, three
    levels of speech, affirmed or denied, with one of the adverbials of time.
    """
    objects = sum(
        (3 + len(lexicon.NUMBERS)) if noun.counter else 3
        for verb in lexicon.TRANSITIVE
        if verb.english not in lexicon.STATIVE
        for group in verb.objects
        for noun in lexicon.NOUNS[group]
    )
    times = len(lexicon.TIMES["past"]) + len(lexicon.TIMES["future"])
    people = len(lexicon.PEOPLE) - 1  # no level has both 나 and 저, but for one
    return people * objects * times * 3 * 2
