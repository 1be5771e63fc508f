"""What `export` says: which formats there are, which models they hold, and which ids special tokens have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

import sightline as package
from sightline.data.tokenizer import Tokenizer
from sightline.interop.bert_tokenizer import tokenizer_files
from sightline.interop.gpt2 import write_gpt2
from sightline.models import GPT, GPTSizes
from sightline.tasks.exchange import ExchangedModel
from support.commands import sightline

TEXT = ["the model reads a text and writes what follows", "모델은 글을 읽고 이어서 씁니다", "UPPER and lower 42!"] * 4
KINDS: tuple[dict[str, Any], ...] = (
    {"kind": "bpe", "vocab_size": 320, "lowercase": True},
    {"kind": "bpe", "vocab_size": 320, "jamo": True},
    {"kind": "byte"},
    {"kind": "wordpiece", "vocab_size": 80},
    {"kind": "word", "vocab_size": 40},
    {"kind": "space", "vocab_size": 40},
    {"kind": "char", "vocab_size": 60},
)


@pytest.mark.parametrize("to", [(), ("--to", "marian"), ("--to", "gpt2")])
def test_a_translation_is_told_what_can_be_written(to: tuple[str, ...], tmp_path: Path, capsys) -> None:
    (tmp_path / "config.toml").write_text('task = "translation"\nmodel = { kind = "transformer" }\n')
    assert sightline("export", tmp_path, tmp_path / "out", *to) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "did you mean" not in line
    assert "formats are gpt2 (gpt models of task language), arpa (ngram models of task language), bert (bert" in line
    assert ('no format "marian"' in line) == ("marian" in to)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_a_gpt_of_any_tokenizer_with_a_table_of_pieces(kind: dict[str, Any], tmp_path: Path) -> None:
    """It is exported with its tokenizer, whatever that does to texts, and comes back the same."""
    tokenizer = Tokenizer.train(TEXT, min_frequency=1, **kind)
    torch.manual_seed(0)
    model = GPT(tokenizer.vocab_size, GPTSizes(d_model=16, num_layers=1, num_heads=2, d_ff=32, max_length=80))
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    said = write_gpt2(tmp_path / "out", ExchangedModel("next_token", model.sizes, weights, tokenizer))
    assert said.startswith(f"ids: <|endoftext|> {tokenizer.vocab_size - 3}; they are not the run's: ")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    network = GPT2LMHeadModel.from_pretrained(tmp_path / "out").eval()
    assert sightline("import", tmp_path / "out", "--run", tmp_path / "run") == 0
    back: Any = package.load(tmp_path / "run")
    for text in [*TEXT[:3], "Unseen WORDS, \ttoo 각 é"]:
        ids = tokenizer.encode(text)
        found = theirs.encode(text, add_special_tokens=False, split_special_tokens=True)
        # the end of texts is last, and padding and beginning are not there
        assert found == [i - 3 for i in ids]
        assert back.tokenizer.encode(text) == ids
        whole = torch.tensor([[theirs.eos_token_id, *found, theirs.eos_token_id]])
        with torch.inference_mode():
            logits = network(whole).logits[0, :-1].log_softmax(-1)
        expected = float(logits.gather(-1, whole[0, 1:, None]).sum())
        assert back.score(text).log_probability == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["wordpiece", "char", "bpe"])
def test_an_exported_bert_has_special_tokens_where_berts_have_them(kind: str) -> None:
    tokenizer = Tokenizer.train(TEXT, kind=kind, vocab_size=300, min_frequency=1)
    written = tokenizer_files(tokenizer, 32)
    values: Any = written.files["tokenizer.json"]
    vocab = json.loads(json.dumps(values))["model"]["vocab"]
    # bytes are never unknown, so there the others move up by one
    usual = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert sorted(vocab, key=vocab.__getitem__)[: len(usual)] == usual if kind != "bpe" else "[UNK]" not in vocab
    assert f"[MASK] {vocab['[MASK]']}" in written.said
    assert [written.order[i] for i in sorted(vocab.values())] == written.order
    assert written.order[vocab["[CLS]"]] == tokenizer.bos_id
    assert written.order[vocab["[MASK]"]] == tokenizer.vocab_size
