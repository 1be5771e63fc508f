"""Language modelling for the training loop: plain text, cross-entropy, perplexity and bits per byte."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.data.batches import DataPosition, iterate
from sightline.data.documents import EncodedText, TextSource, encode_text, read_pieces, split_documents
from sightline.data.progress import VOCABULARY, ProgressReporter
from sightline.data.tokenizer import Tokenizer
from sightline.data.windows import BlockOrder, StreamOrder, TextBatch, collate_windows, strided_windows
from sightline.decode import log_probabilities
from sightline.errors import UsageError
from sightline.models import NGram, NGramSizes, make_language_model
from sightline.models.registry import AnyLanguageModel
from sightline.nn.context import INFERENCE, PassContext
from sightline.predict.metrics import exponential
from sightline.tasks.base import BaseTask, beginning
from sightline.tasks.language.decoding import MOST_LOGITS
from sightline.tasks.language.settings import METRICS, SIDE, LanguageSettings


def train_tokenizers(settings: LanguageSettings, report: Callable[[str], None]) -> dict[str, Tokenizer]:
    """The tokenizer, learned from the training text."""
    pieces = (text for files in settings.data.train for text, _ in read_pieces(files))
    pieces = ProgressReporter(report, VOCABULARY, sources=settings.data.train).over(pieces)
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
    model = NGram.count(*split_documents(text.stream), tokenizers[SIDE].vocab_size, sizes_of_counts(settings))
    report("n-grams: " + ", ".join(f"{count:,}" for count in model.ngram_counts))
    validation = encode(settings, tokenizers[SIDE], settings.data.validation, cache_dir, report)
    return model, figures(measure(model, validation.stream, settings), validation)


def sizes_of_counts(settings: LanguageSettings) -> NGramSizes:
    """The sizes of a model that is counted. Raises UsageError where it is trained."""
    if not isinstance(settings.model, NGramSizes):
        raise UsageError(f"model.kind {settings.model.kind}: it is trained and not counted")
    return settings.model


def make_model(settings: LanguageSettings, tokenizers: dict[str, Tokenizer]) -> AnyLanguageModel:
    """The model, its weights drawn from a generator seeded by the run's seed."""
    size, cutoffs = tokenizers[SIDE].vocab_size, settings.model.frequency_cutoffs
    if cutoffs and cutoffs[-1] >= size:
        raise UsageError(f"model.cutoffs: {cutoffs[-1]} lies beyond the vocabulary, which has {size:,} tokens")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.training.seed)
        return make_language_model(size, settings.model)


