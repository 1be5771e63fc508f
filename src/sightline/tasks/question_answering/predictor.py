"""A fine-tuned answerer of questions, ready for use: a question and a text in, the answer's place in the text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sightline.data.questions import read_questions
from sightline.data.text import normalize_text
from sightline.nn.context import PassContext
from sightline.predict.brief import BriefRepr
from sightline.predict.predictor import Predictor
from sightline.predict.reading import Reading, masking, over_positions, special_side
from sightline.tasks.question_answering.settings import QuestionSettings
from sightline.tasks.question_answering.spans import Found, answerable, answers, inputs_of
from sightline.tasks.question_answering.task import make_model
from sightline.tasks.tokens import token_logits


@dataclass(frozen=True, repr=False)
class Answer(BriefRepr):
    """What a text says to a question: its characters `start` … `end` - 1 are `text`; empty where it says nothing.

    `probability` is that of this stretch among all that the model may answer with.
    """

    question: str
    text: str
    start: int
    end: int
    probability: float


class QuestionAnswerer(Predictor[QuestionSettings]):
    """Answers questions from texts with the weights of a run. See `Predictor` for the arguments."""

    schema = QuestionSettings
    make_model = staticmethod(make_model)

    @property
    def input_count(self) -> int:
        """A question and a text."""
        return 2

    def answer(self, questions: Sequence[str] | str, context: str) -> list[Answer] | Answer:
        """The answer to each question, or to one, in a text; it may be of any length and is read in windows."""
        if type(questions) is str:
            return self.answer_each([(questions, context)])[0]
        return self.answer_each([(one, context) for one in questions])

    def answer_each(self, asked: Sequence[tuple[str, str]]) -> list[Answer]:
        """The answer to each (question, text)."""
        asked = [(normalize_text(question), normalize_text(context)) for question, context in asked]
        inputs = inputs_of(self.settings, self.tokenizer, asked)
        found = answers(self.settings, inputs, token_logits(self.settings, self.model, inputs.sequences))
        return [self._answer(*pair, one) for pair, one in zip(asked, found, strict=True)]

    def first_of(self, files: Any) -> list[Any]:
        """The first question of these files."""
        one = next(read_questions(files))
        return [one.question, one.context]

    @torch.no_grad()
    def reading(self, question: str, context: str) -> Reading:
        """A question and the window of a text that answers it as the model reads them.

        Its outputs are the log-probabilities of where the answer begins and ends; [CLS] where there is none.
        """
        inputs = inputs_of(self.settings, self.tokenizer, [(normalize_text(question), normalize_text(context))])
        logits = token_logits(self.settings, self.model, inputs.sequences)
        (found,) = answers(self.settings, inputs, logits)
        ids = inputs.sequences[found.row]

        def all_of(ids: Sequence[int], ctx: PassContext) -> torch.Tensor:
            tokens_1T = torch.tensor([ids], device=self.model.device)
            real_1T = torch.ones_like(tokens_1T, dtype=torch.bool)
            logits_T2 = self.model(tokens_1T, real_1T, ctx=ctx)[0].float()
            return logits_T2.masked_fill(~answerable(tokens_1T, real_1T)[0, :, None], -torch.inf).log_softmax(0).cpu()

        best_12 = torch.tensor([found.tokens])
        side, size = special_side(self.tokenizer, ids), self.tokenizer.vocab_size
        return over_positions(
            ids,
            side,
            lambda ids, ctx: all_of(ids, ctx).gather(0, best_12)[0],
            [f"{name} at {side.tokens[place]}" for name, place in zip(("begins", "ends"), found.tokens, strict=True)],
            masking((self.tokenizer.bos_id, self.tokenizer.eos_id), size),
            "masked",
            output_positions=found.tokens,
            attention_sites=self.model.attention_sites,
        )

    def _answer(self, question: str, context: str, one: Found) -> Answer:
        # tokens of a byte-level kind begin with the space before them
        text = context[one.start : one.end]
        start = one.start + len(text) - len(text.lstrip())
        return Answer(question, text.strip(), start, start + len(text.strip()), one.probability)
