"""Where sentences end."""

from __future__ import annotations

import os
import re
import time
from itertools import islice
from pathlib import Path

import pytest

from sightline.data.sources import read_lines
from sightline.data.splitting import _ABBREVIATIONS, Passage, split_sentences

SENTENCES = {
    "안녕하세요. 오늘은 날씨가 좋네요! 그렇죠?": ["안녕하세요.", "오늘은 날씨가 좋네요!", "그렇죠?"],
    "Dr. Kim went home. He said “No.” Then J. K. Lee left (at 5 p.m. sharp).": [
        "Dr. Kim went home.", "He said “No.”", "Then J. K. Lee left (at 5 p.m. sharp).",
    ],
    "It was 3.5 m long . It was red .": ["It was 3.5 m long .", "It was red ."],
    "2. Methods follow e.g. Smith. 3. End": ["2. Methods follow e.g. Smith.", "3. End"],
    "Wait... what?! Yes…": ["Wait...", "what?!", "Yes…"],
    "He said no. She left. See No. 5 and no.7. No. 12": ["He said no.", "She left.", "See No. 5 and no.7.", "No. 12"],
    "The Red House\n\nIt was late\n \t\nand dark. Dr.\n\nKim": [
        "The Red House", "It was late", "and dark.", "Dr.", "Kim",
    ],
    "今日は。元気？はい！「そう。」と": ["今日は。", "元気？", "はい！", "「そう。」", "と"],
    "one\ntwo": ["one\ntwo"],
    "no end": ["no end"],
    "Er kam am 3. Oktober. Der 2. Weltkrieg endete 1945. Im 19. Jahrhundert lebten hier 20. Dann niemand.": [
        "Er kam am 3. Oktober.", "Der 2. Weltkrieg endete 1945.", "Im 19. Jahrhundert lebten hier 20.", "Dann niemand.",
    ],
    "Sie wurde 12. Am 30. August 1990 zog sie um. Berlin, 1. Mai. Ende 20. Jahrhundert war es gut.": [
        "Sie wurde 12.", "Am 30. August 1990 zog sie um.", "Berlin, 1. Mai.", "Ende 20. Jahrhundert war es gut.",
    ],
    "Heute ist der 3. Wir gehen. Zu ihrem 50. Geburtstag. Zwischen dem 1. und 2. Stock. Mein 2. Buch. Ende.": [
        "Heute ist der 3.", "Wir gehen.", "Zu ihrem 50. Geburtstag.", "Zwischen dem 1. und 2. Stock.", "Mein 2. Buch.",
        "Ende.",
    ],
    "Das war im Jahr 1999. Peter lebte in den 1980. Anna auch. Das 3. Kind schlief.": [
        "Das war im Jahr 1999.", "Peter lebte in den 1980.", "Anna auch.", "Das 3. Kind schlief.",
    ],
    "It was so in 1999. Then it was 20. May I go? I am 12. My sister is 9. Ten of them. We die at 90. Most do.": [
        "It was so in 1999.", "Then it was 20.", "May I go?", "I am 12.", "My sister is 9.", "Ten of them.",
        "We die at 90.", "Most do.",
    ],
    "  ": [],
}  # fmt: skip


@pytest.mark.parametrize("text", SENTENCES)
def test_sentences(text: str) -> None:
    assert split_sentences(text) == SENTENCES[text]


def by_the_book(text: str) -> list[str]:
    """The same rules without those for blank lines, for "no" and for marks that need no white space."""
    found, start = [], 0
    for match in re.finditer(r"[.!?…。！？]+[\"'”’)\]}»」』]*(?=\s|$)", text):
        following = text[match.end() :].lstrip()[:1]
        words = text[start : match.start()].split()
        if match.group() == "." and following.islower():
            continue
        if match.group() == "." and words and not text[match.start() - 1].isspace():
            last = words[-1].lstrip("(\"'“‘[")
            initial = len(last) == 1 and last.isascii() and last.isupper()
            if last.lower() in _ABBREVIATIONS or initial or (len(words) == 1 and last.isdigit()):
                continue
        found.append(text[start : match.end()])
        start = match.end()
    return [one.strip() for one in (*found, text[start:]) if one.strip()]


@pytest.mark.skipif("SIGHTLINE_DATA" not in os.environ, reason="SIGHTLINE_DATA is not set: no real data")
@pytest.mark.parametrize(
    "name",
    ["nsmc/ratings_test_first20k.txt.gz", "sst2/dev.tsv", "ko-en-bible/dev.en", "ko-en-bible/dev.ko",
     "gutenberg/sherlock_1661.txt", "wikitext-2/valid.txt.gz"],
)  # fmt: skip
def test_sentences_of_ordinary_text(name: str) -> None:
    count = 0
    for line in islice(read_lines(Path(os.environ["SIGHTLINE_DATA"]) / name), 5000):
        if not re.search(r"[。！？]|\bno\.", line, re.IGNORECASE):
            assert split_sentences(line) == by_the_book(line)
            count += 1
    assert count > 300


@pytest.mark.skipif("SIGHTLINE_DATA" not in os.environ, reason="SIGHTLINE_DATA is not set: no real data")
def test_german_ordinals_of_real_captions() -> None:
    """As in "des 2. Stocks": none ends a sentence."""
    lines = list(read_lines(Path(os.environ["SIGHTLINE_DATA"]) / "multi30k/train.de.gz"))
    ordinal = re.compile(r"\b(?:der|das|des|seinen)\s\d{1,3}\.\s[A-Z]")
    found = [one for line in lines if ordinal.search(line) for one in split_sentences(line)]
    assert len(found) > 5
    assert not [one for one in found if re.search(r"\d\.$", one)]


@pytest.mark.parametrize(
    "piece", ["A. ", "Dr. ", "3. b ", "der 1. B ", "der 1. und ", "a b. ", "...", "no. ", "\n", "。"]
)
def test_a_text_of_many_marks_takes_its_length(piece: str) -> None:
    start = time.process_time()
    split_sentences(piece * 100_000 + "x")
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("text", "sentences", "upper"),
    [
        ("One.  Two!\tThree", ("One.", "Two!", "Three"), "ONE.  TWO!\tTHREE"),
        ("  One. Two. ", ("One.", "Two."), "  ONE. TWO. "),
        (" - One.\r\n\r\n  two\n", ("- One.", "two"), " - ONE.\r\n\r\n  TWO\n"),
        ("\none\n", ("one",), "\nONE\n"),
        (" one. ", (" one. ",), " ONE. "),  # one line and one sentence: as it is
        ("one. \u200b", ("one. \u200b",), "ONE. \u200b"),
        ("one.\n\u200b\ntwo", ("one.", "two"), "ONE.\n\u200b\nTWO"),
        ("", ("",), ""),
        (" \n ", (" \n ",), " \n "),
        ("今日は。元気？ Yes", ("今日は。", "元気？", "Yes"), "今日は。元気？ YES"),
    ],
)
def test_passages(text: str, sentences: tuple[str, ...], upper: str) -> None:
    passage = Passage.of(text)
    assert passage.sentences == sentences
    assert passage.joined(passage.sentences) == text
    assert passage.joined([one.upper() for one in sentences]) == upper
    assert Passage.of(text, split=False).sentences == (text,)
    # what is told while a text is written grows at its end
    for count in range(len(sentences)):
        assert text.startswith(passage.joined(sentences[:count]))


def test_translations_of_unspaced_sentences_stand_apart() -> None:
    assert Passage.of("今日は。元気？").joined(["Hello.", "How are you?"]) == "Hello. How are you?"
