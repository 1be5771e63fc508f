"""Random BERTs of the transformers library, saved as its users save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
)

SHAPE: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 24,
}  # fmt: skip


PIECES = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "red", "dog", "##s", "house", "cafe", ",",
          "중", "국", "l", "##on", "##g", "재", "##미"]  # fmt: skip


def theirs(kind: Any, folder: Path, extra: int = 0, **more: Any) -> Any:
    """A random model of theirs, saved with the older vocab.txt; `extra` rows more than that has pieces."""
    torch.manual_seed(2)
    model = kind(BertConfig(vocab_size=len(PIECES) + extra, **SHAPE, **more)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    return model
