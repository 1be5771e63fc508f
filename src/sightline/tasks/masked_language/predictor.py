"""A pretrained BERT, ready for use: blanks are filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from sightline.data.text import normalize_text
from sightline.decode import log_probabilities
from sightline.decode.probabilities import softmax
from sightline.errors import UsageError
from sightline.nn.context import PassContext
from sightline.predict.brief import BriefRepr
from sightline.predict.predictor import Predictor
from sightline.predict.reading import Reading, masking, over_positions, special_side
from sightline.special_tokens import CLS_ID, SEP_ID
from sightline.tasks.masked_language.settings import MASK, MaskedLanguageSettings
from sightline.tasks.masked_language.task import make_model


@dataclass(frozen=True, repr=False)
class Candidate(BriefRepr):
    """A token that may stand in a blank.

    Attributes:
        token: the piece. text: the whole text with this token in this blank, the other blanks left.
    """

    token: str
    probability: float
    text: str


@dataclass(frozen=True, repr=False)
class Filled(BriefRepr):
    """What may stand in the blanks of one text: for each blank, in order, its candidates, the likeliest first.

    Attributes:
        best: the text with the likeliest token in every blank. unknown: how many tokens of the text the vocabulary has
            not.
    """

    text: str
    best: str
    blanks: tuple[tuple[Candidate, ...], ...]
    unknown: int


class MaskedLanguageModel(Predictor[MaskedLanguageSettings]):
    """Fills in blanks with the weights of a run. See `Predictor` for the arguments."""

    schema = MaskedLanguageSettings
    make_model = staticmethod(make_model)

    def _load(self, precision: str, device: str, update: int | None) -> Any:
        if self.settings.encoder_only:
            raise UsageError(
                f"{self.run.path}: an encoder without a head fills in nothing; fine-tune it, or go on pretraining it: "
                f"sightline init my.toml --task masked_language --pretrained {self.run.path}"
            )
        return super()._load(precision, device, update)

    @torch.inference_mode()
    def fill(self, text: str, *, top: int = 5) -> Filled:
        """The `top` likeliest tokens for every [MASK] of a text, each blank looked at on its own.

        Specials are never proposed. Raises UsageError for a text without a
        blank, or longer than the model reads, and for a `top` below 1.
        """
        if top < 1:
            raise UsageError(f"top: must be at least 1, not {top}")
        parts = normalize_text(text).split(MASK)
        if len(parts) < 2:
            raise UsageError(f'fill: no {MASK} in "{text}"; write one where a word is missing')
        ids = self._ids(parts)
        most = self.settings.model.max_length
        if len(ids) > most:
            raise UsageError(f"fill: {len(ids)} tokens; the model reads {most} at most")
        tokens_1T = torch.tensor([ids], device=self.model.output_weight.device)
        places = (tokens_1T[0] == self.tokenizer.vocab_size).nonzero()[:, 0]
        features_1TD = self.model.encode(tokens_1T)
        logits_NV = self._candidates(features_1TD[0, places])
        best_NK = softmax(logits_NV).topk(min(top, logits_NV.shape[1] - len(self._specials)))
        blanks: list[tuple[Candidate, ...]] = []
        values = cast("list[list[float]]", best_NK.values.tolist())
        indices = cast("list[list[int]]", best_NK.indices.tolist())
        for number, (probabilities, found) in enumerate(zip(values, indices, strict=True)):
            candidates = (
                Candidate(self.tokenizer.tokens([one])[0], probability, self._joined(parts, {number: one}))
                for one, probability in zip(found, probabilities, strict=True)
            )
            blanks.append(tuple(candidates))
        winners = {number: found[0] for number, found in enumerate(indices)}
        unknown = ids.count(self.tokenizer.unk_id) if self.tokenizer.unk_id is not None else 0
        return Filled(text, self._joined(parts, winners), tuple(blanks), unknown)

    def first_of(self, files: Any) -> list[Any]:
        """The first sentence of these files with its middle word missing."""
        words = next(files.read_documents())[0].split()
        words[len(words) // 2] = MASK
        return [" ".join(words)]

    @torch.no_grad()
    def reading(self, text: str) -> Reading:
        """A text as the model reads it; its outputs are the likeliest tokens in its blanks, where it has any."""
        parts, mask_id = normalize_text(text).split(MASK), self.tokenizer.vocab_size
        ids = self._ids(parts)
        if len(ids) > self.settings.model.max_length:
            raise UsageError(f"text: {len(ids)} tokens; the model reads {self.settings.model.max_length} at most")
        places = [place for place, one in enumerate(ids) if one == mask_id]

        def all_of(ids: Sequence[int], ctx: PassContext) -> torch.Tensor:
            features_1TD = self.model.encode(torch.tensor([ids], device=self.model.device), ctx=ctx)
            return log_probabilities(self._candidates(features_1TD[0, places]))

        best = all_of(ids, PassContext()).argmax(1, keepdim=True)

        def run(ids: Sequence[int], ctx: PassContext) -> torch.Tensor:
            return all_of(ids, ctx).gather(1, best)[:, 0].cpu()

        side = special_side(self.tokenizer, ids)
        likeliest = cast("list[int]", best[:, 0].tolist())
        outputs = self.tokenizer.tokens(likeliest)
        change = masking((CLS_ID, SEP_ID, mask_id), mask_id)
        return over_positions(
            ids,
            side,
            run,
            outputs,
            change,
            "masked",
            output_positions=places,
            attention_sites=self.model.attention_sites,
        )

    def read_out(self, residual_xD: torch.Tensor, /) -> torch.Tensor:
        """The residual stream after any layer as logits in fp32 of what may stand in a blank."""
        norm = self.model.bert.norm
        return self._candidates(residual_xD if norm is None else norm(residual_xD))

    def _candidates(self, features_xD: torch.Tensor) -> torch.Tensor:
        logits_xV = self.model.project(self.model.transform_masked(features_xD)).float()
        logits_xV[..., self._specials] = -torch.inf
        return logits_xV

    @property
    def _specials(self) -> list[int]:
        """What stands in no blank."""
        return sorted({*range(SEP_ID + 1), self.tokenizer.vocab_size, self.tokenizer.unk_id or 0})

    def _ids(self, parts: Sequence[str]) -> list[int]:
        """[CLS], the parts with [MASK] between them, [SEP]. A space before a blank belongs to what is missing."""
        ids = [CLS_ID]
        for number, part in enumerate(parts):
            if number:
                ids.append(self.tokenizer.vocab_size)
            ids += self.tokenizer.encode(part.rstrip(" ") if number + 1 < len(parts) else part)
        return [*ids, SEP_ID]

    def _joined(self, parts: Sequence[str], fillings: dict[int, int]) -> str:
        text = parts[0]
        for number, part in enumerate(parts[1:]):
            word = self.tokenizer.decode([fillings[number]]).strip() if number in fillings else MASK
            # a piece inside a word is joined to what stands before it
            if number in fillings and self.tokenizer.tokens([fillings[number]])[0].startswith("##"):
                text, word = text.rstrip(" "), word.removeprefix("##")
            text += word + part
        # a letter of a syllable joins those around it
        return normalize_text(text)