class LanguageTask(BaseTask[AnyLanguageModel]):
    """Joins a model with a stream of tokens for the training loop.

    Models that carry a state read parallel streams from end to end, each batch going on from the states of the batch
    before it (truncated back-propagation through time); others read blocks in random order.
    """

    metrics = METRICS
    settings: LanguageSettings

    def prepare(self, report: Callable[[str], None], cache_dir: Path | None) -> None:
        settings = self.settings
        self._train = encode(settings, self.tokenizers[SIDE], settings.data.train, cache_dir, report)
        self._validation = encode(settings, self.tokenizers[SIDE], settings.data.validation, cache_dir, report)
        self._separator = Tokenizer.eos_id if settings.data.separate else None
        block, training = settings.data.block, settings.training
        self._carries = self.model.carries_state
        length, budget = len(self._train.stream), training.tokens_per_batch
        if self._carries:
            self._order = StreamOrder(length, max(1, budget // block), block, seed=training.seed)
        else:
            self._order = BlockOrder(length, block, budget, seed=training.seed)
        self._carried: list[Tensor] = []
        report(f"training text: {self._train.summary()}")
        report(f"validation text: {self._validation.summary()}")
        report(f"batches: {len(self._order.epoch(0)):,} per epoch of {budget // block} × {block} tokens")

    def data(self) -> tuple[object, ...]:
        """What is learned from and validated on."""
        return self._train, self._validation

    @property
    def batches_per_epoch(self) -> int:
        """How many batches the first epoch has; others differ by a few."""
        return len(self._order.epoch(0))

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, TextBatch]]:
        """Batches from `position` on, for ever, each with the position after it."""
        for after, windows in iterate(self._order, position):
            fresh = not self._carries or position.batch == 0
            batch = collate_windows(self._train.stream, windows, fresh=fresh, separator=self._separator)
            if self._carries and fresh:
                self._carried[:] = self.model.start(len(windows)).tensors()
            yield after, batch.to(self.device)
            position = after

    def num_units(self, batch: TextBatch) -> int:
        """Tokens that are predicted."""
        return batch.num_tokens

    def loss(self, batch: TextBatch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """Cross-entropy summed over tokens (nats), and how many tokens those are."""
        ctx = PassContext(generator=generator)
        if not self._carries:
            loss, _ = _loss_of(self.model, batch, ctx=ctx)
            return loss, batch.num_tokens, {}
        state = self.model.start(len(batch.windows))
        state = state.with_tensors([part[batch.rows].clone() for part in self._carried])
        loss, state = _loss_of(self.model, batch, state, ctx=ctx)
        for part, last in zip(self._carried, state.tensors(), strict=True):
            part[batch.rows] = last.detach()
        return loss, batch.num_tokens, {}

    def carried_state(self) -> dict[str, Tensor]:
        """The recurrent states after the latest batch, by number."""
        return {str(number): part for number, part in enumerate(self._carried)}

    def load_carried_state(self, tensors: dict[str, Tensor]) -> None:
        """Restores what `carried_state` gave."""
        self._carried[:] = [tensors[str(number)].to(self.device) for number in range(len(tensors))]

    def describe(self, batch: TextBatch) -> str:
        """Names a batch in an error message: where it lies and how it begins."""
        first = beginning(self.tokenizers[SIDE], batch.tokens_BT[0, :20])
        return f"of tokens {batch.windows[0, 0]:,} to {batch.windows[0, 1]:,} and others, beginning {first}"

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


def _loss_of(
    model: AnyLanguageModel, batch: TextBatch, state: Any = None, *, ctx: PassContext = INFERENCE
) -> tuple[Tensor, Any]:
    """The loss (nats), summed over the tokens that are scored, and the state after the batch."""
    scored_BT = None if batch.num_tokens == batch.targets_BT.numel() else batch.real_BT
    return model(batch.tokens_BT, batch.targets_BT, state, scored_BT=scored_BT, document_BT=batch.document_BT, ctx=ctx)


@torch.inference_mode()
def measure(model: AnyLanguageModel | NGram, stream: np.ndarray, settings: LanguageSettings) -> float:
    """The sum of -ln p (nats) over the tokens of `stream` but the very first, which nothing predicts.

    Models that carry a state read it in up to 16 parts side by side; others in blocks, each of which may see what
    lies before its new tokens where `validation.stride` is less than a block.
    """
    if isinstance(model, NGram):
        return float(_counted_nats(model, stream, settings).sum())
    total = 0.0
    for _, loss in _over_batches(model, stream, settings, _loss_of):
        total += float(loss)  # not `sum`, which adds in another way from one Python to the next
    return total


@torch.inference_mode()
def token_nats(model: AnyLanguageModel | NGram, stream: np.ndarray, settings: LanguageSettings) -> np.ndarray:
    """-ln p (nats) of every token of `stream` but the very first (N - 1,), read as `measure` reads it."""
    if isinstance(model, NGram):
        return _counted_nats(model, stream, settings)
    nats_N = np.zeros(len(stream) - 1)
    for batch, nats_BT in _over_batches(model, stream, settings, _nats_of):
        places_BT = batch.windows[:, :1] + np.arange(batch.tokens_BT.shape[1])
        real_BT = batch.real_BT.cpu().numpy()
        nats_N[places_BT[real_BT]] = nats_BT.cpu().numpy()[real_BT]
    return nats_N


def _counted_nats(model: NGram, stream: np.ndarray, settings: LanguageSettings) -> np.ndarray:
    log_p = model.log_probabilities(*split_documents(stream))
    # running text has neither a predicted beginning nor an end
    return -(log_p if settings.has_documents else log_p[1:-1])


def _nats_of(model: AnyLanguageModel, batch: TextBatch, state: Any = None) -> tuple[Tensor, Any]:
    """-ln p (nats) of each token of a batch (B, T), and the state after it."""
    before = model.start(len(batch.windows)) if state is None else state
    features_BTD, after = model.decode(batch.tokens_BT, before, document_BT=batch.document_BT)
    nats: list[Tensor] = []
    rows = max(1, MOST_LOGITS // model.vocab_size)  # the logits of a whole batch may not fit into memory
    features_ND, targets_N1 = features_BTD.flatten(0, 1), batch.targets_BT.reshape(-1, 1)
    for low in range(0, len(targets_N1), rows):
        log_p_NV = log_probabilities(model.project(features_ND[low : low + rows]))
        nats.append(-log_p_NV.gather(1, targets_N1[low : low + rows])[:, 0])
    return torch.cat(nats).view_as(batch.targets_BT), after


def _over_batches(
    model: AnyLanguageModel,
    stream: np.ndarray,
    settings: LanguageSettings,
    loss_of: Callable[[AnyLanguageModel, TextBatch, Any], tuple[Tensor, Any]],
) -> Iterator[tuple[TextBatch, Tensor]]:
    """Every batch of a stream as it is measured, and what `loss_of` makes of it and of the state before it."""
    block, budget = settings.data.block, settings.training.tokens_per_batch
    if not model.carries_state:
        separator = Tokenizer.eos_id if settings.data.separate else None
        stride = settings.validation.stride or block
        for windows, first in strided_windows(len(stream), block, stride, max(1, budget // block)):
            batch = collate_windows(stream, windows, first_scored=first, separator=separator).to(model.device)
            yield batch, loss_of(model, batch, None)[0]
        return
    rows = max(1, min(16, (len(stream) - 1) // (4 * block)))
    state = model.start(rows)
    for windows in StreamOrder(len(stream), rows, block).epoch(0):
        batch = collate_windows(stream, windows).to(model.device)
        loss, state = loss_of(model, batch, state)
        yield batch, loss


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
