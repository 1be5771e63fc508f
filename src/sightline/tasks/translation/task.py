"""Translation for the training loop: parallel text, label-smoothed cross-entropy, BLEU and chrF."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from sightline.data.batches import BatchOrder, DataPosition, PairBatch, collate, iterate
from sightline.data.encoded import EncodedPairs, Gathered
from sightline.data.merges import MergeDropout
from sightline.data.mixing import MERGE_DROPOUT, generator
from sightline.data.pairs import PairSource, encode_pairs, read_pairs
from sightline.data.progress import VOCABULARY, ProgressReporter
from sightline.data.text import is_blank
from sightline.data.tokenizer import Tokenizer
from sightline.models import make_encoder_decoder
from sightline.models.registry import AnyEncoderDecoder
from sightline.nn.context import INFERENCE, PassContext
from sightline.tasks.base import BaseTask
from sightline.tasks.translation.decoding import translate_ids
from sightline.tasks.translation.settings import METRICS, SIDES, TranslationSettings


def train_tokenizers(settings: TranslationSettings, report: Callable[[str], None]) -> dict[str, Tokenizer]:
    """The tokenizers of both sides, learned from the training text; the same object twice where shared."""
    options = settings.tokenizer.model_dump(exclude={"shared", "merge_dropout"})

    def lines(*sides: int) -> Iterator[str]:
        for source in settings.data.train:
            for pair in read_pairs(source):
                for side in sides:
                    yield pair[side]

    if settings.tokenizer.shared:
        both = Tokenizer.train(
            ProgressReporter(report, VOCABULARY, sources=settings.data.train).over(lines(0, 1)), **options
        )
        return dict.fromkeys(SIDES, both)
    return {
        name: Tokenizer.train(
            ProgressReporter(report, VOCABULARY, sources=settings.data.train).over(lines(side)), **options
        )
        for side, name in enumerate(SIDES)
    }


def make_model(settings: TranslationSettings, tokenizers: dict[str, Tokenizer]) -> AnyEncoderDecoder:
    """The model, its weights drawn from a generator seeded by the run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.training.seed)
        return make_encoder_decoder(tokenizers["source"].vocab_size, tokenizers["target"].vocab_size, settings.model)


def pairs_to_translate(
    settings: TranslationSettings, tokenizers: Mapping[str, Tokenizer]
) -> Iterator[tuple[list[int], str]]:
    """Source ids and reference of the validation pairs within the limits.

    References are the file's own text, as `evaluate` has it: what a tokenizer makes of it may be easier to match.
    """
    data, sides = settings.data, [tokenizers[side] for side in SIDES]
    limits = (data.max_source_tokens, data.max_target_tokens)
    for pair in read_pairs(data.validation):
        ids = [tokenizer.encode(text) for tokenizer, text in zip(sides, pair, strict=True)]
        if all(0 < len(one) <= limit for one, limit in zip(ids, limits, strict=True)) and not any(map(is_blank, pair)):
            yield ids[0], pair[1]


class TranslationTask(BaseTask[AnyEncoderDecoder]):
    """Joins a model with encoded pairs for the training loop."""

    metrics = METRICS
    settings: TranslationSettings

    def prepare(self, report: Callable[[str], None], cache_dir: Path | None) -> None:
        settings = self.settings
        self._cache_dir, self._report = cache_dir, report
        self._train = self._encode(settings.data.train)
        self._validation = self._encode([settings.data.validation])
        training = settings.training
        rate = settings.tokenizer.merge_dropout
        mergers = [self.tokenizers[side] for side in SIDES] if rate else []
        self._merge_dropout = [MergeDropout(one.merge_parts(), rate) for one in mergers]
        self._order = self._batch_order(self._train, training.seed)
        self._validation_order = self._batch_order(self._validation, 0)
        self._translated = list(islice(pairs_to_translate(settings, self.tokenizers), settings.validation.sentences))
        report(f"training pairs: {self._train.summary()}")
        report(f"validation pairs: {self._validation.summary()}")
        report(
            f"batches: {len(self._order.epoch(0)):,} per epoch of up to {training.tokens_per_batch:,} tokens, "
            f"{self._order.padding(0):.1%} padding"
        )

    def _encode(self, files: Sequence[PairSource]) -> EncodedPairs:
        data = self.settings.data
        return encode_pairs(
            files,
            self.tokenizers["source"],
            self.tokenizers["target"],
            max_source_tokens=data.max_source_tokens,
            max_target_tokens=data.max_target_tokens,
            cache_dir=self._cache_dir,
            report=self._report,
        )

    def _batch_order(self, pairs: EncodedPairs, seed: int) -> BatchOrder:
        tokens = self.settings.training.tokens_per_batch
        return BatchOrder(pairs.source_lengths, pairs.target_lengths, tokens, seed=seed, mixing=pairs.mixing)

    def data(self) -> tuple[object, ...]:
        """What is learned from and validated on."""
        return self._train, self._validation

    @property
    def batches_per_epoch(self) -> int:
        """How many batches the first epoch has; others differ by a few."""
        return len(self._order.epoch(0))

    def batches(self, position: DataPosition) -> Iterator[tuple[DataPosition, PairBatch]]:
        """Batches from `position` on, for ever, each with the position after it."""
        for after, indices in iterate(self._order, position):
            yield after, collate(self._train, indices, change=self._undoing(after)).to(self.device)

    def _undoing(self, after: DataPosition) -> Callable[[int, Gathered], Gathered]:
        """What undoes merges in the batch before a position."""
        random = generator(MERGE_DROPOUT, after.seed, after.epoch, after.batch)
        return lambda side, gathered: self._merge_dropout[side](*gathered, random) if self._merge_dropout else gathered

    def padding(self) -> float:
        return self._order.padding(0)

    def num_units(self, batch: PairBatch) -> int:
        """Tokens of the target side."""
        return batch.num_target_tokens

    def loss(self, batch: PairBatch, generator: torch.Generator) -> tuple[Tensor, int, dict[str, Tensor]]:
        """Label-smoothed cross-entropy summed over target tokens (nats), and how many tokens those are.

        With `consistency` it is the mean of two passes', plus half their weighted divergence.
        """
        settings, ctx = self.settings, PassContext(generator=generator)
        if not settings.consistency:
            loss, nll = self._loss_sums(batch, settings.label_smoothing, ctx)
            return loss, batch.num_target_tokens, {"nll": nll.detach()}
        loss, nll = self._loss_sums(batch.twice(), settings.label_smoothing, ctx, settings.consistency)
        return loss / 2, batch.num_target_tokens, {"nll": nll.detach() / 2}

    def _loss_sums(
        self, batch: PairBatch, smoothing: float, ctx: PassContext, consistency: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        return self.model(
            batch.source_BS,
            batch.source_mask_BS,
            batch.target_in_BT,
            batch.target_out_BT,
            batch.target_mask_BT,
            label_smoothing=smoothing,
            consistency=consistency,
            ctx=ctx,
        )

    def describe(self, batch: PairBatch) -> str:
        """Names a batch in an error message: its pairs and its first sentence."""
        first = self.tokenizers["source"].decode(self._train.source(int(batch.indices[0])).tolist())
        return f"pairs {batch.indices[:5].tolist()}… ({batch.source_BS.shape[0]} rows), the first one {first[:80]!r}"

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Validation loss (nats a token, without smoothing), perplexity, and BLEU of the first sentences."""
        total, tokens = 0.0, 0
        for indices in self._validation_order.epoch(0):
            batch = collate(self._validation, indices).to(self.device)
            total += float(self._loss_sums(batch, 0.0, INFERENCE)[1])
            tokens += batch.num_target_tokens
        loss = total / tokens
        figures = {"loss": loss, "perplexity": float(torch.tensor(loss).exp())}
        if self._translated:
            from sightline.predict.metrics import bleu, chrf

            options = self.settings.search.model_copy(update={"beam": self.settings.validation.beam})
            found = translate_ids(self.model, [source for source, _ in self._translated], options)
            hypotheses = [self.tokenizers["target"].decode(best[0].tokens) for best in found]
            references = [reference for _, reference in self._translated]
            figures["bleu"] = bleu(hypotheses, references).score
            figures["chrf"] = chrf(hypotheses, references).score
        return figures
