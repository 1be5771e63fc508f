"""What a search is told, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sightline.errors import UsageError


class SearchOptions(BaseModel):
    """How hypotheses are searched for."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    strategy: Literal["beam", "sample"] = Field("beam", description="beam search, or sampling from the model")
    beam: int = Field(5, ge=1, description="beam width; 1 is greedy")
    n_best: int = Field(1, ge=1, description="hypotheses returned per sentence, at most the beam when searching")
    length_penalty: Literal["none", "average", "gnmt"] = Field(
        "average", description="what the log-probability is divided by: 1, length^alpha, or ((5 + length) / 6)^alpha"
    )
    alpha: float = Field(1.0, ge=0, description="exponent of the length penalty")
    coverage_beta: float = Field(0.0, ge=0, description="weight of the coverage penalty of Wu et al. 2016, eq. 14")
    max_length_factor: float = Field(2.0, ge=0, description="longest output: factor * source tokens + offset")
    max_length_offset: int = Field(20, ge=1, description="see max_length_factor")
    temperature: float = Field(
        1.0, ge=0, description="of sampling: logits are divided by it; at 0 the likeliest token is taken"
    )
    top_k: int = Field(0, ge=0, description="sample among the k likeliest tokens; 0 among all")
    top_p: float = Field(1.0, gt=0, le=1, description="sample among the likeliest tokens that hold this much")
    min_p: float = Field(0.0, ge=0, lt=1, description="sample among tokens with this share of the likeliest's")
    repetition_penalty: float = Field(
        1.0, ge=1, description="logits of tokens read or written before are divided by it, or multiplied where negative"
    )
    seed: int = Field(1, ge=0, description="of sampling")

    def with_changes(self, **changes: object) -> SearchOptions:
        """The same options with some changed and checked again; n_best widens a narrower beam.

        Raises:
            UsageError: naming the option that is out of range.
        """
        values: dict[str, object] = {**self.model_dump(), **changes}
        beam, n_best = values["beam"], values["n_best"]
        if isinstance(beam, int) and isinstance(n_best, int) and 1 <= beam < n_best:
            values["beam"] = n_best
        try:
            return SearchOptions.model_validate(values)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            raise UsageError(f"{problem['loc'][0]}: {problem['msg'].lower()}, not {problem['input']!r}") from None

    @property
    def num_hypotheses(self) -> int:
        """How many hypotheses of a request are extended side by side."""
        return self.n_best if self.strategy == "sample" else self.beam

    def penalty(self, length: int) -> float:
        """What ln p of a hypothesis of `length` tokens, end of sentence included, is divided by."""
        if self.length_penalty == "none":
            return 1.0
        base = length if self.length_penalty == "average" else (5 + length) / 6
        return base**self.alpha

    def max_length(self, source_length: int) -> int:
        """The longest output in tokens, end of sentence included."""
        return int(self.max_length_factor * source_length) + self.max_length_offset


@dataclass(frozen=True)
class Hypothesis:
    """One output: tokens without specials, and how probable it is.

    Attributes:
        score: what the search ranks by. log_probability: ln p, the sum of `token_log_probabilities`.
        token_log_probabilities: of each token, end of sentence last where `finished`.
        finished: False where the length limit ended it.
    """

    tokens: tuple[int, ...]
    score: float
    log_probability: float
    token_log_probabilities: tuple[float, ...]
    finished: bool
