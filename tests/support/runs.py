"""Tiny runs of every kind, each trained once a suite through the command line, whichever worker asks first.

They are shared: a test that changes a run, or writes among the texts, copies them first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock, Timeout

import sightline as package
from sightline.data.documents import TextSource
from sightline.data.pairs import PairSource
from support import configs, data
from support.commands import sightline
from support.configs import FORMS, LANGUAGE_MODELS, MODELS

OLD_RUNS = Path(__file__).parents[1] / "old_runs"
# How many records each split has, by the ending of its files, and what writes them.
COUNTS: dict[str, tuple[tuple[int, int, int], Callable[[Path, int, int], None]]] = {
    "stories": ((600, 150, 60), data.write_stories),
    "bio": ((200, 40, 40), data.write_tagged),
    "squad.json": ((1500, 60, 60), data.write_questions),
    "npz": ((400, 60, 60), data.write_images),
    "tsv": ((600, 100, 100), data.write_labelled),
}
# The file of each configuration, and what is in it.
CONFIGURATIONS: dict[str, Callable[[Path], str]] = {
    "tiny": configs.config_text,
    "language": configs.language_text,
    "masked": configs.masked_text,
    "tagged": configs.tagged_text,
    "questions": configs.question_text,
    "images": configs.image_text,
    **{form: lambda texts, form=form: configs.labelled_text(texts, form) for form in FORMS},
}
# The configuration and the keys of each run.
RUNS: dict[str, tuple[str, list[str]]] = {
    # the slowest first, so that two workers do not wait for one of them at the end
    "answerer": ("questions", []),
    "bert": ("masked", []),
    "vit": ("images", []),
    "tagger": ("tagged", []),
    **{form: (form, keys) for form, (_, _, keys) in FORMS.items()},
    **{name: ("language", keys) for name, keys in LANGUAGE_MODELS.items()},
    **{name: ("tiny", keys) for name, keys in MODELS.items()},
}


def make_once(makers: Mapping[Path, Callable[[Path], object]]) -> None:
    """Makes each folder unless a worker of this suite has; what another is making is waited for last."""
    for blocking in (False, True):
        for folder, make in makers.items():
            made = folder.with_name(f"{folder.name}.made")
            try:
                with FileLock(f"{folder}.lock", blocking=blocking):
                    if not made.exists():
                        shutil.rmtree(folder, ignore_errors=True)
                        make(folder)
                        made.touch()
            except Timeout:
                continue


def write_texts(folder: Path) -> None:
    folder.mkdir()
    for seed, (name, count) in enumerate(zip(data.SPLITS, (300, 20, 20), strict=True)):
        data.write_pairs(folder, name, count, seed)
    for ending, (counts, write) in COUNTS.items():
        for seed, (name, count) in enumerate(zip(data.SPLITS, counts, strict=True)):
            write(folder / f"{name}.{ending}", count, seed)
    for name, text in CONFIGURATIONS.items():
        (folder / f"{name}.toml").write_text(text(folder), encoding="utf-8")


class Trained:
    """The trained runs of a suite, by name; made when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.texts = folder / "texts"
        make_once({self.texts: write_texts})

    def __call__(self, names: Iterable[str]) -> dict[str, Path]:
        """Name → run directory."""
        names = list(names)
        make_once({self.folder / name: self._train for name in RUNS if name in names})
        return {name: self.folder / name for name in names}

    def _train(self, run: Path) -> None:
        configuration, keys = RUNS[run.name]
        assert sightline("train", self.texts / f"{configuration}.toml", "--run", run, *keys) == 0


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    own = tmp_path_factory.getbasetemp()
    # workers of pytest-xdist have folders of their own inside the suite's
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "trained"
    folder.mkdir(exist_ok=True)
    return Trained(folder)


@pytest.fixture(scope="session")
def texts(trained: Trained) -> Path:
    """A folder with the files and configurations of every task; train, val and test (.de, .en) are a language that is
    translated word by word."""
    return trained.texts


@pytest.fixture(scope="session")
def config_file(texts: Path) -> Path:
    """A configuration of a translation."""
    return texts / "tiny.toml"


@pytest.fixture(scope="session")
def language_file(texts: Path) -> Path:
    """A configuration of a language model."""
    return texts / "language.toml"


