"""Recurrent cells as readable equations, and PyTorch's fused kernels that compute the same on the same weights.

Shapes: B rows, T positions, I input width, W hidden width, G gates. Weights stack the gates along their first axis in
PyTorch's order, so that they can be exchanged with `torch.nn.RNN`, `LSTM` and `GRU` unchanged.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from sightline.nn.context import INFERENCE, PassContext
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
    def internals(self) -> tuple[str, ...]:
        """What `equations` records, and the parts of the state beside the hidden one, by name."""
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
    internals: tuple[str, ...] = ()

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
    internals: tuple[str, ...] = ()

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
    internals = ("candidate", "reset_gate", "update_gate")

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
    internals = ("cell_state", "candidate", "input_gate", "forget_gate", "output_gate")

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
    """The cell named `kind`: rnn (with `nonlinearity` tanh, relu or sigmoid), gru or lstm.

    Raises KeyError for another.
    """
    if kind == "rnn" and nonlinearity == "sigmoid":
        return SigmoidCell()
    return {"rnn": lambda: SimpleCell(nonlinearity), "gru": GRUCell, "lstm": LSTMCell}[kind]()
