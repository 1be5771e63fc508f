"""A fine-tuned tagger, ready for use: texts in, the spans in them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast, overload

import torch

from sightline.data.tagged import read_tagged, spans, split_words, to_valid_bio
from sightline.data.text import normalize_text
from sightline.decode import log_probabilities
from sightline.errors import UsageError
from sightline.nn.context import PassContext
from sightline.predict.brief import BriefRepr
from sightline.predict.predictor import Predictor
from sightline.predict.reading import Reading, masking, over_positions, special_side
from sightline.tasks.tagging.settings import TaggingSettings
from sightline.tasks.tagging.task import make_model, tag


@dataclass(frozen=True, repr=False)
class Span(BriefRepr):
    """A stretch of a text: characters `start` … `end` - 1, `text`, are a `kind`."""

    start: int
    end: int
    kind: str
    text: str


@dataclass(frozen=True, repr=False)
class TaggedText(BriefRepr):
    """A text, its units (words or characters) with a tag each, and the spans that the tags mark, in BIO."""

    text: str
    units: tuple[str, ...]
    tags: tuple[str, ...]
    spans: tuple[Span, ...]

    @property
    def marked(self) -> str:
        """The text with every span in brackets, and its kind after a colon."""
        parts: list[str] = []
        at = 0
        for one in self.spans:
            parts += [self.text[at : one.start], f"[{one.text}:{one.kind}]"]
            at = one.end
        return "".join([*parts, self.text[at:]])


class Tagger(Predictor[TaggingSettings]):
    """Tags texts with the weights of a run. See `Predictor` for the arguments."""

    schema = TaggingSettings
    make_model = staticmethod(make_model)

    @overload
    def tag(self, texts: str) -> TaggedText: ...  # pyright: ignore[reportOverlappingOverload]

    @overload
    def tag(self, texts: Sequence[str]) -> list[TaggedText]: ...

    def tag(self, texts: str | Sequence[str]) -> TaggedText | list[TaggedText]:
        """The spans of each text, or of one. Units are words between white space, or characters, as in training."""
        if type(texts) is str:
            return self.tag([texts])[0]
        texts = [normalize_text(text) for text in texts]
        files = self.settings.data.train
        joined_by = files[0].joined_by if files else " "
        records = [split_words(text, joined_by) for text in texts]
        units = [tuple(unit for unit, _ in record) for record in records]
        found = tag(self.settings, self.model, self.tokenizer, units, joined_by)
        return [self._record(*one) for one in zip(texts, records, found.tags, strict=True)]

    def first_of(self, files: Any) -> list[Any]:
        """The first record of these files."""
        return [files.joined_by.join(next(read_tagged(files))[0])]

    @torch.no_grad()
    def reading(self, text: str) -> Reading:
        """A text as the model reads it; its outputs are the log-probabilities of its tokens' likeliest tags.

        Raises UsageError for a text of more tokens than are read at once.
        """
        ids = [self.tokenizer.bos_id, *self.tokenizer.encode(normalize_text(text)), self.tokenizer.eos_id]
        if len(ids) > self.settings.data.max_tokens:
            raise UsageError(f"text: {len(ids)} tokens; the model reads {self.settings.data.max_tokens} at once")

        def all_of(ids: Sequence[int], ctx: PassContext) -> torch.Tensor:
            tokens_1T = torch.tensor([ids], device=self.model.device)
            logits_1TC = self.model(tokens_1T, torch.ones_like(tokens_1T, dtype=torch.bool), ctx=ctx)
            return log_probabilities(logits_1TC[0, 1:-1])

        best_T1 = all_of(ids, PassContext()).argmax(1, keepdim=True)
        likeliest = cast("list[int]", best_T1[:, 0].tolist())
        tags = [self.settings.data.tags[number] for number in likeliest]
        return over_positions(
            ids,
            special_side(self.tokenizer, ids),
            lambda ids, ctx: all_of(ids, ctx).gather(1, best_T1)[:, 0].cpu(),
            tags,
            masking(ids[:1] + ids[-1:], self.tokenizer.vocab_size),
            "masked",
            output_positions=range(1, len(ids) - 1),
            attention_sites=self.model.attention_sites,
        )

    def _record(self, text: str, record: list[tuple[str, int]], tags: list[str]) -> TaggedText:
        marked: list[Span] = []
        for first, stop, kind in spans(tags):
            (_, start), (last, at) = record[first], record[stop - 1]
            end = at + len(last)
            marked.append(Span(start, end, kind, text[start:end]))
        return TaggedText(text, tuple(unit for unit, _ in record), tuple(to_valid_bio(tags)), tuple(marked))
