"""Recurrent layers and encoders over the cells of `sightline.nn.cells`, and the options that models share.

Shapes: B rows, T positions, I input width, W hidden width. Weights stack the gates along their first axis in
PyTorch's order, so that they can be exchanged with `torch.nn.RNN`, `LSTM` and `GRU` unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sightline.nn.cells import Cell, HiddenState
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.modules import ModuleList
from sightline.nn.ops import linear


@dataclass(frozen=True)
class Initialization:
    """How the weights of a recurrent layer begin.

    Attributes:
        recurrent: the matrix U from state to state, gate by gate: uniform in ±1 / √W; orthogonal (Saxe et al. 2014); or
            the identity (Le et al. 2015). gain: what U is multiplied by then.
        forget_bias: of an LSTM's forget gate, so that it begins by remembering (Gers et al. 2000; Jozefowicz et al.
            2015, section 3.1).
    """

    recurrent: Literal["uniform", "orthogonal", "identity"] = "uniform"
    gain: float = 1.0
    forget_bias: float = 0.0


class RecurrentOptions(BaseModel, frozen=True, extra="forbid"):
    """The options that recurrent models share."""

    cell: Literal["rnn", "gru", "lstm"] = Field("gru", description="recurrent cell")
    nonlinearity: Literal["tanh", "relu", "sigmoid"] = Field("tanh", description="of the rnn cell")
    forget_bias: float = Field(1.0, description="lstm only: what the biases of forget gates begin at")
    recurrent_init: Literal["uniform", "orthogonal", "identity"] = Field(
        "uniform", description="how the matrices from state to state begin, gate by gate"
    )
    recurrent_gain: float = Field(1.0, ge=0, description="what those matrices are multiplied by at the beginning")

    @property
    def initialization(self) -> Initialization:
        """How the weights of recurrent layers begin."""
        return Initialization(self.recurrent_init, self.recurrent_gain, self.forget_bias)


class RecurrentLayer(nn.Module):
    """One layer of a recurrent network in one direction.

    `weight_dropout` is the rate at which a training pass leaves out entries of the matrix from state to state, the
    same ones at every position (Merity et al. 2018, section 2).
    """

    def __init__(
        self,
        cell: Cell,
        input_width: int,
        width: int,
        weight_dropout: float = 0.0,
        initialization: Initialization | None = None,
    ) -> None:
        super().__init__()
        self.cell, self.width, self.weight_dropout = cell, width, weight_dropout
        # recording any of them makes the equations run instead of the fused kernel
        self.internals = ("hidden_state", *cell.internals)
        bound = 1.0 / math.sqrt(width)
        self.weight_input = nn.Parameter(torch.empty(cell.gates * width, input_width).uniform_(-bound, bound))
        self.weight_hidden = nn.Parameter(torch.empty(cell.gates * width, width).uniform_(-bound, bound))
        self.bias_input = nn.Parameter(torch.zeros(cell.gates * width))
        self.bias_hidden = nn.Parameter(torch.zeros(cell.gates * width))
        self._initialize(initialization or Initialization())

    @torch.no_grad()
    def _initialize(self, how: Initialization) -> None:
        for gate in torch.split(self.weight_hidden, self.width):
            if how.recurrent == "orthogonal":
                nn.init.orthogonal_(gate)
            elif how.recurrent == "identity":
                nn.init.eye_(gate)
        if how.gain != 1.0:
            self.weight_hidden.mul_(how.gain)
        if self.cell.forget_gate is not None:
            # of the two biases that are added, one is enough
            self.bias_input.view(self.cell.gates, self.width)[self.cell.forget_gate] = how.forget_bias

    @property
    def weights(self) -> list[nn.Parameter]:
        """W, U, b and c, as `torch.nn.RNN` and its like order them."""
        return [self.weight_input, self.weight_hidden, self.bias_input, self.bias_hidden]

    def _dropped(self, ctx: PassContext) -> list[Tensor]:
        """The weights of this pass: in training without some entries of U."""
        hidden = ctx.dropout(self.weight_hidden, self.weight_dropout)
        return [self.weight_input, hidden, self.bias_input, self.bias_hidden]

    def extra_repr(self) -> str:
        cell, inputs = type(self.cell).__name__, self.weight_input.shape[1]
        return f"{cell}, {inputs}, {self.width}, weight_dropout={self.weight_dropout:g}"

    def start(self, like: Tensor) -> HiddenState:
        """The zero state for the rows of `like` (B, …)."""
        return tuple(like.new_zeros(like.shape[0], self.width) for _ in range(self.cell.states))

    def step(self, x_BI: Tensor, state: HiddenState, ctx: PassContext = INFERENCE) -> HiddenState:
        """One step: the new state, whose first part is the output."""
        ctx = ctx.of(self)
        weights = self._dropped(ctx)
        if not ctx.wants(*self.internals):
            return self.cell.step(x_BI, state, weights)
        return self._equations(linear(x_BI, weights[0], weights[2]), state, weights, ctx)

    def _equations(self, input_BG: Tensor, state: HiddenState, weights: list[Tensor], ctx: PassContext) -> HiddenState:
        state = self.cell.equations(input_BG, linear(state[0], weights[1], weights[3]), state, ctx)
        ctx.record("hidden_state", state[0])
        if self.cell.states == 2:
            ctx.record("cell_state", state[1])
        return state

    def forward(
        self, x_BTI: Tensor, state: HiddenState, lengths_B: Tensor | None = None, ctx: PassContext = INFERENCE
    ) -> tuple[Tensor, HiddenState]:
        """All steps: outputs (B, T, W) and each row's state after its last real position.

        The fused kernel runs unless an internal is to be recorded; then the equations do, on the same weights.

        Args:
            lengths_B: how many positions of each row are real; all by default. Outputs at padding mean nothing.
        """
        ctx = ctx.of(self)
        weights = self._dropped(ctx)
        if ctx.wants(*self.internals):
            return self._slow(x_BTI, state, lengths_B, weights, ctx)
        if x_BTI.shape[1] == 1 and lengths_B is None and x_BTI.device.type != "cpu":
            state = self.cell.step(x_BTI[:, 0], state, weights)  # a whole layer's kernel would copy all weights first
            return state[0][:, None], state
        if lengths_B is None or bool((lengths_B == x_BTI.shape[1]).all()):
            return self.cell.layer(x_BTI, state, weights)
        packed = pack_padded_sequence(x_BTI, lengths_B.cpu(), batch_first=True, enforce_sorted=False)
        assert packed.sorted_indices is not None
        assert packed.unsorted_indices is not None
        sorted_state = tuple(part[packed.sorted_indices] for part in state)
        output, last = self.cell.packed(packed, sorted_state, weights)
        output_BTW, _ = pad_packed_sequence(packed._replace(data=output), batch_first=True, total_length=x_BTI.shape[1])
        return output_BTW, tuple(part[packed.unsorted_indices] for part in last)

    def _slow(
        self, x_BTI: Tensor, state: HiddenState, lengths_B: Tensor | None, weights: list[Tensor], ctx: PassContext
    ) -> tuple[Tensor, HiddenState]:
        outputs: list[Tensor] = []
        for position, input_BG in enumerate(linear(x_BTI, weights[0], weights[2]).unbind(1)):
            after = self._equations(input_BG, state, weights, ctx)
            if lengths_B is not None:  # a row that has ended keeps its state
                going = (position < lengths_B)[:, None]
                after = tuple(torch.where(going, new, old) for new, old in zip(after, state, strict=True))
            state = after
            outputs.append(state[0])
        return torch.stack(outputs, 1), state


def reverse_real(x_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """Each row with its first `length` positions in reverse order and its padding left in place; (B, T, …)."""
    position = torch.arange(x_BT.shape[1], device=x_BT.device)[None, :]
    lengths = lengths_B[:, None]
    index = torch.where(position < lengths, lengths - 1 - position, position)
    return x_BT[torch.arange(x_BT.shape[0], device=x_BT.device)[:, None], index]


class RecurrentEncoder(nn.Module):
    """Recurrent layers over a source, one- or two-way (Schuster & Paliwal 1997).

    Args:
        width: of the outputs; each of two directions has half of it.
        directions: 1 or 2.
        dropout: rate between layers.
    """

    def __init__(
        self,
        cell: Cell,
        input_width: int,
        width: int,
        num_layers: int,
        directions: int,
        dropout: float,
        initialization: Initialization | None = None,
    ) -> None:
        super().__init__()
        if width % directions:
            raise ValueError(f"width {width} must be even for a two-way encoder")
        self.dropout, each = dropout, width // directions
        inputs = [input_width] + [width] * (num_layers - 1)
        layers: list[ModuleList[RecurrentLayer]] = [
            ModuleList(RecurrentLayer(cell, inner, each, initialization=initialization) for _ in range(directions))
            for inner in inputs
        ]
        self.layers: ModuleList[ModuleList[RecurrentLayer]] = ModuleList(layers)

    def forward(
        self, x_BSI: Tensor, lengths_B: Tensor, ctx: PassContext = INFERENCE
    ) -> tuple[Tensor, list[HiddenState]]:
        """Outputs (B, S, W) and each layer's last state, its directions side by side (B, W)."""
        ctx = ctx.of(self)
        finals: list[HiddenState] = []
        for number, directions in enumerate(self.layers):
            x_BSI = x_BSI if number == 0 else ctx.dropout(x_BSI, self.dropout)
            outputs: list[Tensor] = []
            states: list[HiddenState] = []
            for way, layer in zip(("forwards", "backwards"), directions, strict=False):
                turned = x_BSI if way == "forwards" else reverse_real(x_BSI, lengths_B)
                output, state = layer(turned, layer.start(x_BSI), lengths_B, ctx.at(number).at(way))
                outputs.append(output if way == "forwards" else reverse_real(output, lengths_B))
                states.append(state)
            x_BSI = torch.cat(outputs, -1)
            finals.append(tuple(torch.cat(parts, -1) for parts in zip(*states, strict=True)))
        return x_BSI, finals
