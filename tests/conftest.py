"""Shared test set-up: threads, and tiny runs trained once a session through the command line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sightline.cli import main

# Small tensors: a second thread only waits, most of all on a machine that does other things too.
torch.set_num_threads(1)

SPLITS = ("train", "val", "test")
WORDS = {"rot": "red", "blau": "blue", "haus": "house", "hund": "dog", "alt": "old", "sieht": "sees", "ein": "a"}
# The models of each task that are trained in tests, and the keys that make them small.
MODELS = {
    "transformer": ["model.kind=transformer", "model.d_model=16", "model.num_layers=1", "model.num_heads=2",
                    "model.d_ff=32"],
    "seq2seq": ["model.kind=seq2seq", "model.width=16", "model.embedding_width=16"],
}  # fmt: skip

LANGUAGE_MODELS = {
    "gpt": ["model.kind=gpt", "model.d_model=16", "model.num_layers=1", "model.num_heads=2", "model.d_ff=32",
            "model.max_length=16", "model.attention_dropout=0"],
    "recurrent": ["model.kind=recurrent", "model.width=16", "model.embedding_width=16"],
    "window": ["model.kind=window", "model.width=16", "model.embedding_width=16"],
    "ngram": ["model.kind=ngram", "model.order=3"],
}  # fmt: skip

# The forms of fine-tuning, and the columns that each reads of the table in `labelled_text`.
FORMS = {
    "single": ('["a"]', "dog", []),
    "pair": ('["a", "b"]', "both", []),
    "similarity": (
        '["a", "b"]',
        "shared",
        ["data.numbers=true", "training.metric=pearson", "training.max_updates=500"],
    ),
    "choice": ('["a", "b", "c"]', "right", []),
}


def sightline(*words: object) -> int:
    """Runs the command line in this process; its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def write_pairs(folder: Path, name: str, count: int, seed: int) -> None:
    draw = random.Random(seed)
    sentences = [draw.choices(list(WORDS), k=draw.randint(2, 6)) for _ in range(count)]
    (folder / f"{name}.de").write_text("".join(" ".join(one) + "\n" for one in sentences), encoding="utf-8")
    translated = [" ".join(WORDS[word] for word in one) for one in sentences]
    (folder / f"{name}.en").write_text("\n".join(translated) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train, val and test files (.de, .en) of a word-by-word language."""
    folder = tmp_path_factory.mktemp("texts")
    for seed, (name, count) in enumerate((("train", 300), ("val", 20), ("test", 20))):
        write_pairs(folder, name, count, seed)
    return folder


def config_text(texts: Path) -> str:
    return f"""
task = "translation"
[data]
train = [{{ source = "{texts}/train.de", target = "{texts}/train.en" }}]
validation = {{ source = "{texts}/val.de", target = "{texts}/val.en" }}
test.test = {{ source = "{texts}/test.de", target = "{texts}/test.en" }}
[tokenizer]
vocab_size = 300
[training]
max_updates = 6
tokens_per_batch = 256
warmup = 2
validate_every = 3
save_every = 2
precision = "fp32"
threads = 1
[validation]
sentences = 5
"""


@pytest.fixture(scope="session")
def config_file(texts: Path) -> Path:
    file = texts / "tiny.toml"
    file.write_text(config_text(texts), encoding="utf-8")
    return file


def language_text(texts: Path) -> str:
    return f"""
task = "language"
[data]
train = [{{ source = "{texts}/train.en" }}]
validation = [{{ source = "{texts}/val.en" }}]
test.test = {{ source = "{texts}/test.en" }}
block = 16
[tokenizer]
vocab_size = 300
[training]
max_updates = 60
learning_rate = 0.01
tokens_per_batch = 128
warmup = 2
validate_every = 30
save_every = 20
precision = "fp32"
threads = 1
"""


@pytest.fixture(scope="session")
def language_file(texts: Path) -> Path:
    file = texts / "language.toml"
    file.write_text(language_text(texts), encoding="utf-8")
    return file


def masked_text(texts: Path) -> str:
    files = {
        name: f'{{ source = "{texts}/{name}.stories", documents = "block", sentences = "line" }}' for name in SPLITS
    }
    return f"""
task = "masked_language"
[data]
train = [{files["train"]}]
validation = [{files["val"]}]
test.test = {files["test"]}
max_tokens = 32
[tokenizer]
vocab_size = 300
[model]
d_model = 32
num_layers = 2
num_heads = 2
d_ff = 64
max_length = 40
dropout = 0.0
attention_dropout = 0.0
[training]
max_updates = 800
learning_rate = 0.005
tokens_per_batch = 512
warmup = 100
validate_every = 200
save_every = 100
precision = "fp32"
threads = 1
"""


@pytest.fixture(scope="session")
def masked_file(texts: Path) -> Path:
    """A configuration of BERT on stories: each has a word of its own, which all its sentences begin and end with."""
    for seed, (name, count) in enumerate((("train", 600), ("val", 150), ("test", 60))):
        draw = random.Random(seed)
        stories = []
        for _ in range(count):
            own = draw.choice(list(WORDS.values()))
            inner = [
                " ".join(draw.choices(list(WORDS.values()), k=draw.randint(1, 3))) for _ in range(draw.randint(2, 5))
            ]
            stories.append("".join(f"{own} {one} {own}\n" for one in inner))
        (texts / f"{name}.stories").write_text("\n".join(stories), encoding="utf-8")
    file = texts / "masked.toml"
    file.write_text(masked_text(texts), encoding="utf-8")
    return file


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


def tagged_text(texts: Path) -> str:
    files = {name: f'{{ source = "{texts}/{name}.bio" }}' for name in SPLITS}
    return f"""
task = "tagging"
[data]
train = [{files["train"]}]
validation = {files["val"]}
test.test = {files["test"]}
max_tokens = 32
[tokenizer]
vocab_size = 100
min_frequency = 1
[model]
d_model = 32
num_layers = 2
num_heads = 2
d_ff = 64
max_length = 40
dropout = 0.0
attention_dropout = 0.0
[training]
max_updates = 500
learning_rate = 0.005
tokens_per_batch = 256
warmup = 50
validate_every = 250
save_every = 20
metric = "span_f1"
precision = "fp32"
threads = 1
"""


@pytest.fixture(scope="session")
def tagged_file(texts: Path) -> Path:
    """A configuration of a tagger."""
    for seed, (name, count) in enumerate((("train", 200), ("val", 40), ("test", 40))):
        write_tagged(texts / f"{name}.bio", count, seed)
    file = texts / "tagged.toml"
    file.write_text(tagged_text(texts), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def tagger(tagged_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained tagger."""
    folder = tmp_path_factory.mktemp("tagger")
    assert sightline("train", tagged_file, "--run", folder / "run") == 0
    return folder / "run"


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


def question_text(texts: Path) -> str:
    files = {name: f'{{ source = "{texts}/{name}.squad.json" }}' for name in SPLITS}
    return f"""
task = "question_answering"
[data]
train = [{files["train"]}]
validation = {files["val"]}
test.test = {files["test"]}
max_tokens = 24
step = 6
unanswerable = true
[tokenizer]
vocab_size = 100
min_frequency = 1
[model]
d_model = 32
num_layers = 2
num_heads = 2
d_ff = 64
max_length = 40
dropout = 0.0
attention_dropout = 0.0
[training]
max_updates = 800
learning_rate = 0.002
tokens_per_batch = 512
warmup = 50
validate_every = 200
save_every = 20
metric = "f1"
precision = "fp32"
threads = 1
"""


@pytest.fixture(scope="session")
def question_file(texts: Path) -> Path:
    """A configuration of an answerer of questions."""
    for seed, (name, count) in enumerate((("train", 1500), ("val", 60), ("test", 60))):
        write_questions(texts / f"{name}.squad.json", count, seed)
    file = texts / "questions.toml"
    file.write_text(question_text(texts), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def answerer(question_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained answerer of questions."""
    folder = tmp_path_factory.mktemp("answerer")
    assert sightline("train", question_file, "--run", folder / "run") == 0
    return folder / "run"


def write_images(path: Path, count: int, seed: int) -> None:
    """Noise with a bright square; the class is the quarter that it lies in."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 60, (count, 12, 12), dtype=np.uint8)
    labels = draw.integers(0, 4, count)
    for image, label in zip(images, labels, strict=True):
        down, right = (6 * half + draw.integers(0, 4) for half in divmod(int(label), 2))
        image[down : down + 3, right : right + 3] = 255
    np.savez(path, images=images, labels=labels)


def image_text(texts: Path) -> str:
    files = {name: f'{{ source = "{texts}/{name}.npz" }}' for name in SPLITS}
    return f"""
task = "image_classification"
[data]
train = [{files["train"]}]
validation = {files["val"]}
test.test = {files["test"]}
[augmentation]
erase = 0.1
[model]
image_size = 12
channels = 1
patch_size = 3
d_model = 16
num_layers = 2
num_heads = 2
d_ff = 32
[training]
max_updates = 450
learning_rate = 0.01
tokens_per_batch = 512
warmup = 20
validate_every = 150
save_every = 20
metric = "accuracy"
precision = "fp32"
threads = 1
"""


@pytest.fixture(scope="session")
def image_file(texts: Path) -> Path:
    """A configuration of a classifier of images."""
    for seed, (name, count) in enumerate((("train", 400), ("val", 60), ("test", 60))):
        write_images(texts / f"{name}.npz", count, seed)
    file = texts / "images.toml"
    file.write_text(image_text(texts), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def vit(image_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained classifier of images."""
    folder = tmp_path_factory.mktemp("vit")
    assert sightline("train", image_file, "--run", folder / "run") == 0
    return folder / "run"


@pytest.fixture(scope="session")
def bert(masked_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained run of BERT."""
    folder = tmp_path_factory.mktemp("bert")
    assert sightline("train", masked_file, "--run", folder / "run") == 0
    return folder / "run"


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


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    import os

    os.environ["SIGHTLINE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def runs(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One trained run of each kind of model."""
    folder = tmp_path_factory.mktemp("runs")
    for name, overrides in MODELS.items():
        assert sightline("train", config_file, "--run", folder / name, *overrides) == 0
    return {name: folder / name for name in MODELS}


@pytest.fixture(scope="session")
def language_runs(language_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One trained run of each kind of language model."""
    folder = tmp_path_factory.mktemp("language-runs")
    for name, overrides in LANGUAGE_MODELS.items():
        assert sightline("train", language_file, "--run", folder / name, *overrides) == 0
    return {name: folder / name for name in LANGUAGE_MODELS}


def labelled_text(texts: Path, form: str) -> str:
    columns, label, _ = FORMS[form]
    files = {name: f'{{ source = "{texts}/{name}.tsv", texts = {columns}, label = "{label}" }}' for name in SPLITS}
    return f"""
task = "classification"
[data]
train = [{files["train"]}]
validation = {files["val"]}
test.test = {files["test"]}
form = "{form}"
max_tokens = 32
[tokenizer]
kind = "word"
min_frequency = 1
[model]
d_model = 16
num_layers = 1
num_heads = 2
d_ff = 32
max_length = 40
dropout = 0.0
attention_dropout = 0.0
[training]
max_updates = 250
learning_rate = 0.01
tokens_per_batch = 512
warmup = 20
validate_every = 50
save_every = 20
metric = "accuracy"
precision = "fp32"
threads = 1
"""


@pytest.fixture(scope="session")
def labelled_files(texts: Path) -> dict[str, Path]:
    """A configuration of each form of fine-tuning."""
    for seed, (name, count) in enumerate((("train", 600), ("val", 100), ("test", 100))):
        write_labelled(texts / f"{name}.tsv", count, seed)
    for form in FORMS:
        (texts / f"{form}.toml").write_text(labelled_text(texts, form), encoding="utf-8")
    return {form: texts / f"{form}.toml" for form in FORMS}


@pytest.fixture(scope="session")
def classifiers(labelled_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One trained run of each form of fine-tuning."""
    folder = tmp_path_factory.mktemp("classifiers")
    for form, (_, _, keys) in FORMS.items():
        assert sightline("train", labelled_files[form], "--run", folder / form, *keys) == 0
    return {form: folder / form for form in FORMS}


@pytest.fixture(scope="session")
def kinds(runs, language_runs, bert, classifiers, tagger, answerer, vit) -> dict[str, Path]:
    """A run of every kind of model."""
    return {**runs, **language_runs, "bert": bert, "classifier": classifiers["pair"], "tagger": tagger,
            "answerer": answerer, "vit": vit}  # fmt: skip


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are saved."""
    from matplotlib.figure import Figure

    figures: list[Any] = []
    plain = Figure.savefig

    def savefig(self: Any, *arguments: Any, **named: Any) -> None:
        figures.append(self)
        plain(self, *arguments, **named)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures
