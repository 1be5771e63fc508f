"""Pretraining a BERT: masked words and, where asked for, the next sentence (Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.data.batches import DataPosition, iterate
from sightline.data.masking import ALONE, MaskedBatch, Masks, SegmentOrder, collate_masked, input_lengths
from sightline.data.mixing import MASKING, generator
from sightline.data.progress import VOCABULARY, ProgressReporter
from sightline.data.sentences import EncodedDocuments, SentenceSource, encode_documents
from sightline.data.tokenizer import Tokenizer
from sightline.models import BertForPretraining
from sightline.nn.context import PassContext
from sightline.tasks.base import BaseTask, beginning
from sightline.tasks.masked_language.settings import METRICS, SIDE, MaskedLanguageSettings


def train_tokenizers(settings: MaskedLanguageSettings, report: Callable[[str], None]) -> dict[str, Tokenizer]:
    """The tokenizer, learned from the training text."""
    documents = (one for files in settings.data.train for one in files.read_documents())
    sentences = ProgressReporter(report, VOCABULARY, sources=settings.data.train).over(
        sentence for document in documents for sentence in document
    )
    return {SIDE: Tokenizer.train(sentences, **settings.tokenizer.model_dump())}


def make_model(settings: MaskedLanguageSettings, tokenizers: dict[str, Tokenizer]) -> BertForPretraining:
    """The model, its weights drawn from a generator seeded by the run's seed; [MASK] follows the vocabulary."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.training.seed)
        return BertForPretraining(tokenizers[SIDE].vocab_size + 1, settings.model)


def masks(settings: MaskedLanguageSettings, tokenizer: Tokenizer) -> Masks:
    """How tokens are masked."""
    first = Tokenizer.eos_id + 1 if tokenizer.unk_id is None else tokenizer.unk_id + 1
    return Masks(
        **settings.masking.model_dump(),
        mask_id=tokenizer.vocab_size,
        first_id=first,
        continues_V=tokenizer.continues_word(),
    )


