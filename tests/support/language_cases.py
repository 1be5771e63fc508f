"""Small language models of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sightline.models import (
    GPTSizes,
    NGram,
    NGramSizes,
    RecurrentSizes,
    WindowSizes,
    make_language_model,
)
from support.model_cases import one_thread as one_thread

VOCAB = 12


GPT_SIZES = {"d_model": 16, "num_layers": 2, "num_heads": 4, "d_ff": 24, "max_length": 20}


RECURRENT_SIZES = {"width": 10, "embedding_width": 8, "num_layers": 2}


SIZES: dict[str, Any] = {
    "gpt-2": GPTSizes(**GPT_SIZES),  # pyright: ignore
    "gpt-1": GPTSizes(**GPT_SIZES, pre_norm=False, activation="gelu", tied=False),  # pyright: ignore
    "gpt-rotary": GPTSizes(**GPT_SIZES, positions="rotary", norm="rms", activation="swiglu", num_kv_heads=2),  # pyright: ignore
    "gpt-waves": GPTSizes(**GPT_SIZES, positions="triangle", num_kv_heads=1),  # pyright: ignore
    "gpt-nowhere": GPTSizes(**GPT_SIZES, positions="none", norm="batch"),  # pyright: ignore
    **{
        f"recurrent-{cell}-{function}": RecurrentSizes(cell=cell, nonlinearity=function, tied=tied, **RECURRENT_SIZES)  # pyright: ignore
        for cell, function, tied in (
            ("rnn", "tanh", True), ("rnn", "relu", False), ("rnn", "sigmoid", True), ("gru", "tanh", False),
            ("lstm", "tanh", True),
        )
    },
    "window-1": WindowSizes(window=1, embedding_width=6, width=9, tied=False),  # pyright: ignore
    "window-4": WindowSizes(window=4, embedding_width=6, width=9),  # pyright: ignore
    "ngram-1": NGramSizes(order=1, smoothing="add_k", k=1.0),
    "ngram-4": NGramSizes(order=4, smoothing="kneser_ney", k=1.0),
}  # fmt: skip


def make(name: str) -> Any:
    """A model with weights so large that every input tells, or counts of random text."""
    sizes = SIZES[name]
    if sizes.kind == "ngram":
        random = np.random.default_rng(0)
        lengths = random.integers(1, 12, 60)
        tokens = random.integers(3, VOCAB, lengths.sum())
        return NGram.count(tokens, np.concatenate([[0], np.cumsum(lengths)]), VOCAB, sizes)
    torch.manual_seed(0)
    model = make_language_model(VOCAB, sizes)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model
