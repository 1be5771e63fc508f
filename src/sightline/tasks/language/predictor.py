"""A trained language model, ready for use: text goes on, text is scored; small typed records come out."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor

from sightline.data.documents import read_pieces
from sightline.data.text import normalize_text
from sightline.decode import Hypothesis, Search, SearchOptions, SearchRequest, log_probabilities
from sightline.errors import UsageError
from sightline.models import NGram
from sightline.nn.context import PassContext
from sightline.predict.confidence import require_confidence
from sightline.predict.predictor import Predictor
from sightline.predict.reading import Reading, Side, likeliest_tokens, over_positions
from sightline.predict.search_options import with_strategy
from sightline.predict.streaming import NEAR, Pieces, after
from sightline.special_tokens import BOS_ID, EOS_ID, PAD_ID
from sightline.tasks.language.confidence import generation_features
from sightline.tasks.language.decoding import (
    SPAN,
    generate_ids,
    make_request,
    new_search,
    prefill,
    prompt_tokens_read,
    run_to_end,
    score_ids_stepwise,
)
from sightline.tasks.language.results import Generation, ScoredText
from sightline.tasks.language.settings import LanguageSettings
from sightline.tasks.language.task import make_model, sizes_of_counts


class LanguageModel(Predictor[LanguageSettings]):
    """Writes and scores text with the weights of a run. See `Predictor` for the arguments."""

    schema = LanguageSettings
    make_model = staticmethod(make_model)
    reading_options = frozenset({"end_only"})
    writes = True

    @property
    def attends(self) -> bool:
        """Whether the model attends to what it has read."""
        return bool(self.model.attention_sites)

    @property
    def inspectable(self) -> bool:
        """A model that is counted has no internals."""
        return not self.settings.counted

    def _load(self, precision: str, device: str, update: int | None) -> Any:
        if not self.settings.counted:
            return super()._load(precision, device, update)
        weights, vocab_size = self.run.read_weights(), self.tokenizer.vocab_size
        return NGram.from_tensors(weights, vocab_size, sizes_of_counts(self.settings))

    @property
    def _never(self) -> tuple[int, ...]:
        """Tokens that are never written: unknown ones, and ends that the model has not learned."""
        unknown = [] if self.tokenizer.unk_id is None else [self.tokenizer.unk_id]
        return (PAD_ID, BOS_ID, *unknown, *(() if self.settings.has_documents else (EOS_ID,)))

    @property
    def begin_ids(self) -> list[int]:
        """What a text begins after, where the model learned of beginnings."""
        return [self.model.begin_id] if self.settings.has_documents else []

    def encode_prompt(self, prompt: str) -> list[int]:
        """The ids a prompt is read as. Raises UsageError for an empty one that the model cannot begin from."""
        ids = self.begin_ids + self.tokenizer.encode(normalize_text(prompt))
        if not ids:
            raise UsageError("the prompt is empty, and this model learned no beginning of a text; give a prompt")
        return ids

    def prompt_note(self, read: Sequence[int]) -> str:
        """What of a prompt that `encode_prompt` has read the model does not look at, where its context is shorter."""
        kept = prompt_tokens_read(self.model, len(read)) if self.attends else len(read)
        if kept == len(read):
            return ""
        return (
            f"the prompt has {len(read):,} tokens; of more than {self.model.context_length:,} the model reads the last "
            f"{kept:,}: the first {len(read) - kept:,} are cut"
        )

    @staticmethod
    def stop_strings(stop: str | Sequence[str]) -> list[str]:
        """Stop strings, in NFC as the text that they end. Raises UsageError for an empty one, which would stop all."""
        stops = [normalize_text(one) for one in ([stop] if type(stop) is str else stop)]
        if not all(stops):
            raise UsageError("stop: an empty string ends every text at once; leave it out")
        return stops

    def options(self, max_tokens: int, n: int = 1, **changes: Any) -> SearchOptions:
        """The run's search settings with a limit on what is written, and `changes`: those of `with_strategy`.

        Raises UsageError for what is out of range, and for options that do not belong together.
        """
        for name, value in (("max_tokens", max_tokens), ("n", n)):
            if value < 1:
                raise UsageError(f"{name}: must be at least 1, not {value}")
        limits = {"max_length_factor": 0.0, "max_length_offset": max_tokens, "n_best": n}
        return self.settings.search.with_changes(**limits, **with_strategy(changes))

    @overload
    def generate(
        self,
        prompt: str = ...,
        *,
        max_tokens: int = ...,
        n: int = ...,
        stop: str | Sequence[str] = ...,
        confidence: bool = ...,
        **changes: Any,
    ) -> Generation: ...

    @overload
    def generate(
        self,
        prompt: Sequence[str],
        *,
        max_tokens: int = ...,
        n: int = ...,
        stop: str | Sequence[str] = ...,
        confidence: bool = ...,
        **changes: Any,
    ) -> list[Generation]: ...

    def generate(
        self,
        prompt: str | Sequence[str] = "",
        *,
        max_tokens: int = 200,
        n: int = 1,
        stop: str | Sequence[str] = (),
        confidence: bool = False,
        **changes: Any,
    ) -> Generation | list[Generation]:
        """One `Generation` of a prompt, or a list of them for a list of prompts.

        Args:
            max_tokens: the longest output. n: how many of each prompt, the further ones as `alternatives`.
            stop: a string, or several, that end the output and are not part of it.
            confidence: also tell how probable it is that each is acceptable.
            changes: of the run's search settings, such as strategy, temperature, top_k, top_p, min_p, beam,
                repetition_penalty, seed.
        """
        alone = type(prompt) is str
        prompts = [str(prompt)] if alone else list(prompt)
        read, stop = [self.encode_prompt(one) for one in prompts], self.stop_strings(stop)
        options = self.options(max_tokens, n, **changes)
        found = self.hypotheses(read, options, stop)
        sure = [self.confidences(*one) if confidence else () for one in zip(read, found, strict=True)]
        results = [
            self.generation(prompt, ids, best, stop, some)
            for prompt, ids, best, some in zip(prompts, read, found, sure, strict=True)
        ]
        return results[0] if alone else results

    def hypotheses(
        self, read: Sequence[Sequence[int]], options: SearchOptions, stop: Sequence[str] = ()
    ) -> list[list[Hypothesis]]:
        """What follows each prompt that `encode_prompt` has read, best first."""
        return generate_ids(self.model, read, options, stop=self._stopper(stop), forbidden=self._never)

    def confidences(self, read: Sequence[int], hypotheses: Sequence[Hypothesis]) -> list[float]:
        """How probable it is that what follows a prompt is acceptable. Raises UsageError where nothing was fitted."""
        fitted = require_confidence(self.confidence, self.run.path)
        return [fitted.probability(one) for one in generation_features(len(read), hypotheses)]

    def stream(
        self, prompt: str = "", *, max_tokens: int = 200, stop: str | Sequence[str] = (), **changes: Any
    ) -> Iterator[str]:
        """What `generate` writes, in pieces as they come; joined, they are its text."""
        options = self.options(max_tokens, **changes)
        if options.num_hypotheses > 1:
            raise UsageError(
                f"beam: {options.num_hypotheses} hypotheses cannot be shown while they compete; set it to 1"
            )
        read, stop = self.encode_prompt(prompt), self.stop_strings(stop)
        search, sentence = self.new_search(options), self.make_request(read, options, stop)
        self.prefill(search, [sentence])
        pieces = self.pieces(read, stop)
        while not search.advance():
            if piece := pieces.more(search.written(sentence)):
                yield piece
        yield pieces.rest(self.generation(prompt, read, sentence.finished, stop).text)

    def new_search(self, options: SearchOptions) -> Search[Any]:
        """A search that prompts can join at any step, of like options but for the seed and the longest output."""
        return new_search(self.model, options, self._never)

    def make_request(self, read: Sequence[int], options: SearchOptions, stop: Sequence[str] = ()) -> SearchRequest:
        """What follows a prompt that `encode_prompt` has read."""
        return make_request(read, options, self._stopper(stop))

    def prefill(
        self, search: Search[Any], requests: Sequence[SearchRequest], sources: Sequence[Sequence[int]] = ()
    ) -> None:
        """Reads the prompts of requests and lets them join a search; `generation` makes a record of what was found."""
        prefill(search, self.model, requests)

    def generation(
        self,
        prompt: str,
        read: Sequence[int],
        hypotheses: Sequence[Hypothesis],
        stop: Sequence[str] = (),
        confidences: Sequence[float] = (),
    ) -> Generation:
        """The record of what was found, best first, with the confidence of each where that is known."""
        found = [self._record(prompt, read, one, stop) for one in hypotheses]
        if confidences:
            found = [replace(one, confidence=sure) for one, sure in zip(found, confidences, strict=True)]
        return replace(found[0], alternatives=tuple(found[1:]))

    def pieces(self, read: Sequence[int], stop: Sequence[str]) -> Pieces:
        """The text after a prompt, to be told piece by piece."""
        held = max(map(len, stop), default=1) - 1  # characters that may still turn out to begin a stop string
        held = max(held, int(self.tokenizer.composes))  # or to go on with a syllable
        return Pieces(partial(after, self.tokenizer, read[-NEAR:]), held)

    @overload
    def score(self, texts: str, *, stride: int | None = ...) -> ScoredText: ...  # pyright: ignore[reportOverlappingOverload]

    @overload
    def score(self, texts: Sequence[str], *, stride: int | None = ...) -> list[ScoredText]: ...

    def score(self, texts: str | Sequence[str], *, stride: int | None = None) -> ScoredText | list[ScoredText]:
        """How probable each text is, as one document; one `ScoredText` for a text, a list of them for several.

        A model of limited context sees at least context - `stride` tokens of what came before, once there are so many
        (half the context by default; 1 is exact and slow). Raises UsageError for a stride above the context.
        """
        if type(texts) is str:
            return self.score([texts], stride=stride)[0]
        return run_to_end(self.score_stepwise(texts, stride=stride))

    def score_stepwise(
        self, texts: Sequence[str], *, stride: int | None = None
    ) -> Generator[None, None, list[ScoredText]]:
        """`score` of several texts for callers that do other work in between, or stop: yields between its parts."""
        ends = [EOS_ID] if self.settings.has_documents else []
        texts = [normalize_text(text) for text in texts]
        encoded = [self.tokenizer.encode(text) + ends for text in texts]
        scored = yield from score_ids_stepwise(self.model, [self.begin_ids + ids for ids in encoded], stride=stride)
        results: list[ScoredText] = []
        for text, ids, found in zip(texts, encoded, scored, strict=True):
            first = [None] * (len(ids) - len(found))
            results.append(
                ScoredText(
                    text,
                    tuple(self.tokenizer.tokens(ids)),
                    (*first, *found),
                    len(text) + len(ends),
                    len(text.encode()) + len(ends),
                    len(text.split()),
                )
            )
        return results

    @torch.inference_mode()
    def last_logits(self, ids: Sequence[int], count: int) -> Tensor:
        """(C, V): what is said after each of the last `count` of these tokens, or after as many of them as the model
        looks at at once."""
        shown = ids[-(self.model.context_length or len(ids)) :]
        features, _ = self.model.decode(torch.tensor([shown], device=self.model.device), self.model.start(1))
        return self.model.project(features[:, -count:])[0]

    def first_of(self, files: Any) -> list[Any]:
        """The first words of these files."""
        text = next(text for text, _ in read_pieces(files) if text.strip())
        return [" ".join(text.split()[:12])]

    def reading(self, text: str, *, end_only: bool = False) -> Reading:
        """A text as the model reads it; its outputs are what is said of each token after the first read one.

        Args:
            end_only: of a text that is longer than the model can look at at once, or 512 tokens, read the end.

        Raises UsageError for a text that is too short or longer than the model can look at at once, and for n-grams.
        """
        if self.settings.counted:
            raise UsageError(f"{self.run.path}: an n-gram model is counted and has no internals to look at")
        ids = self.begin_ids + self.tokenizer.encode(normalize_text(text))
        most = (self.model.context_length or (SPAN if end_only else len(ids))) + 1
        begin = [self.tokenizer.END] * (len(self.begin_ids) if len(ids) <= most else 0)
        ids = ids[-most:] if end_only else ids
        if not 2 <= len(ids) <= most:
            raise UsageError(f"text: {len(ids)} tokens; the model looks at 2 to {most} at once")
        inputs, goals = ids[:-1], torch.tensor(ids[1:], device=self.model.device)

        def all_of(tokens: Sequence[int], ctx: PassContext) -> Tensor:
            tokens_1T = torch.tensor([tokens], device=self.model.device)
            features, _ = self.model.decode(tokens_1T, self.model.start(1), ctx=ctx)
            return log_probabilities(self.model.project(features))[0]

        def run(places: Sequence[int], ctx: PassContext) -> Tensor:
            """Log-probabilities of the goals; what is left out makes those after it follow the one before it."""
            if not places:
                return all_of(inputs, ctx).gather(1, goals[:, None])[:, 0].cpu()
            (left_out,) = places
            told = all_of([*inputs[:left_out], *inputs[left_out + 1 :]], ctx)
            # the goal after a token that is not there is told from the token before it
            rows = [place - (place >= left_out) for place in range(len(inputs))]
            found = told[[max(row, 0) for row in rows]].gather(1, goals[:, None])[:, 0]
            if left_out == 0:
                found[0] = all_of(inputs[:1], ctx)[0, goals[0]]
            return found.cpu()

        side = Side.of_ids(self.tokenizer, inputs[len(begin) :], before=begin)
        outputs = self.tokenizer.tokens(ids[1:])
        return over_positions(
            [],
            side,
            run,
            outputs,
            lambda _, place: [place] if len(inputs) > 1 else [],  # something has to be read
            "taken out",
            output_positions=range(len(inputs)),
            causal=True,
            attention_sites=self.model.attention_sites,
            likeliest=lambda count: likeliest_tokens(all_of(inputs, PassContext()), self.tokenizer, count),
        )

    def read_out(self, residual_BTD: Tensor, /) -> Tensor:
        """The residual stream after any layer as logits of what comes next. Raises UsageError where there is none."""
        logits = self.model.read_out(residual_BTD)
        if logits is None:
            raise UsageError(
                f"{self.run.path}: the logit lens reads a residual stream, as a GPT's; this model has none"
            )
        return logits

    def _stopper(self, stop: Sequence[str]):
        if not stop:
            return None
        longest = max(len(one.encode()) for one in stop)

        def stops(ids: Sequence[int]) -> bool:
            # the newest token has brought the string about, so it lies in the last few; the first of them is read only
            ids = ids[-longest - 5 :]
            text = after(self.tokenizer, ids[:1], ids[1:])
            return any(one in text for one in stop)

        return stops

    def _record(self, prompt: str, read: Sequence[int], hypothesis: Hypothesis, stop: Sequence[str]) -> Generation:
        text = after(self.tokenizer, read[-NEAR:], hypothesis.tokens)
        cut = min((text.index(one) for one in stop if one in text), default=len(text))
        return Generation(
            prompt,
            text[:cut],
            tuple(self.tokenizer.tokens(hypothesis.tokens)),
            hypothesis.log_probability,
            hypothesis.token_log_probabilities,
            hypothesis.finished,
            note=self.prompt_note(read),
        )