class MaskedLanguageTask(BaseTask[BertForPretraining]):
    """Joins a model with documents for the training loop."""

    metrics = METRICS
    settings: MaskedLanguageSettings

    def prepare(self, report: Callable[[str], None], cache_dir: Path | None) -> None:
        settings = self.settings
        self._masks = masks(settings, self.tokenizers[SIDE])
        self._train = encode(settings.data.train, self.tokenizers[SIDE], report, cache_dir)
        self._validation = encode(settings.data.validation, self.tokenizers[SIDE], report, cache_dir)
        self._order = segment_order(settings, self._train, settings.training.seed)
        segment_order(settings, self._validation, 0)  # refuses what could not be measured before anything is learned
        report(f"training text: {self._train.summary()}")
        report(f"validation text: {self._validation.summary()}")
        batches = self._order.epoch(0)
        items = np.concatenate(batches)
        pairs = int((items[:, 4] != ALONE).sum())
        # how many tokens are predicted for each pair; specials are not
        maskable = int(input_lengths(items).sum()) - 2 * len(items) - pairs
        self._weight = settings.masking.share * maskable / max(pairs, 1)
        report(f"batches: {len(batches):,} per epoch, of {len(items):,} inputs; {pairs:,} of them pairs")

    def data(self) -> tuple[object, ...]:
        """What is learned from and validated on."""
        return self._train, self._validation

    @property
    def batches_per_epoch(self) -> int:
        """How many batches the first epoch has; others differ by a few."""
        return len(self._order.epoch(0))

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, MaskedBatch]]:
        """Batches from `position` on, for ever, each with the position after it; masked anew each time."""
        for after, items in iterate(self._order, position):
            random = generator(MASKING, position.seed, position.epoch, position.batch)
            yield after, collate_masked(self._train.sentences.tokens, items, self._masks, random).to(self.device)
            position = after

    def num_units(self, batch: MaskedBatch) -> int:
        """Tokens of the inputs, masked or not."""
        return int(input_lengths(batch.items).sum())

    def loss(self, batch: MaskedBatch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """Cross-entropy of the masked tokens (nats) plus the next sentence's, and how many tokens were masked.

        A next-sentence loss weighs as much as the masked tokens that there are for each pair, so that both losses'
        means are added as in BERT, however few inputs are pairs and whatever the pieces that a batch is computed in.
        """
        pairs_B, follows_B = (batch.kind_B != ALONE, batch.kind_B) if self.settings.next_sentence else (None, None)
        targets_N = batch.targets_BT[batch.chosen_BT]
        masked, next_sentence = self.model(
            batch.tokens_BT,
            batch.real_BT,
            batch.segment_BT,
            batch.chosen_BT,
            targets_N,
            pairs_B,
            follows_B,
            ctx=PassContext(generator),
        )
        loss, extras = masked, {"masked_loss": masked.detach()}
        if next_sentence is not None:
            weighted = next_sentence * self._weight
            loss = loss + weighted
            extras["next_sentence_loss"] = weighted.detach()
        return loss, len(targets_N), extras

    def describe(self, batch: MaskedBatch) -> str:
        """Names a batch in an error message: where its first input lies and how that begins."""
        first = beginning(self.tokenizers[SIDE], batch.targets_BT[0, 1:21])
        return f"of tokens from {batch.items[0, 0]:,} on and others, beginning {first}"

    def validate(self) -> dict[str, float]:
        """See `measure`."""
        return measure(self.settings, self.model, self.tokenizers[SIDE], self._validation)


def encode(
    files: Sequence[SentenceSource],
    tokenizer: Tokenizer,
    report: Callable[[str], None] = lambda line: None,
    cache_dir: Path | None = None,
) -> EncodedDocuments:
    """The documents of these files as token ids."""
    return encode_documents(files, tokenizer, cache_dir=cache_dir, report=report)


def segment_order(settings: MaskedLanguageSettings, documents: EncodedDocuments, seed: int) -> SegmentOrder:
    """Inputs of the documents in batches."""
    data = settings.data
    return SegmentOrder(
        documents,
        data.max_tokens,
        settings.training.tokens_per_batch,
        seed=seed,
        pairs=settings.next_sentence,
        short=data.short,
    )


@torch.inference_mode()
def measure(
    settings: MaskedLanguageSettings,
    model: BertForPretraining,
    tokenizer: Tokenizer,
    documents: EncodedDocuments,
    filled: Callable[[MaskedBatch, Tensor], None] = lambda batch, right_N: None,
) -> dict[str, float]:
    """How well a model fills in and tells what follows; inputs and masks of documents are the same each time.

    `filled` is told of each batch which of its masked tokens (N) were filled in rightly.

    loss: nats a masked token, plus those of the next sentence where that is learned. masked_loss and
    masked_accuracy (per cent): of the masked tokens. next_sentence_accuracy (per cent): of the pairs. Documents that
    cannot be paired, such as one alone, are measured by masked tokens.
    """
    if len(documents.pairable) < 2:
        settings = settings.model_copy(update={"next_sentence": False})
    how, totals = masks(settings, tokenizer), dict.fromkeys(("nats", "tokens", "right", "nsp", "pairs", "told"), 0.0)
    for number, items in enumerate(segment_order(settings, documents, 0).epoch(0)):
        batch = collate_masked(documents.sentences.tokens, items, how, generator(MASKING, 0, number))
        batch = batch.to(model.device)
        features_BTD = model.encode(batch.tokens_BT, batch.real_BT, segment_BT=batch.segment_BT)
        logits_NV = model.project(model.transform_masked(features_BTD[batch.chosen_BT])).float()
        targets_N = batch.targets_BT[batch.chosen_BT]
        totals["nats"] += float(F.cross_entropy(logits_NV, targets_N, reduction="sum"))
        totals["tokens"] += len(targets_N)
        right_N = logits_NV.argmax(1) == targets_N
        totals["right"] += int(right_N.sum())
        filled(batch, right_N)
        if settings.next_sentence:
            pairs = batch.kind_B != ALONE
            logits, kinds = model.next_sentence_logits(features_BTD)[pairs].float(), batch.kind_B[pairs]
            totals["nsp"] += float(F.cross_entropy(logits, kinds, reduction="sum"))
            totals["told"] += int((logits.argmax(1) == kinds).sum())
            totals["pairs"] += len(kinds)
    found = {"masked_loss": totals["nats"] / totals["tokens"]}
    found["masked_accuracy"] = 100 * totals["right"] / totals["tokens"]
    if not settings.next_sentence:
        return {"loss": found["masked_loss"], **found}
    pairs = totals["pairs"] or math.nan
    told = {"next_sentence_loss": totals["nsp"] / pairs, "next_sentence_accuracy": 100 * totals["told"] / pairs}
    # a set without pairs has nothing to tell
    return {"loss": found["masked_loss"] + (told["next_sentence_loss"] if totals["pairs"] else 0.0), **found, **told}
