"""A run whose weights hold nan ends in one line, whoever asks it for anything; no nan is told as a figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import sightline as package
from sightline.errors import CheckpointError, SightlineError
from sightline.train.run_directory import Run
from support.commands import sightline

VERBS = {
    "transformer": ("translate", "--text", "나는"),
    "gru": ("score", "--text", "나는", "--translation", "I", "--json"),
    "gpt": ("generate", "--prompt", "The", "--json"),
    "recurrent": ("score", "--text", "The dog", "--json"),
    "window": ("generate", "--prompt", "The"),
    "ngram": ("score", "--text", "The dog", "--json"),
    "bert": ("fill", "The [MASK]"),
    "bert-classifier": ("classify", "--text", "dog", "--text", "cat"),
    "tagger": ("tag", "--text", "dog"),
    "answerer": ("answer", "--context", "A dog.", "--question", "Which?"),
}


def spoil(path: Path, value: float) -> None:
    """One number of the run's weights becomes `value`, and the manifest proves it."""
    run = Run(path)
    tensors = {name: tensor.clone() for name, tensor in run.read_weights().items()}
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel() > 1)
    tensors[name].flatten()[0] = value
    run.save_weights(tensors)


@pytest.mark.parametrize("kind", VERBS)
def test_weights_that_hold_nan(kind: str, old_run: Callable[[str], Path], capsys) -> None:
    run = old_run(kind)
    spoil(run, float("nan"))
    verb, *words = VERBS[kind]
    assert sightline(verb, run, *words) == 1
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert "nan" in line
    assert "train" in line
    assert "unexpected" not in line
    with pytest.raises(CheckpointError, match="nan"):
        package.load(run)


def test_weights_that_hold_infinity(old_run: Callable[[str], Path], capsys) -> None:
    run = old_run("gpt")
    spoil(run, float("inf"))
    assert sightline("score", run, "--text", "The dog") == 1
    assert "model.safetensors: " in capsys.readouterr().err


def test_what_becomes_nan_while_it_is_computed(old_run: Callable[[str], Path]) -> None:
    """Finite weights may overflow, most of all in bf16."""
    text, pairs = package.load(old_run("recurrent")), package.load(old_run("gru"))
    for model in (text.model, pairs.model):
        for parameter in model.parameters():
            torch.nn.init.constant_(parameter, torch.nan)
    writer: Any = text
    translator: Any = pairs
    for attempt in (
        lambda: writer.generate("The", max_tokens=3),
        lambda: writer.generate("The", max_tokens=3, temperature=0.0),
        lambda: writer.generate("The", max_tokens=3, beam=2),
        lambda: list(writer.stream("The", max_tokens=3)),
        lambda: writer.score("The dog"),
        lambda: translator.translate("나는"),
        lambda: translator.score(["나는"], ["I"]),
    ):
        with pytest.raises(SightlineError, match=r"not a number \(nan\)"):
            attempt()