@pytest.fixture(scope="session")
def masked_file(texts: Path) -> Path:
    """A configuration of BERT on stories: each has a word of its own, which all its sentences begin and end with."""
    return texts / "masked.toml"


@pytest.fixture(scope="session")
def tagged_file(texts: Path) -> Path:
    """A configuration of a tagger."""
    return texts / "tagged.toml"


@pytest.fixture(scope="session")
def question_file(texts: Path) -> Path:
    """A configuration of an answerer of questions."""
    return texts / "questions.toml"


@pytest.fixture(scope="session")
def image_file(texts: Path) -> Path:
    """A configuration of a classifier of images."""
    return texts / "images.toml"


@pytest.fixture(scope="session")
def labelled_files(texts: Path) -> dict[str, Path]:
    """A configuration of each form of fine-tuning."""
    return {form: texts / f"{form}.toml" for form in FORMS}


@pytest.fixture(scope="session")
def runs(trained: Trained) -> dict[str, Path]:
    """One trained translation of each kind of model."""
    return trained(MODELS)


@pytest.fixture(scope="session")
def language_runs(trained: Trained) -> dict[str, Path]:
    """One trained run of each kind of language model."""
    return trained(LANGUAGE_MODELS)


@pytest.fixture(scope="session")
def classifiers(trained: Trained) -> dict[str, Path]:
    """One trained run of each form of fine-tuning."""
    return trained(FORMS)


@pytest.fixture(scope="session")
def bert(trained: Trained) -> Path:
    """A pretrained run of BERT."""
    return trained(["bert"])["bert"]


@pytest.fixture(scope="session")
def tagger(trained: Trained) -> Path:
    """A trained tagger."""
    return trained(["tagger"])["tagger"]


@pytest.fixture(scope="session")
def answerer(trained: Trained) -> Path:
    """A trained answerer of questions."""
    return trained(["answerer"])["answerer"]


@pytest.fixture(scope="session")
def vit(trained: Trained) -> Path:
    """A trained classifier of images."""
    return trained(["vit"])["vit"]


@pytest.fixture(scope="session")
def kinds(trained: Trained) -> dict[str, Path]:
    """A run of every kind of model."""
    found = trained(["answerer", "bert", "vit", "tagger", "pair", *LANGUAGE_MODELS, *MODELS])
    return {**{name: found[name] for name in (*MODELS, *LANGUAGE_MODELS, "bert")}, "classifier": found["pair"],
            **{name: found[name] for name in ("tagger", "answerer", "vit")}}  # fmt: skip


@pytest.fixture
def old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A finished run of tests/old_runs by its name, copied with its data and configuration into the working directory,
    which is the test's own: nothing needs to be trained for it."""
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "configs"):
        shutil.copytree(OLD_RUNS / folder, folder)

    def copy(name: str) -> Path:
        shutil.copytree(OLD_RUNS / "finished" / name, Path("finished") / name)
        return Path("finished") / name

    return copy


@pytest.fixture
def calibratable(old_run: Callable[[str], Path]) -> Callable[[str], Path]:
    """A run by its kind with validation data enough: of a translation 60 pairs, its own translations and every third
    one spoiled; of a language model 60 documents."""

    def made(kind: str) -> Path:
        path = old_run(kind)
        model: Any = package.load(path)
        draw = np.random.default_rng(0)
        if model.languages:
            words = ["늙은", "개가", "집도", "그린다", "간다", "본다"]
            sources = [" ".join(draw.choice(words, size=draw.integers(1, 6))) for _ in range(60)]
            told = [one.text for one in model.translate(sources, split=False)]
            targets = [text[::-1] + " zz" if number % 3 == 0 else text or "x" for number, text in enumerate(told)]
            files = {"held.ko": sources, "held.en": targets}
            held: Any = PairSource.from_arguments(source="held.ko", target="held.en")
        else:
            words = ["the", "old", "dog", "sees", "a", "house"]
            files = {"held.txt": [" ".join(draw.choice(words, size=24)) for _ in range(60)]}
            held = (TextSource(source="held.txt"),)
        for name, lines in files.items():
            Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        settings: Any = model.settings
        data = settings.data.model_copy(update={"validation": held})
        model.run.write_config(settings.model_copy(update={"data": data}), model.run.format)
        return path

    return made
