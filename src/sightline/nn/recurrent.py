"""Recurrent cells as readable equations, and whole layers through PyTorch's fused kernels on the same weights.

Shapes: B rows, T positions, I input width, W hidden width. Weights stack the gates along their first axis in
PyTorch's order, so that they can be exchanged with `torch.nn.RNN`, `LSTM` and `GRU` unchanged.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.modules import ModuleList
from sightline.nn.ops import linear

# cuDNN copies the weights of each call together, since they are parameters of their own here: that is known
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")

HiddenState = tuple[Tensor, ...]  # (hidden state,) or (hidden state, cell state), each (B, W)


class Cell(Protocol):
    """One kind of recurrent cell: its equations and the fused kernels that compute the same."""

    @property
    def gates(self) -> int:
        """Blocks of rows in the weights."""
        ...

    @property
    def states(self) -> int:
        """1: hidden state; 2: hidden and cell state."""
        ...

    @property
    def forget_gate(self) -> int | None:
        """Which block of rows is the forget gate's, where there is one."""
        ...

    def equations(self, input_BG: Tensor, hidden_BG: Tensor, state: HiddenState, ctx: PassContext) -> HiddenState:
        """One step from the two affine maps W x + b and U h + c, both (B, gates · W), and the last state."""
        ...

    def step(self, x_BI: Tensor, state: HiddenState, weights: list[Tensor]) -> HiddenState:
        """One step by the fused kernel; weights are W (GW, I), U (GW, W), b (GW,), c (GW,)."""
        ...

    def layer(self, x_BTI: Tensor, state: HiddenState, weights: list[Tensor]) -> tuple[Tensor, HiddenState]:
        """All steps by the fused kernel: outputs (B, T, W) and the last state."""
        ...

    def packed(self, packed: PackedSequence, state: HiddenState, weights: list[Tensor]) -> tuple[Tensor, HiddenState]:
        """The same over rows of different lengths, packed: outputs (sum of lengths, W) and each row's last state."""
        ...


def _with_backward() -> bool:
    """Whether the fused kernels must keep what their backward needs: cuDNN's refuse it after an inference pass."""
    return torch.is_grad_enabled()


class SimpleCell:
    """h' = f(W x + b + U h + c), f = tanh or relu (Elman 1990)."""

    gates, states, forget_gate = 1, 1, None

    def __init__(self, nonlinearity: str) -> None:
        self.function: Callable[[Tensor], Tensor] = {"tanh": torch.tanh, "relu": torch.relu}[nonlinearity]
        self._step = {"tanh": torch.rnn_tanh_cell, "relu": torch.rnn_relu_cell}[nonlinearity]
        self._layer = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}[nonlinearity]

    def equations(self, input_BG: Tensor, hidden_BG: Tensor, state: HiddenState, ctx: PassContext) -> HiddenState:
        return (self.function(input_BG + hidden_BG),)

    def step(self, x_BI: Tensor, state: HiddenState, weights: list[Tensor]) -> HiddenState:
        return (self._step(x_BI, state[0], *weights),)

    def layer(self, x_BTI: Tensor, state: HiddenState, weights: list[Tensor]) -> tuple[Tensor, HiddenState]:
        output, last = self._layer(x_BTI, state[0][None], weights, True, 1, 0.0, _with_backward(), False, True)
        return output, (last[0],)

    def packed(self, packed: PackedSequence, state: HiddenState, weights: list[Tensor]) -> tuple[Tensor, HiddenState]:
        output, last = self._layer(
            packed.data, packed.batch_sizes, state[0][None], weights, True, 1, 0.0, _with_backward(), False
        )
        return output, (last[0],)


class SigmoidCell:
    """h' = σ(W x + b + U h + c) (Elman 1990). No fused kernel computes it: whole layers run step by step."""

    gates, states, forget_gate = 1, 1, None

    def equations(self, input_BG: Tensor, hidden_BG: Tensor, state: HiddenState, ctx: PassContext) -> HiddenState:
        return (torch.sigmoid(input_BG + hidden_BG),)

    def step(self, x_BI: Tensor, state: HiddenState, weights: list[Tensor]) -> HiddenState:
        return self._after(linear(x_BI, weights[0], weights[2]), state[0], weights)

    def layer(self, x_BTI: Tensor, state: HiddenState, weights: list[Tensor]) -> tuple[Tensor, HiddenState]:
        outputs: list[Tensor] = []
        for input_BG in linear(x_BTI, weights[0], weights[2]).unbind(1):
            state = self._after(input_BG, state[0], weights)
            outputs.append(state[0])
        return torch.stack(outputs, 1), state

    def packed(self, packed: PackedSequence, state: HiddenState, weights: list[Tensor]) -> tuple[Tensor, HiddenState]:
        # rows are sorted by length: each step goes on with the first `count` of them
        sizes, hidden_BW = [int(size) for size in packed.batch_sizes], state[0]
        outputs: list[Tensor] = []
        for count, input_BG in zip(sizes, torch.split(linear(packed.data, weights[0], weights[2]), sizes), strict=True):
            (after,) = self._after(input_BG, hidden_BW[:count], weights)
            hidden_BW = torch.cat([after, hidden_BW[count:]])
            outputs.append(after)
        return torch.cat(outputs), (hidden_BW,)

    def _after(self, input_BG: Tensor, hidden_BW: Tensor, weights: list[Tensor]) -> HiddenState:
        return self.equations(input_BG, linear(hidden_BW, weights[1], weights[3]), (hidden_BW,), INFERENCE)


