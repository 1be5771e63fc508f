"""A fine-tuned classifier, ready for use: texts in, labels with their probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, overload

import numpy as np
import torch

from sightline.data.labelled import Examples, collate_examples, read_labelled
from sightline.data.text import normalize_text
from sightline.decode import log_probabilities
from sightline.decode.probabilities import softmax
from sightline.errors import UsageError
from sightline.nn.context import PassContext
from sightline.predict.brief import BriefRepr
from sightline.predict.predictor import Predictor
from sightline.predict.reading import Reading, Side, leaving_out, masking, over_positions, special_side
from sightline.sight import html
from sightline.tasks.classification.examples import encode_files, read_as_sequences
from sightline.tasks.classification.settings import ClassificationSettings
from sightline.tasks.classification.task import all_scores, make_model, to_scores


@dataclass(frozen=True, repr=False)
class Prediction(BriefRepr):
    """What a model says of one record.

    Attributes:
        texts: the record. label: the likeliest class, or, for a choice, the number of the likeliest text, as a string.
        probabilities: of every class, or of every text to choose from by its number; empty where numbers are predicted.
        value: the number that was predicted; None elsewhere.
    """

    texts: tuple[str, ...]
    label: str
    probabilities: dict[str, float]
    value: float | None = None

    @property
    def probability(self) -> float | None:
        """Of the label; None where numbers are predicted."""
        return self.probabilities.get(self.label)

    def _repr_html_(self) -> str:
        return html.prediction(self.label, self.probabilities, self.texts)


class Classifier(Predictor[ClassificationSettings]):
    """Labels texts with the weights of a run. See `Predictor` for the arguments."""

    schema = ClassificationSettings
    make_model = staticmethod(make_model)

    @property
    def input_count(self) -> int:
        """How many texts a record has."""
        return self.settings.texts

    @overload
    def predict(self, texts: str) -> Prediction: ...  # pyright: ignore[reportOverlappingOverload]

    @overload
    def predict(self, texts: Sequence[str | Sequence[str]]) -> list[Prediction]: ...

    def predict(self, texts: str | Sequence[str | Sequence[str]]) -> Prediction | list[Prediction]:
        """The label of each text, or of one; where a record has several (pairs, choices), each is a sequence of them.

        Longer texts than the model was trained on are cut. Raises UsageError for a record of too few or many texts.
        """
        if type(texts) is str:
            return self.predict([texts])[0]
        records = [tuple(map(normalize_text, [one] if type(one) is str else one)) for one in texts]
        for number, record in enumerate(records, 1):
            if len(record) != self.settings.texts:
                raise UsageError(f"record {number}: {len(record)} texts; the model reads {self.settings.texts}")
        if not records:
            return []
        read = [one for one, _ in read_as_sequences(self.settings, self.tokenizer, records)]
        examples = Examples([ids for one in read for ids in one], len(read[0]), np.zeros(len(read), dtype=np.int64))
        return [self._prediction(*pair) for pair in zip(records, self.scores(examples), strict=True)]

    def first_of(self, files: Any) -> list[Any]:
        """The first record of these files."""
        return list(next(read_labelled(files))[0])

    @torch.no_grad()
    def reading(self, *texts: str) -> Reading:
        """A record as the model reads it; its output is the label's log-probability, or the number that is predicted.

        Of several sequences (both orders of a pair, a context with each choice) the first one is looked at, of choices
        the one that is chosen.
        """
        if len(texts) != self.settings.texts:
            raise UsageError(f"{len(texts)} texts; the model reads {self.settings.texts}")
        (sequences,) = [
            one for one, _ in read_as_sequences(self.settings, self.tokenizer, [tuple(map(normalize_text, texts))])
        ]
        each, size = len(sequences), self.tokenizer.vocab_size
        bert = self.settings.model.kind == "bert"

        def pooled(sequences: Sequence[list[int]], ctx: PassContext) -> torch.Tensor:
            examples = Examples(sequences, len(sequences), np.zeros(1, dtype=np.int64))
            batch = collate_examples(examples, np.arange(1)).to(self.model.device)
            return self.model.read(batch.tokens_NT, batch.real_NT, ctx=ctx)[1]

        def all_of(sequences: Sequence[list[int]], ctx: PassContext) -> torch.Tensor:
            # what is recorded is the first alone, as long as it is and not as the longest
            pooled_ND = pooled(sequences[:1], ctx)
            if each > 1:
                pooled_ND = torch.cat([pooled_ND, pooled(sequences[1:], replace(ctx, recorder=None))])
            if self.settings.data.form == "similarity":
                pooled_ND = pooled_ND.sum(0, keepdim=True)
            found = to_scores(self.settings, self.model.outputs(pooled_ND), each)[0]
            return found if self.settings.data.numbers else log_probabilities(found)

        best = int(all_of(sequences, PassContext()).argmax())
        if self.settings.data.form == "choice":
            sequences, best = [sequences[best], *sequences[:best], *sequences[best + 1 :]], 0
        first = sequences[0]

        def run(ids: list[int], ctx: PassContext) -> torch.Tensor:
            return all_of([ids, *sequences[1:]], ctx)[best : best + 1].cpu()

        if bert:
            side = special_side(self.tokenizer, first)
            change, taken = masking((self.tokenizer.bos_id, self.tokenizer.eos_id), size), "masked"
        else:
            names = {size: "<start>", size + 1: "<delimiter>", size + 2: "<extract>"}
            tokens = [names[one] if one in names else self.tokenizer.tokens([one])[0] for one in first]
            side, taken = Side.of(tokens), "taken out"
            change = leaving_out(size)

        labels = self.settings.data.labels
        output = "value" if self.settings.data.numbers else labels[best] if labels else "chosen"
        unit = "" if self.settings.data.numbers else "nats"
        # a GPT's head reads the extract token, a BERT's the class token
        place = 0 if bert else len(first) - 1
        return over_positions(
            first,
            side,
            run,
            [output],
            change,
            taken,
            output_positions=[place],
            unit=unit,
            attention_sites=self.model.attention_sites,
        )

    def scores(self, examples: Examples) -> torch.Tensor:
        """(examples, C) in fp32: logits of the classes or choices, or one number."""
        return all_scores(self.settings, self.model, examples)

    def validation(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The scores (N, C) of the run's validation records, and their classes (N)."""
        files: Any = self.settings.data.validation
        examples = encode_files(self.settings, self.tokenizer, files)
        return self.scores(examples), torch.from_numpy(examples.targets)

    def _prediction(self, record: tuple[str, ...], scores_C: torch.Tensor) -> Prediction:
        if self.settings.data.numbers:
            value = float(scores_C[0])
            return Prediction(record, f"{value:.4f}", {}, value)
        names = self.settings.data.labels or [str(number) for number in range(len(scores_C))]
        values = cast("list[float]", softmax(scores_C).tolist())
        probabilities = dict(zip(names, values, strict=True))
        return Prediction(record, max(probabilities, key=lambda name: probabilities[name]), probabilities)
