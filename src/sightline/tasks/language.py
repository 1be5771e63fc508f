"""Language modelling: a model of the next token, plain text, cross-entropy, perplexity and bits per byte."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from sightline.data.batches import DataPosition, iterate
from sightline.data.documents import EncodedText, TextSource, encode_text, read_pieces, split_documents
from sightline.data.progress import VOCABULARY, ProgressReporter
from sightline.data.tokenizer import Tokenizer
from sightline.data.windows import BlockOrder, StreamOrder, TextBatch, collate_windows, strided
from sightline.decode import SearchOptions
from sightline.errors import UsageError
from sightline.models import GPTSizes, LanguageModelSizes, NGram, make_language_model
from sightline.nn.forward import INFERENCE, Forward
from sightline.tasks.base import PlainTask
from sightline.tasks.metrics import exponential
from sightline.tasks.settings import Frozen, TokenizerSettings, check_metric
from sightline.train.settings import TrainSettings

SIDE = "text"  # the name of the one tokenizer
COUNTED = "ngram"  # the kind of model that is counted and not trained


# Kinds of tokenizers whose ids are in order of frequency.
BY_FREQUENCY = ("word", "space", "char")


class DataSettings(Frozen):
    """The text a model learns from and is measured on."""

    train: tuple[TextSource, ...] = Field(
        description='files of text; documents = line, block (up to a blank line), article (from one "= Title =" to the '
        "next), file or running; column of a TSV or JSON Lines file; part = [from, to] as fractions",
    )
    validation: tuple[TextSource, ...] = Field(description="text that chooses the best checkpoint")
    test: dict[str, TextSource] = Field(default={}, description="sets that `sightline evaluate` reports on, by name")
    keep_empty: bool = Field(False, description="count empty documents as text, as word-level corpora do")
    block: int = Field(
        256, ge=1, description="tokens read at once: the length of a GPT's blocks, or of truncated back-propagation"
    )
    running: bool = Field(False, description="of an imported model: it learned running text, and no documents")
    separate: bool = Field(False, description="GPT only: attention does not cross from one document to another")


class ValidationSettings(Frozen):
    """What is measured during training."""

    stride: int = Field(
        0, ge=0, description="GPT only: new tokens per block of validation, the rest being context; 0 is a whole block"
    )
    tokens: int = Field(0, ge=0, description="only the first so many tokens; 0 takes all")


class LanguageSettings(Frozen):
    """Everything a language model is made from."""

    task: Literal["language"] = Field("language", description="what the model learns")
    data: DataSettings
    tokenizer: TokenizerSettings = TokenizerSettings.model_validate({})
    model: LanguageModelSizes = Field(default_factory=lambda: GPTSizes.model_validate({}))
    training: TrainSettings = TrainSettings.model_validate({})
    validation: ValidationSettings = ValidationSettings.model_validate({})
    search: SearchOptions = Field(
        default_factory=lambda: SearchOptions.model_validate({"strategy": "sample"}),
        description="how `sightline generate` writes",
    )

    def given(self, source: str) -> TextSource:
        """A file that is only named, read as the training text was."""
        return (self.data.train or (TextSource(source=source),))[0].model_copy(
            update={"source": source, "part": (0.0, 1.0)}
        )

    @property
    def title(self) -> str:
        """What a run of it is called on its card."""
        return "Language model"

    @property
    def span(self) -> int:
        """The most tokens that attend to each other in training."""
        return self.data.block

    @property
    def has_documents(self) -> bool:
        """Whether the model learned where documents begin and end."""
        files = self.data.train
        return not self.data.running if not files else any(one.documents != "running" for one in files)

    @field_validator("model", mode="before")
    @classmethod
    def _gpt_unless_said(cls, model: Any) -> Any:
        return {"kind": "gpt", **model} if type(model) is dict else model

    @model_validator(mode="after")
    def _fits(self) -> LanguageSettings:
        longest = getattr(self.model, "max_length", None)
        if longest is not None and self.data.block > longest:
            raise ValueError(f"data.block {self.data.block} is more than model.max_length {longest}")
        if self.data.separate and longest is None:
            raise ValueError(f"data.separate is for attention; a {self.model.kind} model reads documents in a row")
        cutoffs = getattr(self.model, "cutoffs", ())
        if cutoffs and self.tokenizer.kind not in BY_FREQUENCY:
            raise ValueError(f"model.cutoffs need ids by frequency; tokenizer.kind is one of {', '.join(BY_FREQUENCY)}")
        if list(cutoffs) != sorted(set(cutoffs)) or (cutoffs and cutoffs[0] < 4):
            raise ValueError(f"model.cutoffs {list(cutoffs)} must rise, from 4 on")
        if self.validation.stride > self.data.block:
            raise ValueError(f"validation.stride {self.validation.stride} is more than data.block {self.data.block}")
        if self.validation.tokens == 1:
            raise ValueError("validation.tokens: nothing predicts the first token alone; set it to 2 or more, or to 0")
        check_metric(self.training, self.figures)
        return self

    @property
    def figures(self) -> tuple[str, ...]:
        """What is measured in validation."""
        return ("loss", "perplexity", "bits_per_byte", "bits_per_character")


def train_tokenizers(settings: LanguageSettings, report: Callable[[str], None]) -> dict[str, Tokenizer]:
    """The tokenizer, learned from the training text."""
    pieces = (text for files in settings.data.train for text, _ in read_pieces(files))
    pieces = ProgressReporter(report, VOCABULARY).over(pieces)
    return {SIDE: Tokenizer.train(pieces, **settings.tokenizer.model_dump())}


def count_model(
    settings: LanguageSettings,
    tokenizers: dict[str, Tokenizer],
    report: Callable[[str], None],
    cache_dir: Path | None = None,
) -> tuple[NGram, dict[str, float]]:
    """A model of the kind that is counted, and its figures on the validation text."""
    text = encode(settings, tokenizers[SIDE], settings.data.train, cache_dir, report)
    report(f"training text: {text.summary()}")
    model = NGram.count(*split_documents(text.stream), tokenizers[SIDE].vocab_size, settings.model)  # pyright: ignore
    report("n-grams: " + ", ".join(f"{count:,}" for count in model.ngram_counts))
    validation = encode(settings, tokenizers[SIDE], settings.data.validation, cache_dir)
    return model, figures(measure(model, validation.stream, settings), validation)


def make_model(settings: LanguageSettings, tokenizers: dict[str, Tokenizer]) -> nn.Module:
    """The model, its weights drawn from a generator seeded by the run's seed."""
    size, cutoffs = tokenizers[SIDE].vocab_size, getattr(settings.model, "cutoffs", ())
    if cutoffs and cutoffs[-1] >= size:
        raise UsageError(f"model.cutoffs: {cutoffs[-1]} lies beyond the vocabulary, which has {size:,} tokens")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.training.seed)
        return make_language_model(size, settings.model)


