"""Tokenizers that would make gigabytes of a few letters are refused, by import and by every run that is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers

from sightline.data import tokenizer as ours
from sightline.errors import DataError

SPECIALS = {"<pad>": 0, "<s>": 1, "</s>": 2, "a": 3}


def of(**parts: Any) -> Tokenizer:
    backend = Tokenizer(models.WordLevel(SPECIALS, unk_token="a"))
    for name, part in parts.items():
        setattr(backend, name, part)
    return backend


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({"normalizer": normalizers.Sequence([normalizers.Replace("a", "a" * 8)] * 10)}, "normalizer"),
        ({"normalizer": normalizers.Replace(Regex("."), "a" * 100)}, "normalizer"),
        ({"normalizer": normalizers.Prepend("a" * 100_000)}, "normalizer"),
        (
            {"normalizer": normalizers.Sequence([normalizers.Sequence([normalizers.Replace("a", "aaaaaaaaa")] * 2)])},
            "normalizer",
        ),
        ({"decoder": decoders.Sequence([decoders.Replace("a", "a" * 8)] * 10)}, "decoder"),
    ],
)
def test_a_tokenizer_that_multiplies_letters_is_refused(parts: dict[str, Any], name: str, tmp_path: Path) -> None:
    of(**parts).save(str(tmp_path / "text.json"))
    with pytest.raises(DataError, match=f"text.json: its {name} makes text over 64 times as long"):
        ours.Tokenizer.load(tmp_path / "text.json")


@pytest.mark.parametrize(
    "normalizer",
    [
        normalizers.NFKC(),
        normalizers.Sequence(
            [normalizers.Replace("``", '"'), normalizers.Replace("\u2026", "..."), normalizers.NFKD()]
        ),
        normalizers.Sequence([normalizers.Replace(Regex(" {2,}"), " "), normalizers.Prepend("\u2581")]),
        normalizers.Replace("<" * 200, "a" * 200),
    ],
)
def test_a_tokenizer_that_spells_otherwise_is_taken(normalizer: Any, tmp_path: Path) -> None:
    of(normalizer=normalizer).save(str(tmp_path / "text.json"))
    assert ours.Tokenizer.load(tmp_path / "text.json").vocab_size == 4
    assert json.loads((tmp_path / "text.json").read_text())["normalizer"]
