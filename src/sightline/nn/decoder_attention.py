"""How a recurrent decoder reads its source: a fixed context vector, Bahdanau's attention or Luong's.

Shapes: B batch rows, S source positions, T target positions, E embedding width, W hidden width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from sightline.nn.attention import Additive, Dot, General, ScaledDot, Score, attend
from sightline.nn.cells import HiddenState
from sightline.nn.context import PassContext
from sightline.nn.ops import Linear


class DecoderState(Protocol):
    """The parts of the decoder's state that attention reads."""

    @property
    def hidden(self) -> tuple[HiddenState, ...]: ...
    @property
    def summary_BW(self) -> Tensor: ...
    @property
    def attentional_BE(self) -> Tensor: ...
    @property
    def keys(self) -> Tensor: ...
    @property
    def values_BSW(self) -> Tensor: ...
    @property
    def source_mask_BS(self) -> Tensor: ...


class DecoderAttention(nn.Module, ABC):
    """What enters the cell beside the embedding, and the features made from the cell's output.

    Attributes:
        score: what prepares the keys. input_width: of what `extra_inputs` adds to the cell's input.
        parallel: no step's input depends on the step before it.
        attends: whether there is attention over the source.
    """

    attends = True

    def __init__(self, score: Score, input_width: int, *, parallel: bool) -> None:
        super().__init__()
        self.score, self.input_width, self.parallel = score, input_width, parallel

    @abstractmethod
    def extra_inputs(self, x_BTE: Tensor, state: DecoderState, ctx: PassContext) -> list[Tensor]:
        """What is concatenated to the embeddings (B, T, E) as the cell's input, each (B, T, ·)."""

    @abstractmethod
    def output_features(
        self, hidden_BTW: Tensor, x_BTE: Tensor, extra: list[Tensor], state: DecoderState, ctx: PassContext
    ) -> Tensor:
        """Features (B, T, E) for the vocabulary projection."""


def _attend(query_BTW: Tensor, state: DecoderState, score: Score, ctx: PassContext) -> Tensor:
    ctx = ctx.at("attention")
    ctx.record("queries", query_BTW)
    mask_B1S = state.source_mask_BS[:, None, :]
    return attend(query_BTW, state.keys, state.values_BSW, score, mask_B1S, ctx=ctx)


class FixedContext(DecoderAttention):
    """No attention: the source enters only through the decoder's first state (Sutskever et al. 2014).

    Where `previous_token`, the embedding of the last token enters the prediction too (Cho et al. 2014, appendix A).
    """

    attends = False

    def __init__(self, width: int, embedding_width: int, previous_token: bool = False, context_width: int = 0) -> None:
        super().__init__(Dot(), context_width, parallel=True)
        self.previous_token = previous_token
        read = width + context_width + (embedding_width if previous_token else 0)
        self.readout = Linear(read, embedding_width)

    def extra_inputs(self, x_BTE: Tensor, state: DecoderState, ctx: PassContext) -> list[Tensor]:
        return []

    def output_features(
        self, hidden_BTW: Tensor, x_BTE: Tensor, extra: list[Tensor], state: DecoderState, ctx: PassContext
    ) -> Tensor:
        token = [x_BTE] if self.previous_token else []
        return torch.tanh(self.readout(torch.cat([hidden_BTW, *extra, *token], -1)))


class FixedContextEveryStep(FixedContext):
    """No attention: the same summary of the source enters every step and every prediction (Cho et al. 2014)."""

    def __init__(self, width: int, embedding_width: int, previous_token: bool = False) -> None:
        super().__init__(width, embedding_width, previous_token, context_width=width)

    def extra_inputs(self, x_BTE: Tensor, state: DecoderState, ctx: PassContext) -> list[Tensor]:
        return [state.summary_BW[:, None].expand(-1, x_BTE.shape[1], -1)]


class BahdanauAttention(DecoderAttention):
    """The previous state is the query; the context enters cell and readout (Bahdanau et al. 2015, appendix A.2.2)."""

    def __init__(self, score: Score, width: int, embedding_width: int) -> None:
        super().__init__(score, width, parallel=False)
        self.readout = Linear(2 * width + embedding_width, embedding_width)

    def extra_inputs(self, x_BTE: Tensor, state: DecoderState, ctx: PassContext) -> list[Tensor]:
        return [_attend(state.hidden[-1][0][:, None], state, self.score, ctx.of(self))]

    def output_features(
        self, hidden_BTW: Tensor, x_BTE: Tensor, extra: list[Tensor], state: DecoderState, ctx: PassContext
    ) -> Tensor:
        return torch.tanh(self.readout(torch.cat([hidden_BTW, x_BTE, *extra], -1)))


class LuongAttention(DecoderAttention):
    """The new state is the query; h̃ = tanh(W [c; h]) predicts (Luong et al. 2015, eq. 5)."""

    def __init__(self, score: Score, width: int, embedding_width: int) -> None:
        super().__init__(score, 0, parallel=True)
        self.readout = Linear(2 * width, embedding_width)

    def extra_inputs(self, x_BTE: Tensor, state: DecoderState, ctx: PassContext) -> list[Tensor]:
        return []

    def output_features(
        self, hidden_BTW: Tensor, x_BTE: Tensor, extra: list[Tensor], state: DecoderState, ctx: PassContext
    ) -> Tensor:
        context_BTW = _attend(hidden_BTW, state, self.score, ctx.of(self))
        return torch.tanh(self.readout(torch.cat([context_BTW, hidden_BTW], -1)))


class LuongInputFeedingAttention(LuongAttention):
    """Luong's order with h̃ of the last step fed to the next one (Luong et al. 2015, section 3.3)."""

    def __init__(self, score: Score, width: int, embedding_width: int) -> None:
        super().__init__(score, width, embedding_width)
        self.input_width, self.parallel = embedding_width, False

    def extra_inputs(self, x_BTE: Tensor, state: DecoderState, ctx: PassContext) -> list[Tensor]:
        return [state.attentional_BE[:, None]]


SCORES: dict[str, Callable[[int], Score]] = {
    "dot": lambda width: Dot(),
    "scaled_dot": lambda width: ScaledDot(),
    "general": lambda width: General(width, width),
    "additive": lambda width: Additive(width, width, width),
}


def make_decoder_attention(
    attention: str,
    order: str,
    context: str,
    width: int,
    embedding_width: int,
    *,
    input_feeding: bool = True,
    previous_token: bool = False,
) -> DecoderAttention:
    """The decoder attention that a configuration names; see `sightline.models.seq2seq.Seq2SeqSizes` for the options."""
    if attention == "none":
        fixed = {"start": FixedContext, "every_step": FixedContextEveryStep}[context]
        return fixed(width, embedding_width, previous_token)
    luong = LuongInputFeedingAttention if input_feeding else LuongAttention
    made = {"bahdanau": BahdanauAttention, "luong": luong}[order]
    return made(SCORES[attention](width), width, embedding_width)
