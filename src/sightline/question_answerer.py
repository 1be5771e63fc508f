"""A fine-tuned answerer of questions, ready for use: a question and a text in, the answer's place in the text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline.data.text import given
from sightline.ready import Ready
from sightline.tasks.question_answering import QuestionSettings, answers, inputs_of, make_model
from sightline.tasks.tokens import token_logits


@dataclass(frozen=True)
class Answer:
    """What a text says to a question: its characters `start` … `end` - 1 are `text`; empty where it says nothing.

    `probability` is that of this stretch among all that the model may answer with.
    """

    question: str
    text: str
    start: int
    end: int
    probability: float


class QuestionAnswerer(Ready[QuestionSettings]):
    """Answers questions from texts with the weights of a run. See `Ready` for the arguments."""

    schema = QuestionSettings
    make_model = staticmethod(make_model)

    def answer(self, questions: Sequence[str] | str, context: str) -> list[Answer] | Answer:
        """The answer to each question, or to one, in a text; it may be of any length and is read in windows."""
        if type(questions) is str:
            return self.answer_each([(questions, context)])[0]
        return self.answer_each([(one, context) for one in questions])

    def answer_each(self, asked: Sequence[tuple[str, str]]) -> list[Answer]:
        """The answer to each (question, text)."""
        asked = [(given(question), given(context)) for question, context in asked]
        inputs = inputs_of(self.settings, self.tokenizer, asked)
        found = answers(self.settings, inputs, token_logits(self.settings, self.model, inputs.sequences))
        return [self._answer(*pair, one) for pair, one in zip(asked, found, strict=True)]

    def _answer(self, question: str, context: str, one) -> Answer:
        # tokens of a byte-level kind begin with the space before them
        text = context[one.start : one.end]
        start = one.start + len(text) - len(text.lstrip())
        return Answer(question, text.strip(), start, start + len(text.strip()), one.probability)
