"""Who takes part in `train.py`: each makes a model and returns a function that does one update and tells the loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

VOCAB, WIDTH, LAYERS, HEADS, INNER, DROPOUT, SMOOTHING, TOKENS = 8000, 256, 3, 4, 1024, 0.1, 0.1, 4096
LEARNING_RATE = 5e-4
Batch = Any
Step = Callable[[Batch], float]


def sightline(precision: str) -> Callable[[int], Step]:
    def make(threads: int) -> Step:
        from sightline.models import Transformer, TransformerSizes
        from sightline.nn.context import PassContext
        from sightline.train.machine import setup
        from sightline.train.optim import MasterOptimizer
        from sightline.train.workers import Workers

        class Task:
            """The translation task without its files."""

            def __init__(self, model: Any) -> None:
                self.model = model

            def replica(self, model: Any) -> Task:
                return Task(model)

            def split(self, batch: Batch, parts: int) -> list[Batch]:
                return batch.split(parts)

            def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, int, dict[str, float]]:
                loss, _ = self.model(
                    batch.source_BS, batch.source_mask_BS, batch.target_in_BT, batch.target_out_BT,
                    batch.target_mask_BT, label_smoothing=SMOOTHING, ctx=PassContext(generator=generator),
                )  # fmt: skip
                return loss, batch.num_target_tokens, {}

        setup(threads)
        torch.manual_seed(1)
        sizes = TransformerSizes(d_model=WIDTH, num_layers=LAYERS, num_heads=HEADS, d_ff=INNER, dropout=DROPOUT)
        model = Transformer(VOCAB, VOCAB, sizes).to({"bf16": torch.bfloat16, "fp32": torch.float32}[precision])
        optimizer = MasterOptimizer(model, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.0)
        workers = Workers(Task(model), threads).__enter__()
        generator = torch.Generator().manual_seed(1)

        def step(batch: Batch) -> float:
            pieces = workers.gradients(batch, generator, optimizer.collect_gradients)
            optimizer.scale_and_clip(1.0 / batch.num_target_tokens, 1.0)
            optimizer.step(LEARNING_RATE)
            return float(sum(loss for loss, _, _ in pieces))

        return step

    return make


def _plain_loop(model: nn.Module, loss_of: Callable[[Batch], torch.Tensor]) -> Step:
    """What a careful user writes: AdamW, gradients clipped, one update a batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.0)
    model.train()

    def step(batch: Batch) -> float:
        optimizer.zero_grad()
        loss = loss_of(batch)
        (loss / batch.num_target_tokens).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


class _Positions(nn.Module):
    def __init__(self, length: int = 512) -> None:
        super().__init__()
        phase = torch.arange(length)[:, None] * torch.exp(torch.arange(0, WIDTH, 2) * (-math.log(1e4) / WIDTH))
        self.register_buffer("table", torch.stack([phase.sin(), phase.cos()], -1).flatten(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.table[: x.shape[1]].to(x.dtype)


def torch_transformer(autocast: bool) -> Callable[[int], Step]:
    def make(threads: int) -> Step:
        torch.manual_seed(1)
        core = nn.Transformer(WIDTH, HEADS, LAYERS, LAYERS, INNER, DROPOUT, batch_first=True)
        embedding = nn.Embedding(VOCAB, WIDTH)
        nn.init.normal_(embedding.weight, std=WIDTH**-0.5)
        output, positions, drop = nn.Linear(WIDTH, VOCAB), _Positions(), nn.Dropout(DROPOUT)
        output.weight = embedding.weight
        whole = nn.ModuleList([core, embedding, output, drop])
        criterion = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=SMOOTHING, reduction="sum")

        def loss_of(batch: Batch) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                source = drop(positions(embedding(batch.source_BS) * math.sqrt(WIDTH)))
                target = drop(positions(embedding(batch.target_in_BT) * math.sqrt(WIDTH)))
                padding = ~batch.source_mask_BS
                causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1]).isinf()
                hidden = core(
                    source, target, tgt_mask=causal, src_key_padding_mask=padding, memory_key_padding_mask=padding,
                    tgt_is_causal=True,
                )  # fmt: skip
                logits = output(hidden)
            return criterion(logits.float().flatten(0, 1), batch.target_out_BT.flatten())

        return _plain_loop(whole, loss_of)

    return make


def marian(precision: str) -> Callable[[int], Step]:
    def make(threads: int) -> Step:
        from transformers import MarianConfig, MarianMTModel

        torch.manual_seed(1)
        config = MarianConfig(
            vocab_size=VOCAB, d_model=WIDTH, encoder_layers=LAYERS, decoder_layers=LAYERS,
            encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=INNER, decoder_ffn_dim=INNER,
            dropout=DROPOUT, activation_function="relu", scale_embedding=True, max_position_embeddings=512,
            pad_token_id=0, decoder_start_token_id=1, eos_token_id=2, forced_eos_token_id=None,
        )  # fmt: skip
        model = MarianMTModel(config)
        if precision == "bf16":
            model = model.bfloat16()
        criterion = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=SMOOTHING, reduction="sum")

        def loss_of(batch: Batch) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
                logits = model(
                    input_ids=batch.source_BS, attention_mask=batch.source_mask_BS.long(),
                    decoder_input_ids=batch.target_in_BT, use_cache=False,
                ).logits  # fmt: skip
            return criterion(logits.float().flatten(0, 1), batch.target_out_BT.flatten())

        return _plain_loop(model, loss_of)

    return make


CONTENDERS: dict[str, Callable[[int], Step]] = {
    "sightline-bf16": sightline("bf16"),
    "sightline-fp32": sightline("fp32"),
    "marian-fp32": marian("fp32"),
    "marian-bf16": marian("bf16"),
    "marian-autocast": marian("autocast"),
    "torch-transformer-fp32": torch_transformer(False),
    "torch-transformer-autocast": torch_transformer(True),
}
