"""Random GPT-2s of the transformers library with tokenizers as people train them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel

END = "<|endoftext|>"
# The class of theirs that takes a tokenizer.json whole.
GENERIC = {"tokenizer_class": "PreTrainedTokenizerFast"}
TEXT = [
    "The model reads a text and writes what follows, 1999 times.",
    "모델은 글을 읽고 이어서 씁니다",
    "日本語、中文 naïve Café ÜBER Straße",
    "  two  spaces\n\tand a tab 42!",
]


def byte_level(specials: list[str], vocab_size: int = 320) -> Backend:
    """A byte-level tokenizer as people train one; its special tokens have the first ids."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXT, trainer)
    return backend


def gpt2(folder: Path, backend: Backend, notes: dict[str, Any], extra: int = 0) -> GPT2LMHeadModel:
    """A random GPT-2 of theirs with this tokenizer; `extra` rows more than that has tokens."""
    torch.manual_seed(1)
    rows = backend.get_vocab_size() + extra
    config = GPT2Config(vocab_size=rows, n_embd=16, n_layer=1, n_head=2, n_positions=128)
    model = GPT2LMHeadModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(notes))
    return model
