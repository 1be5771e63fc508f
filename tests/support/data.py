"""The made-up languages that tests train on: pairs, stories, tagged words, questions, images and labelled texts."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

SPLITS = ("train", "val", "test")
WORDS = {"rot": "red", "blau": "blue", "haus": "house", "hund": "dog", "alt": "old", "sieht": "sees", "ein": "a"}


def write_pairs(folder: Path, name: str, count: int, seed: int) -> None:
    draw = random.Random(seed)
    sentences = [draw.choices(list(WORDS), k=draw.randint(2, 6)) for _ in range(count)]
    (folder / f"{name}.de").write_text("".join(" ".join(one) + "\n" for one in sentences), encoding="utf-8")
    translated = [" ".join(WORDS[word] for word in one) for one in sentences]
    (folder / f"{name}.en").write_text("\n".join(translated) + "\n", encoding="utf-8")


def write_stories(path: Path, count: int, seed: int) -> None:
    """Stories, each with a word of its own, which all its sentences begin and end with."""
    draw = random.Random(seed)
    stories = []
    for _ in range(count):
        own = draw.choice(list(WORDS.values()))
        inner = [" ".join(draw.choices(list(WORDS.values()), k=draw.randint(1, 3))) for _ in range(draw.randint(2, 5))]
        stories.append("".join(f"{own} {one} {own}\n" for one in inner))
    path.write_text("\n".join(stories), encoding="utf-8")


def write_tagged(path: Path, count: int, seed: int) -> None:
    """Words with a tag each: "ein" begins a span of the kind that the next word says, which goes on for one more."""
    draw = random.Random(seed)
    kinds = {"haus": "LC", "hund": "AN"}
    records = []
    for _ in range(count):
        lines = []
        for _ in range(draw.randint(1, 4)):
            if draw.random() < 0.5:
                noun, after = draw.choice(list(kinds)), draw.choice(["alt", "rot"])
                lines += [f"ein\tB-{kinds[noun]}", f"{noun}\tI-{kinds[noun]}", f"{after}\tI-{kinds[noun]}"]
            else:
                lines.append(f"{draw.choice(['blau', 'sieht', 'haus', 'alt'])}\tO")
        records.append("\n".join(lines) + "\n")
    path.write_text("\n".join(records), encoding="utf-8")


def write_questions(path: Path, count: int, seed: int) -> None:
    """Texts with an animal, a place or both, three words each, among others; which the question asks for."""
    draw = random.Random(seed)
    kinds = {"animal": ("dog", "cat"), "place": ("house", "tree")}
    articles = []
    for _ in range(count):
        there = draw.choice([["animal"], ["place"], ["animal", "place"], ["place", "animal"]])
        words, begins = draw.choices(["red", "sees", "old"], k=draw.randint(0, 3)), {}
        for kind in there:
            begins[kind] = len(" ".join([*words, ""]))
            words += ["a", draw.choice(kinds[kind]), draw.choice(["blue", "old"])]
            words += draw.choices(["red", "sees", "old"], k=draw.randint(0, 3))
        context = " ".join(words)
        asked = draw.choice(list(kinds))
        answers = []
        if asked in begins:
            text = " ".join(context[begins[asked] :].split()[:3])
            answers = [{"text": text, "answer_start": begins[asked]}]
        question = {"id": str(len(articles)), "question": f"which {asked}?", "answers": answers}
        articles.append({"title": "", "paragraphs": [{"context": context, "qas": [question]}]})
    path.write_text(json.dumps({"version": "2", "data": articles}), encoding="utf-8")


def write_images(path: Path, count: int, seed: int) -> None:
    """Noise with a bright square; the class is the quarter that it lies in."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 60, (count, 12, 12), dtype=np.uint8)
    labels = draw.integers(0, 4, count)
    for image, label in zip(images, labels, strict=True):
        down, right = (6 * half + draw.integers(0, 4) for half in divmod(int(label), 2))
        image[down : down + 3, right : right + 3] = 255
    np.savez(path, images=images, labels=labels)


def write_labelled(path: Path, count: int, seed: int) -> None:
    """Texts a, b and c, and: whether a has a dog; whether a and b have; how much a and b share; which has a dog."""
    draw = random.Random(seed)
    lines = ["a\tb\tc\tdog\tboth\tshared\tright"]
    for _ in range(count):
        a = draw.choices(list(WORDS.values()), k=draw.randint(2, 6))
        right = draw.randrange(2)
        others = [[word for word in draw.choices(list(WORDS.values()), k=4) if word != "dog"] for _ in range(2)]
        others[right].insert(draw.randint(0, 1), "dog")
        both, shared = "dog" in a and right == 0, sum(word in a + others[0] for word in ("dog", "red", "old"))
        values = ["yes" if "dog" in a else "no", str(both), str(shared), str(right)]
        lines.append("\t".join([*map(" ".join, (a, *others)), *values]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
