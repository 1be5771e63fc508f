"""How the source reaches a recurrent decoder: a fixed context, Bahdanau's attention or Luong's.

Shapes: B rows, S source positions, T target positions, E embedding width, W hidden width.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from sightline.nn.attention import Additive, Dot, General, ScaledDot, Score, attend
from sightline.nn.forward import Forward
from sightline.nn.ops import Linear
from sightline.nn.recurrent import Hidden


class Source(Protocol):
    """What a wiring reads of the decoder's state."""

    @property
    def hidden(self) -> tuple[Hidden, ...]: ...
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


class Wiring(Protocol):
    """What enters the cell beside the embedding, and what is made of the cell's output."""

    score: Score
    input_width: int  # of what `before` adds to the cell's input
    parallel: bool  # no step's input depends on the step before it

    def before(self, x_BTE: Tensor, state: Source, forward: Forward) -> list[Tensor]:
        """What is concatenated to the embeddings (B, T, E) as the cell's input, each (B, T, ·)."""
        ...

    def after(self, hidden_BTW: Tensor, x_BTE: Tensor, extra: list[Tensor], state: Source, forward: Forward) -> Tensor:
        """Features (B, T, E) for the vocabulary projection."""
        ...


def _attend(query_BTW: Tensor, state: Source, score: Score, forward: Forward) -> Tensor:
    forward = forward.at("attention")
    forward.record("queries", query_BTW)
    mask_B1S = state.source_mask_BS[:, None, :]
    return attend(query_BTW, state.keys, state.values_BSW, score, mask_B1S, forward=forward)


class FixedStart(nn.Module):
    """No attention: the source speaks only through the decoder's first state (Sutskever et al. 2014)."""

    input_width, parallel = 0, True

    def __init__(self, width: int, embedding_width: int) -> None:
        super().__init__()
        self.score = Dot()  # unused; preparing the keys costs nothing
        self.readout = Linear(width, embedding_width)

    def before(self, x_BTE: Tensor, state: Source, forward: Forward) -> list[Tensor]:
        return []

    def after(self, hidden_BTW: Tensor, x_BTE: Tensor, extra: list[Tensor], state: Source, forward: Forward) -> Tensor:
        return torch.tanh(self.readout(torch.cat([hidden_BTW, *extra], -1)))


class FixedEveryStep(FixedStart):
    """No attention: the same summary of the source enters every step and every prediction (Cho et al. 2014)."""

    def __init__(self, width: int, embedding_width: int) -> None:
        super().__init__(width, embedding_width)
        self.input_width = width
        self.readout = Linear(2 * width, embedding_width)

    def before(self, x_BTE: Tensor, state: Source, forward: Forward) -> list[Tensor]:
        return [state.summary_BW[:, None].expand(-1, x_BTE.shape[1], -1)]


class Bahdanau(nn.Module):
    """The previous state asks; the context enters the cell and the readout (Bahdanau et al. 2015, appendix A.2.2)."""

    parallel = False

    def __init__(self, score: Score, width: int, embedding_width: int) -> None:
        super().__init__()
        self.score, self.input_width = score, width
        self.readout = Linear(2 * width + embedding_width, embedding_width)

    def before(self, x_BTE: Tensor, state: Source, forward: Forward) -> list[Tensor]:
        return [_attend(state.hidden[-1][0][:, None], state, self.score, forward)]

    def after(self, hidden_BTW: Tensor, x_BTE: Tensor, extra: list[Tensor], state: Source, forward: Forward) -> Tensor:
        return torch.tanh(self.readout(torch.cat([hidden_BTW, x_BTE, *extra], -1)))


class Luong(nn.Module):
    """The new state asks; h̃ = tanh(W [c; h]) predicts (Luong et al. 2015, eq. 5)."""

    input_width, parallel = 0, True

    def __init__(self, score: Score, width: int, embedding_width: int) -> None:
        super().__init__()
        self.score = score
        self.readout = Linear(2 * width, embedding_width)

    def before(self, x_BTE: Tensor, state: Source, forward: Forward) -> list[Tensor]:
        return []

    def after(self, hidden_BTW: Tensor, x_BTE: Tensor, extra: list[Tensor], state: Source, forward: Forward) -> Tensor:
        context_BTW = _attend(hidden_BTW, state, self.score, forward)
        return torch.tanh(self.readout(torch.cat([context_BTW, hidden_BTW], -1)))


class LuongInputFeeding(Luong):
    """Luong's order with h̃ of the last step fed to the next one (Luong et al. 2015, section 3.3)."""

    parallel = False

    def __init__(self, score: Score, width: int, embedding_width: int) -> None:
        super().__init__(score, width, embedding_width)
        self.input_width = embedding_width

    def before(self, x_BTE: Tensor, state: Source, forward: Forward) -> list[Tensor]:
        return [state.attentional_BE[:, None]]


SCORES = {
    "dot": lambda width: Dot(),
    "scaled_dot": lambda width: ScaledDot(),
    "general": lambda width: General(width, width),
    "additive": lambda width: Additive(width, width, width),
}


def make_wiring(
    attention: str, order: str, input_feeding: bool, context: str, width: int, embedding_width: int
) -> Wiring:
    """The wiring a configuration names; see `sightline.models.seq2seq.Seq2SeqSizes` for the words."""
    if attention == "none":
        return {"start": FixedStart, "every_step": FixedEveryStep}[context](width, embedding_width)
    luong = LuongInputFeeding if input_feeding else Luong
    return {"bahdanau": Bahdanau, "luong": luong}[order](SCORES[attention](width), width, embedding_width)
