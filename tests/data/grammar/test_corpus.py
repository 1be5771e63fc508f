"""The embedded corpus: what it says, its splits, and its alignments."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from typing import Any

import pytest

from sightline.data import grammar
from sightline.data.grammar import Pair, being, everyday, lexicon, questions
from sightline.data.grammar.phrases import Draft, predicate

NAMES = ("train", "validation", "test", "deep")


class Scripted(random.Random):
    """Chooses what is wanted where it is offered, and of chances always the one that does not come."""

    def __init__(self, *wanted: str) -> None:
        super().__init__(0)
        self.wanted = wanted

    def choice(self, options: Sequence[Any]) -> Any:
        for want in self.wanted:
            for option in options:
                known = (option, getattr(option, "korean", None), getattr(getattr(option, "stem", None), "text", None))
                if want in known:
                    return option
        return options[0]

    def random(self) -> float:
        return 0.99


def say(kind: Any, *wanted: str, level: str = "formal", depth: int = 1) -> Pair:
    draft = Draft(Scripted(*wanted), level)
    korean, english, end = kind(draft, depth)
    return Pair(
        grammar._written(korean, end),
        grammar._capital(grammar._written(english, end)),
        tuple((i, j) for i, a in enumerate(korean) for j, b in enumerate(english) if a.concepts & b.concepts),
        draft.depth,
    )


def test_the_sentence_of_the_notes() -> None:
    said = say(being.identity, "나", "학생", "relative", "공부하", "field", "인공지능", "bare", "present")
    assert said.korean == "나는 인공지능을 공부하는 학생입니다."
    assert said.english == "I am a student who studies artificial intelligence."
    # 나는-I, 인공지능을-artificial intelligence, 공부하는-who studies, 학생입니다-am a student
    assert said.alignment == ((0, 0), (1, 6), (1, 7), (2, 4), (2, 5), (3, 1), (3, 2), (3, 3))


@pytest.mark.parametrize(
    ("said", "korean", "english"),
    [
        (say(being.identity, "그녀", "의사", "bare"), "그녀는 의사입니다.", "She is a doctor."),
        (say(being.identity, "우리", "학생", "bare"), "우리는 학생입니다.", "We are students."),
        (say(questions.who, "읽", "present", "read", "소설", "bare"),
         "누가 소설을 읽습니까?", "Who reads a novel?"),
        (say(being.quality, "바쁘", "job", "학생", "bare"), "학생은 바쁩니다.", "The student is busy."),
        (say(being.pointing, ("이것", "this"), "read", "책", "bare"), "이것은 책입니다.", "This is a book."),
        (say(being.having, "민수", "read", "책", "number", ("두", "two")),
         "민수는 책 두 권이 있습니다.", "Minsu has two books."),
        (say(questions.adverb, "읽", "언제", ("언제", "when"), "past", "read", "책", "bare", "민수"),
         "민수는 언제 책을 읽었습니까?", "When did Minsu read a book?"),
        (say(everyday.greeting, ("안녕하세요", "hello"), "민수"), "민수 씨, 안녕하세요.", "Hello, Minsu."),
        (say(everyday.request, "마시", "drink", "커피", "number", ("두", "two"), level="polite"),
         "커피 두 잔을 마시세요.", "Please drink two cups of coffee."),
        (say(being.existence, "animal", "number", "고양이", ("두", "two"), ("방에", "in the room")),
         "방에 고양이 두 마리가 있습니다.", "There are two cats in the room."),
        (say(being.quality, "재미있", "read", "책", "this"), "이 책은 재미있습니다.", "This book is interesting."),
        (say(being.quality, "재미있", "read", "책", "relative", "쓰", "past", "민수"),
         "민수가 번역한 책은 재미있습니다.", None),
    ],
)  # fmt: skip
def test_what_it_says(said: Pair, korean: str, english: str | None) -> None:
    if english is None:
        assert said.korean.endswith("책은 재미있습니다.")
        assert " that Minsu " in said.english
        return
    assert (said.korean, said.english) == (korean, english)


@pytest.mark.parametrize(
    ("how", "korean", "english"),
    [
        ({"mood": "wish"}, "읽고 싶습니다", "want to read"),
        ({"mood": "wish", "negative": True}, "읽고 싶지 않습니다", "do not want to read"),
        ({"mood": "wish", "asks": True}, "읽고 싶습니까", "do want to read"),
        ({"mood": "ability"}, "읽을 수 있습니다", "can read"),
        ({"mood": "ability", "negative": True}, "읽을 수 없습니다", "cannot read"),
        ({"mood": "ability", "asks": True}, "읽을 수 있습니까", "can read"),
        ({"mood": "duty"}, "읽어야 합니다", "must read"),
        ({"asks": True}, "읽습니까", "do read"),
        ({"negative": True}, "읽지 않습니다", "do not read"),
    ],
)
def test_wishes_abilities_and_duties(how: dict[str, Any], korean: str, english: str) -> None:
    draft = Draft(Scripted(), "formal")
    verb = next(one for one in lexicon.TRANSITIVE if one.english == "read")
    acting = draft.concept()
    said, spoken = predicate(draft, verb, "present", 1, acting, **how)
    assert (grammar._written(said, ""), grammar._written(spoken, "")) == (korean, english)
    # what is done is one thing, that it is wanted, can or must be done another
    done = [word.text for word in (*said, *spoken) if word.concepts == acting]
    assert done == ([said[0].text, "read"] if "mood" in how else [word.text for word in (*said, *spoken)])


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Pair]]:
    return {name: grammar.split(name) for name in NAMES}


def test_sizes_and_no_duplicates_within_or_across(splits: dict[str, list[Pair]]) -> None:
    assert {name: len(pairs) for name, pairs in splits.items()} == grammar.SIZES
    everything = [pair.korean for pairs in splits.values() for pair in pairs]
    assert len(set(everything)) == len(everything)


def test_same_again(splits: dict[str, list[Pair]]) -> None:
    grammar._parts.cache_clear()
    assert grammar.split("test") == splits["test"]
    assert grammar.split("train", 100) == splits["train"][:100]


def test_one_translation_for_each_sentence() -> None:
    """English is a function of Korean."""
    said: dict[str, str] = {}
    for index in range(30_000):
        pair = grammar.pair(7, index)
        assert said.setdefault(pair.korean, pair.english) == pair.english


def test_every_word_is_known_and_every_test_sentence_is_a_new_combination(splits: dict[str, list[Pair]]) -> None:
    known = grammar._words_of(tuple(splits["train"]))
    for name in ("validation", "test", "deep"):
        assert grammar._words_of(tuple(splits[name])) <= known
    for seed, held in ((1, False), (3, True)):
        kept = {pair.korean for pair in splits["train" if seed == 1 else "test"]}
        for index in range(2000):
            pair, draft = grammar._make(seed, index, 1)
            if pair.korean in kept:
                assert any(map(grammar._held_out, draft.combinations)) == held


def test_depths(splits: dict[str, list[Pair]]) -> None:
    assert max(pair.depth for pair in splits["train"]) == 1
    assert {pair.depth for pair in splits["deep"]} == {2}
    deep = max(splits["deep"], key=lambda pair: len(pair.english))
    assert sum(word in ("who", "that") for word in deep.english.split()) >= 2


def test_whoever_is_known_is_the_topic(splits: dict[str, list[Pair]]) -> None:
    """학생은 is "the student", 학생이 "a student"; 이 and 가 stand where no clause could take them for its subject."""
    said = {"학생은": "The student ", "학생이": "A student ", "고양이는": "The cat ", "고양이가": "A cat "}
    for first, english in said.items():
        found = [pair for pair in splits["train"] if pair.korean.split()[0] == first and pair.korean[-1] == "."]
        assert found
        # but "there is a student"
        assert all(pair.english.startswith((english, "There ")) for pair in found)
        assert first[-1] in "은는" or not any(pair.depth for pair in found)


def test_alignments_are_whole(splits: dict[str, list[Pair]]) -> None:
    for pair in [*splits["train"][:3000], *splits["test"], *splits["deep"]]:
        korean, english = pair.korean.split(), pair.english.split()
        assert {i for i, _ in pair.alignment} == set(range(len(korean))), pair
        if " I " not in f" {pair.english} " and "you" not in pair.english:
            assert {j for _, j in pair.alignment} == set(range(len(english))), pair


def test_text_is_normal_and_well_formed(splits: dict[str, list[Pair]]) -> None:
    for pairs in splits.values():
        for pair in pairs:
            assert unicodedata.is_normalized("NFC", pair.korean)
            assert pair.korean[-1] == pair.english[-1]
            assert pair.english[-1] in ".?"
            assert pair.english[0].isupper()
            assert "  " not in pair.korean + pair.english
            assert not any(f" a {vowel}" in pair.english for vowel in "aeio")
            assert not any(f" an {consonant}" in pair.english for consonant in "bcdfgjklmnpqrstvwxz")


def test_a_million_sentences() -> None:
    assert grammar.count_lower_bound() >= 1_000_000