class LanguageTask(PlainTask):
    """Joins a model with a stream of tokens for the training loop.

    Models that carry a state read parallel streams from end to end, each batch going on from the states of the batch
    before it (truncated back-propagation through time); others read blocks in random order.
    """

    settings: LanguageSettings

    def prepare(self, report: Callable[[str], None], cache_dir: Path | None) -> None:
        settings = self.settings
        self._train = encode(settings, self.tokenizers[SIDE], settings.data.train, cache_dir, report)
        self._validation = encode(settings, self.tokenizers[SIDE], settings.data.validation, cache_dir)
        self._separator = Tokenizer.eos_id if settings.data.separate else None
        block, training = settings.data.block, settings.training
        self._carries = bool(self.model.carries_state)
        length, budget = len(self._train.stream), training.tokens_per_batch
        if self._carries:
            self._order = StreamOrder(length, max(1, budget // block), block, seed=training.seed)
        else:
            self._order = BlockOrder(length, block, budget, seed=training.seed)
        self._carried: list[Tensor] = []
        report(f"training text: {self._train.summary()}")
        report(f"validation text: {self._validation.summary()}")
        report(f"batches: {len(self._order.epoch(0)):,} per epoch of {budget // block} × {block} tokens")

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, TextBatch]]:
        """Batches from `position` on, for ever, each with the position after it."""
        for after, windows in iterate(self._order, position):
            fresh = not self._carries or position.batch == 0
            batch = collate_windows(self._train.stream, windows, fresh=fresh, separator=self._separator)
            if self._carries and fresh:
                start: Any = self.model
                self._carried[:] = start.start(len(windows)).tensors()
            yield after, batch.to(self.device)
            position = after

    def size(self, batch: TextBatch) -> int:
        """Tokens that are predicted."""
        return batch.num_tokens

    def loss(self, batch: TextBatch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """Cross-entropy summed over tokens (nats), and how many tokens those are."""
        model: Any = self.model
        state = model.start(len(batch.windows))
        forward = Forward(generator=generator)
        if not self._carries:
            documents = {} if batch.document_BT is None else {"document_BT": batch.document_BT}
            features, _ = model.decode(batch.tokens_BT, state, forward, **documents)
            return _loss_sum(model, features, batch), batch.num_tokens, {}
        state = state.with_tensors([part[batch.rows].clone() for part in self._carried])
        features, state = model.decode(batch.tokens_BT, state, forward)
        for part, last in zip(self._carried, state.tensors(), strict=True):
            part[batch.rows] = last.detach()
        return _loss_sum(model, features, batch), batch.num_tokens, {}

    def carried(self) -> dict[str, Tensor]:
        """The recurrent states after the latest batch, by number."""
        return {str(number): part for number, part in enumerate(self._carried)}

    def carry(self, tensors: dict[str, Tensor]) -> None:
        """Takes over what `carried` told."""
        self._carried[:] = [tensors[str(number)].to(self.device) for number in range(len(tensors))]

    def describe(self, batch: TextBatch) -> str:
        """Names a batch in an error message: where it lies and how it begins."""
        first = self.tokenizers[SIDE].decode(batch.tokens_BT[0, :20].tolist())
        return f"of tokens {batch.windows[0, 0]:,} to {batch.windows[0, 1]:,} and others, beginning {first[:80]!r}"

    def validate(self) -> dict[str, float]:
        """Every token's loss (nats a token), perplexity, bits per byte and per character."""
        text, limit = self._validation, self.settings.validation.tokens
        tokens = min(limit or len(text.stream), len(text.stream))
        return figures(measure(self.model, text.stream[:tokens], self.settings), text, tokens)


def encode(
    settings: LanguageSettings,
    tokenizer: Tokenizer,
    files: Sequence[TextSource],
    cache_dir: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> EncodedText:
    """The text of these files as the run reads it."""
    return encode_text(files, tokenizer, keep_empty=settings.data.keep_empty, cache_dir=cache_dir, report=report)


def _loss_sum(model: Any, features_BTD: Tensor, batch: TextBatch) -> Tensor:
    targets_BT, real = batch.targets_BT, batch.real_BT
    if batch.num_tokens == targets_BT.numel():  # most batches: choosing all rows would copy them
        features, targets = features_BTD.flatten(0, 1), targets_BT.flatten()
    else:
        features, targets = features_BTD[real], targets_BT[real]
    return model.loss(features, targets)


@torch.inference_mode()
def measure(model: Any, stream: np.ndarray, settings: LanguageSettings) -> float:
    """The sum of -ln p (nats) over the tokens of `stream` but the very first, which nothing predicts.

    Models that carry a state read it in up to 16 parts side by side; others in blocks, each of which may see what
    lies before its new tokens where `validation.stride` is less than a block.
    """
    if settings.model.kind == COUNTED:
        log_p = model.log_probabilities(*split_documents(stream))
        # running text has neither a predicted beginning nor an end
        return -float(log_p.sum() if settings.has_documents else log_p[1:-1].sum())
    block, budget, total = settings.data.block, settings.training.tokens_per_batch, 0.0
    if not model.carries_state:
        separator = Tokenizer.eos_id if settings.data.separate else None
        stride = settings.validation.stride or block
        for windows, first in strided(len(stream), block, stride, max(1, budget // block)):
            batch = collate_windows(stream, windows, first_scored=first, separator=separator).to(model.device)
            documents = {} if batch.document_BT is None else {"document_BT": batch.document_BT}
            features, _ = model.decode(batch.tokens_BT, model.start(len(windows)), INFERENCE, **documents)
            total += float(_loss_sum(model, features, batch))
        return total
    rows = max(1, min(16, (len(stream) - 1) // (4 * block)))
    state = model.start(rows)
    for windows in StreamOrder(len(stream), rows, block).epoch(0):
        batch = collate_windows(stream, windows).to(model.device)
        features, state = model.decode(batch.tokens_BT, state, INFERENCE)
        total += float(_loss_sum(model, features, batch))
    return total


def figures(nats: float, text: EncodedText, tokens: int | None = None) -> dict[str, float]:
    """What a sum of -ln p over the tokens of a text (or its first `tokens`) comes to.

    loss: nats a token. bits_per_byte, bits_per_character: over UTF-8 bytes and characters of the text as it was kept,
    the end of a document counted as one; with `tokens` these are taken to be spread evenly.
    """
    count = len(text.stream) if tokens is None else tokens
    share = count / len(text.stream)
    loss = nats / (count - 1)
    return {
        "loss": loss,
        "perplexity": exponential(loss),
        "bits_per_byte": nats / math.log(2) / (text.utf8_bytes * share),
        "bits_per_character": nats / math.log(2) / (text.characters * share),
    }
