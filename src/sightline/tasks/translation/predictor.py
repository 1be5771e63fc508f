"""A trained translation run, ready for use: text in, small typed records out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, islice
from typing import Any, overload

import torch
from torch import Tensor

from sightline.data.pairs import read_pairs
from sightline.data.splitting import Passage
from sightline.data.text import is_blank, normalize_text
from sightline.data.tokenizer import Tokenizer
from sightline.decode import Hypothesis, Search, SearchOptions, SearchRequest, log_probabilities
from sightline.errors import UsageError
from sightline.nn.context import PassContext
from sightline.predict.confidence import require_confidence
from sightline.predict.predictor import Predictor
from sightline.predict.reading import Reading, Side, likeliest_tokens
from sightline.special_tokens import BOS as BEGIN
from sightline.special_tokens import BOS_ID, EOS_ID
from sightline.tasks.translation.confidence import translation_features
from sightline.tasks.translation.decoding import (
    attention_ids,
    make_request,
    new_search,
    pad_sources,
    prefill,
    score_ids,
    translate_ids,
)
from sightline.tasks.translation.results import Attention, Scored, Translation
from sightline.tasks.translation.settings import TranslationSettings
from sightline.tasks.translation.task import make_model


class Translator(Predictor[TranslationSettings]):
    """Translates with the weights of a run. See `Predictor` for the arguments."""

    schema = TranslationSettings
    make_model = staticmethod(make_model)
    reading_options = frozenset({"target", "search"})
    writes = True
    scores_pairs = True

    @property
    def languages(self) -> list[str]:
        """From which, into which."""
        data = self.settings.data
        return [data.source_language, data.target_language]

    @property
    def attends(self) -> bool:
        """Whether the decoder attends to its source."""
        return bool(self.model.cross_attention_sites)

    @overload
    def translate(  # pyright: ignore[reportOverlappingOverload]
        self,
        text: str,
        *,
        beam: int | None = ...,
        n_best: int | None = ...,
        prefix: str | None = ...,
        attention: bool = ...,
        options: SearchOptions | None = ...,
        batch_size: int = ...,
        split: bool = ...,
        confidence: bool = ...,
    ) -> Translation: ...

    @overload
    def translate(
        self,
        text: Sequence[str],
        *,
        beam: int | None = ...,
        n_best: int | None = ...,
        prefix: str | None = ...,
        attention: bool = ...,
        options: SearchOptions | None = ...,
        batch_size: int = ...,
        split: bool = ...,
        confidence: bool = ...,
    ) -> list[Translation]: ...

    def translate(
        self,
        text: str | Sequence[str],
        *,
        beam: int | None = None,
        n_best: int | None = None,
        prefix: str | None = None,
        attention: bool = False,
        options: SearchOptions | None = None,
        batch_size: int = 64,
        split: bool = True,
        confidence: bool = False,
    ) -> Translation | list[Translation]:
        """One `Translation` of a text, or a list of them for a list of texts.

        A text may be of any number of sentences (`sightline.data.splitting.Passage`), each of which is translated on
        its own; the run's limit on the length of a source is one on each.

        Args:
            beam, n_best: override the run's search settings; `options` replaces them whole.
            prefix: what every translation must begin with; of several sentences the first.
            attention: also record where the decoder looked (one more pass a sentence).
            batch_size: sentences searched together; it does not change the results.
            split: False translates each text as one sentence.
            confidence: also tell how probable it is that each translation is acceptable.

        Raises UsageError for a source over the limit, and for `confidence` of a run without one.
        """
        alone = type(text) is str
        texts = [str(text)] if alone else list(text)
        changes = {name: value for name, value in (("beam", beam), ("n_best", n_best)) if value is not None}
        chosen = (options or self.settings.search).with_changes(**changes)
        passages = [Passage.of(one, split=split) for one in texts]
        sentences = [one for passage in passages for one in passage.sentences]
        sources = [self.encode_source(one) for one in sentences]
        written = [index for index, source in enumerate(sources) if source]
        begun = [] if prefix is None else self.encode_target(prefix)
        firsts = {0, *accumulate(len(passage.sentences) for passage in passages)}
        found = translate_ids(
            self.model,
            [sources[index] for index in written],
            chosen,
            batch_size=batch_size,
            prefixes=[begun if index in firsts else [] for index in written],
        )
        hypotheses = dict(zip(written, found, strict=True))
        sure = iter(
            self.confidences([(sources[n], one) for n in written for one in hypotheses[n]]) if confidence else ()
        )
        confidences = {n: list(islice(sure, len(hypotheses[n]))) for n in written}
        each = (
            self.translation(sentence, sources[index], hypotheses.get(index, []), attention, confidences.get(index, []))
            for index, sentence in enumerate(sentences)
        )
        results = [
            self.whole(text, passage, list(islice(each, len(passage.sentences))))
            for text, passage in zip(texts, passages, strict=True)
        ]
        return results[0] if alone else results

    def stream(
        self,
        texts: Iterable[str],
        *,
        options: SearchOptions | None = None,
        batch_size: int = 64,
        ahead: int = 16,
        split: bool = True,
        confidence: bool = False,
    ) -> Iterator[Translation]:
        """Translations of many texts, in order, with `ahead` batches read at a time so that memory stays flat."""
        pending = iter(texts)
        while chunk := list(islice(pending, batch_size * ahead)):
            yield from self.translate(chunk, options=options, batch_size=batch_size, split=split, confidence=confidence)

    def confidences(self, found: Sequence[tuple[Sequence[int], Hypothesis]]) -> list[float]:
        """How probable it is that translations, each with the token ids of its source, are acceptable.

        Raises UsageError where nothing was fitted.
        """
        fitted = require_confidence(self.confidence, self.run.path)
        return [fitted.probability(one) for one in translation_features(self.model, found)]

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> list[Scored]:
        """How probable each given translation is; no text is split, as none is in training."""
        if len(sources) != len(targets):
            raise UsageError(f"{len(sources)} sources and {len(targets)} translations cannot be paired")
        pairs = [(self.encode_source(s), self.encode_target(t)) for s, t in zip(sources, targets, strict=True)]
        return [Scored(sum(tokens), tuple(tokens)) for tokens in score_ids(self.model, pairs)]

    def encode_source(self, text: str) -> list[int]:
        """Token ids of a source text, none of a blank one; raises UsageError where it is over the run's limit."""
        return [] if is_blank(text) else self._encode("source", text, self.settings.data.max_source_tokens)

    def encode_target(self, text: str) -> list[int]:
        """Token ids of a given translation; raises UsageError where it is longer than the run's limit."""
        return self._encode("target", text, self.settings.data.max_target_tokens)

    def _encode(self, side: str, text: str, limit: int) -> list[int]:
        limit = min(limit, (self.model.context_length or limit + 1) - 1)  # the end takes a place, too
        ids = self.tokenizers[side].encode(normalize_text(text))
        if len(ids) > limit:
            raise UsageError(
                f"{side} of {len(ids)} tokens is over the run's limit of {limit}; make shorter sentences of it"
            )
        return ids

    def new_search(self, options: SearchOptions) -> Search[Any]:
        """A search that sources can join at any step, of like options but for the seed and the longest output."""
        return new_search(self.model, options)

    def make_request(self, source: Sequence[int], options: SearchOptions, prefix: str | None = None) -> SearchRequest:
        """A translation of a source that `encode_source` has read."""
        begun = () if prefix is None else self.encode_target(prefix)
        return make_request(self.model, source, options, begun)

    def prefill(self, search: Search[Any], requests: Sequence[SearchRequest], sources: Sequence[Sequence[int]]) -> None:
        """Reads sources and lets requests join a search; `translation` makes a record of what was found."""
        prefill(search, self.model, sources, requests)

    def translation(
        self,
        text: str,
        source: Sequence[int],
        hypotheses: Sequence[Hypothesis],
        attention: bool = False,
        confidences: Sequence[float] = (),
    ) -> Translation:
        """The record of what was found, best first, with the confidence of each where that is known; nothing translates
        to nothing, whatever the model makes of it."""
        if not source:
            return Translation(text, "", (), 0.0, 0.0, (), True)
        target = self.tokenizers["target"]
        records = [
            Translation(
                source=text,
                text=target.decode(one.tokens),
                tokens=tuple(target.tokens(one.tokens)),
                score=one.score,
                log_probability=one.log_probability,
                token_log_probabilities=one.token_log_probabilities,
                finished=one.finished,
                confidence=sure,
            )
            for one, sure in zip(hypotheses, confidences or [None] * len(hypotheses), strict=True)
        ]
        best = records[0]
        looked = self.attention(source, list(hypotheses[0].tokens)) if attention else None
        return replace(best, alternatives=tuple(records[1:]), attention=looked)

    def whole(self, text: str, passage: Passage, sentences: Sequence[Translation]) -> Translation:
        """The record of a text, from those of its sentences."""
        return Translation.of_passage(text, passage, sentences)

    def first_of(self, files: Any) -> list[Any]:
        """The first source of these files."""
        return [next(source for source, _ in read_pairs(files) if source.strip())]

    @torch.no_grad()
    def reading(self, text: str, *, target: str | None = None, search: SearchOptions | None = None) -> Reading:
        """A sentence as the model reads it while it writes `target`, by default its own translation, which `search`,
        or the run's own settings, find."""
        source = self.encode_source(text)
        if target is not None:
            written = self.encode_target(target)
        else:  # nothing translates to nothing
            found = translate_ids(self.model, [source] if source else [], search or self.settings.search)
            written = list(found[0][0].tokens) if found else []
        goals = torch.tensor([*written, EOS_ID])

        def make(source: list[int]) -> Reading:
            def run(ctx: PassContext) -> Tensor:
                tokens_BS, mask_BS = pad_sources([source], self.model.device)
                inputs_BT = torch.tensor([[BOS_ID, *written]], device=tokens_BS.device)
                logits = self.model.project(self.model.features(tokens_BS, mask_BS, inputs_BT, ctx=ctx))
                return log_probabilities(logits)[0].cpu().gather(1, goals[:, None])[:, 0]

            def without(place: int) -> Reading | None:
                # the end of the source stays
                return make([*source[:place], *source[place + 1 :]]) if place < len(source) else None

            outputs = sides["target"].tokens
            return Reading(
                sides,
                run,
                outputs,
                without,
                "source",
                "taken out",
                output_axis="target",
                output_positions=tuple(range(len(outputs))),
                attention_sites=self.model.attention_sites,
                cross_attention_sites=self.model.cross_attention_sites,
                likeliest=lambda count: likeliest_tokens(
                    log_probabilities(self.logits(source, written)), self.tokenizers["target"], count
                ),
            )

        sides = {
            "source": Side.of_ids(self.tokenizers["source"], source, after=[Tokenizer.END]),
            "target": Side.of_ids(self.tokenizers["target"], written, after=[Tokenizer.END]),
            "past": Side.of_ids(self.tokenizers["target"], written, before=[BEGIN]),
        }
        return make(source)

    @torch.inference_mode()
    def logits(self, source: Sequence[int], target: Sequence[int]) -> Tensor:
        """(T + 1, V): what is said of each place of a translation (token ids) of a source, its end last."""
        tokens_BS, mask_BS = pad_sources([source], self.model.device)
        inputs_BT = torch.tensor([[BOS_ID, *target]], device=tokens_BS.device)
        return self.model.project(self.model.features(tokens_BS, mask_BS, inputs_BT))[0]

    def attention(self, source: Sequence[int], target: Sequence[int]) -> Attention | None:
        """Where the decoder looks while it writes `target` (token ids); None for a fixed context."""
        weights = attention_ids(self.model, source, target)
        if weights is None:
            return None
        sides = [Side.of_ids(self.tokenizers[side], ids, after=[Tokenizer.END])
                 for side, ids in (("source", source), ("target", target))]  # fmt: skip
        return Attention(weights.numpy(), *sides)
