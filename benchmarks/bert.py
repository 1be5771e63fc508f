"""Pretraining speed of one BERT, ours against Hugging Face's Trainer: same sizes, text and batches, by turns.

    python benchmarks/bert.py
    python benchmarks/bert.py --contenders sightline-bf16,trainer-autocast --json

Both learn masked words and next sentences in the English Bible (4 layers of width 256, learned positions, 8,000
word pieces, 4,096 tokens a batch), from the same weights. Ours masks as it goes; the Trainer is handed batches that are
masked already, from memory. "autocast" is the Trainer's bf16 = True; "bf16" has bf16 weights; a contender ending in
"-allocator" runs with glibc told to keep big blocks, which Sightline does by itself. Needs transformers and accelerate.

The figure is tokens (padding not counted) a second, without the first updates; medians over the repeats. The text is
read from the folder that SIGHTLINE_DATA names, or fetched.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
import turns

WARM_UP = 5
LEARNING_RATE = 5e-4
VERSES = {"documents": "group", "sentences": "line"}
SETTINGS = {
    "task": "masked_language",
    "data": {
        "train": [{"source": "ko-en-bible:train.en.gz", "groups": "ko-en-bible:train.ref", **VERSES}],
        "validation": [{"source": "ko-en-bible:dev.en", "groups": "ko-en-bible:dev.ref", **VERSES}],
        "max_tokens": 128,
    },
    "tokenizer": {"kind": "wordpiece", "vocab_size": 8000, "lowercase": True},
    "model": {
        "d_model": 256,
        "num_layers": 4,
        "num_heads": 4,
        "d_ff": 1024,
        "max_length": 128,
        "dropout": 0.1,
        "attention_dropout": 0.0,
    },
    "training": {"tokens_per_batch": 4096},
}


def task() -> Any:
    """The pretraining task, its tokenizer learned anew, the same each time."""
    from sightline.tasks.masked_language.settings import MaskedLanguageSettings
    from sightline.tasks.masked_language.task import MaskedLanguageTask, make_model, train_tokenizers

    settings = MaskedLanguageSettings.model_validate(SETTINGS)
    tokenizers = train_tokenizers(settings, lambda line: None)
    return MaskedLanguageTask(settings, tokenizers, make_model(settings, tokenizers))


def batches(made: Any, count: int) -> Iterator[Any]:
    from sightline.data.batches import DataPosition

    return (batch for _, batch in islice(made.batches(DataPosition(1)), count))


def sightline(precision: str, updates: int, threads: int) -> dict[str, float]:
    from sightline.nn.ops import to_precision
    from sightline.train.machine import setup
    from sightline.train.optim import MasterOptimizer
    from sightline.train.workers import Workers

    setup(threads)
    made = task()
    to_precision(made.model, {"bf16": torch.bfloat16, "fp32": torch.float32}[precision])
    optimizer = MasterOptimizer(made.model, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    generator, losses, tokens, start = torch.Generator().manual_seed(1), [], 0, 0.0
    with Workers(made, threads) as workers:
        for number, batch in enumerate(batches(made, updates + WARM_UP)):
            if number == WARM_UP:
                start = time.perf_counter()
            pieces = workers.gradients(batch, generator, optimizer.collect_gradients)
            count = sum(count for _, count, _ in pieces)
            optimizer.scale_and_clip(1.0 / count, 1.0)
            optimizer.step(LEARNING_RATE)
            losses.append(float(sum(loss for loss, _, _ in pieces)) / count)
            tokens += int(batch.real_BT.sum()) * (number >= WARM_UP)
    return {"tokens_per_second": tokens / (time.perf_counter() - start), "loss": statistics.fmean(losses[-10:])}


def trainer(precision: str, updates: int, threads: int) -> dict[str, float]:
    from transformers import BertForPreTraining, Trainer, TrainerCallback, TrainingArguments

    from sightline.interop.bert import write_bert
    from sightline.interop.bert_tokenizer import tokenizer_files
    from sightline.tasks.exchange import ExchangedModel

    torch.set_num_threads(threads)
    made = task()
    # written out, special tokens have BERT's ids
    their_id = torch.tensor(tokenizer_files(made.tokenizers["text"], made.settings.model.max_length).order).argsort()
    drawn, tokens = [], []
    for batch in batches(made, updates + WARM_UP):
        drawn.append({
            "input_ids": their_id[batch.tokens_BT], "attention_mask": batch.real_BT.long(),
            "token_type_ids": batch.segment_BT,
            "labels": their_id[batch.targets_BT].masked_fill(~batch.chosen_BT, -100),
            # theirs: 0 follows, 1 does not; a text alone is not asked about
            "next_sentence_label": batch.kind_B.masked_fill(batch.kind_B < 0, -100),
        })  # fmt: skip
        tokens.append(int(batch.real_BT.sum()))
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        weights = dict(made.model.named_parameters())
        write_bert(folder, ExchangedModel("masked_tokens", made.settings.model, weights, made.tokenizers["text"]))
        model = BertForPreTraining.from_pretrained(folder)
    if precision == "bf16":
        model = model.bfloat16()
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=len(drawn), per_device_train_batch_size=1, use_cpu=True,
            bf16=precision == "autocast", learning_rate=LEARNING_RATE, weight_decay=0.01, max_grad_norm=1.0,
            lr_scheduler_type="constant", save_strategy="no", logging_steps=5, report_to=[], disable_tqdm=True,
            remove_unused_columns=False, dataloader_pin_memory=False,
        )  # fmt: skip
        told = Trainer(
            model=model, args=arguments, train_dataset=drawn,  # pyright: ignore
            data_collator=lambda one: one[0], callbacks=[Clock()],
        )  # fmt: skip
        told.train()
    speed = sum(tokens[WARM_UP:]) / (times[-1] - times[WARM_UP - 1])
    losses = [one["loss"] for one in told.state.log_history if "loss" in one]
    return {"tokens_per_second": speed, "loss": statistics.fmean(losses[-2:])}


CONTENDERS = {
    "sightline-bf16": (sightline, "bf16"),
    "sightline-fp32": (sightline, "fp32"),
    "trainer-fp32": (trainer, "fp32"),
    "trainer-autocast": (trainer, "autocast"),
    "trainer-bf16": (trainer, "bf16"),
}


def main() -> None:
    options = turns.arguments(__doc__, updates=30).parse_args()
    if options.one:
        function, precision = CONTENDERS[options.one.removesuffix(turns.ALLOCATOR)]
        print(json.dumps(function(precision, options.updates, options.threads)))
        return
    peers = [name for name in CONTENDERS if not name.startswith("sightline")]
    names = turns.chosen(options, [*CONTENDERS, *(name + turns.ALLOCATOR for name in peers)])
    turns.report(turns.run(__file__, names, options), options)


if __name__ == "__main__":
    main()