class GRUCell:
    """Gated recurrent unit (Cho et al. 2014, eq. 5-8), with the reset gate after U h as fused kernels have it."""

    gates, states, forget_gate = 3, 1, None

    def equations(self, input_BG: Tensor, hidden_BG: Tensor, state: HiddenState, ctx: PassContext) -> HiddenState:
        input_reset, input_update, input_new = input_BG.chunk(3, -1)
        hidden_reset, hidden_update, hidden_new = hidden_BG.chunk(3, -1)
        reset = torch.sigmoid(input_reset + hidden_reset)
        update = torch.sigmoid(input_update + hidden_update)
        candidate = torch.tanh(input_new + reset * hidden_new)
        ctx.record("reset_gate", reset)
        ctx.record("update_gate", update)
        ctx.record("candidate", candidate)
        return ((1 - update) * candidate + update * state[0],)

    def step(self, x_BI: Tensor, state: HiddenState, weights: list[Tensor]) -> HiddenState:
        return (torch.gru_cell(x_BI, state[0], *weights),)

    def layer(self, x_BTI: Tensor, state: HiddenState, weights: list[Tensor]) -> tuple[Tensor, HiddenState]:
        output, last = torch.gru(x_BTI, state[0][None], weights, True, 1, 0.0, _with_backward(), False, True)
        return output, (last[0],)

    def packed(self, packed: PackedSequence, state: HiddenState, weights: list[Tensor]) -> tuple[Tensor, HiddenState]:
        output, last = torch.gru(
            packed.data, packed.batch_sizes, state[0][None], weights, True, 1, 0.0, _with_backward(), False
        )
        return output, (last[0],)


class LSTMCell:
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""

    gates, states, forget_gate = 4, 2, 1

    def equations(self, input_BG: Tensor, hidden_BG: Tensor, state: HiddenState, ctx: PassContext) -> HiddenState:
        input_gate, forget_gate, candidate, output_gate = (input_BG + hidden_BG).chunk(4, -1)
        input_gate, forget_gate = torch.sigmoid(input_gate), torch.sigmoid(forget_gate)
        candidate, output_gate = torch.tanh(candidate), torch.sigmoid(output_gate)
        ctx.record("input_gate", input_gate)
        ctx.record("forget_gate", forget_gate)
        ctx.record("candidate", candidate)
        ctx.record("output_gate", output_gate)
        cell = forget_gate * state[1] + input_gate * candidate
        return output_gate * torch.tanh(cell), cell

    def step(self, x_BI: Tensor, state: HiddenState, weights: list[Tensor]) -> HiddenState:
        return tuple(torch.lstm_cell(x_BI, list(state), *weights))

    def layer(self, x_BTI: Tensor, state: HiddenState, weights: list[Tensor]) -> tuple[Tensor, HiddenState]:
        start = [part[None] for part in state]
        output, hidden, cell = torch.lstm(x_BTI, start, weights, True, 1, 0.0, _with_backward(), False, True)
        return output, (hidden[0], cell[0])

    def packed(self, packed: PackedSequence, state: HiddenState, weights: list[Tensor]) -> tuple[Tensor, HiddenState]:
        start = [part[None] for part in state]
        output, hidden, cell = torch.lstm(
            packed.data, packed.batch_sizes, start, weights, True, 1, 0.0, _with_backward(), False
        )
        return output, (hidden[0], cell[0])


def make_cell(kind: str, nonlinearity: str = "tanh") -> Cell:
    """The cell named `kind`: rnn (with `nonlinearity` tanh, relu or sigmoid), gru or lstm."""
    if kind == "rnn" and nonlinearity == "sigmoid":
        return SigmoidCell()
    return {"rnn": lambda: SimpleCell(nonlinearity), "gru": GRUCell, "lstm": LSTMCell}[kind]()


# the internals of a layer; recording any of them makes `forward` run the equations instead of the fused kernel
INTERNALS = (
    "hidden_state", "cell_state", "candidate", "reset_gate", "update_gate", "input_gate", "forget_gate", "output_gate",
)  # fmt: skip


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

    def start(self, like: Tensor) -> HiddenState:
        """The zero state for the rows of `like` (B, …)."""
        return tuple(like.new_zeros(like.shape[0], self.width) for _ in range(self.cell.states))

    def step(self, x_BI: Tensor, state: HiddenState, ctx: PassContext = INFERENCE) -> HiddenState:
        """One step: the new state, whose first part is the output."""
        ctx = ctx.of(self)
        weights = self._dropped(ctx)
        if not ctx.wants(*INTERNALS):
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
        if ctx.wants(*INTERNALS):
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
        self.layers: ModuleList[ModuleList[RecurrentLayer]] = ModuleList(
            ModuleList(RecurrentLayer(cell, inner, each, initialization=initialization) for _ in range(directions))
            for inner in inputs
        )

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
