"""Seq2Seq against the papers' equations written out a sentence and a step at a time, on the same weights."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sightline.models import Seq2SeqSizes
from support.model_cases import SOURCE, SOURCE_LENGTHS, SOURCE_MASK, TARGET, close, logits, make
from support.model_cases import one_thread as one_thread

States = list[Tensor]  # [hidden] or [hidden, cell], each (W,)


def _cell(kind: str, layer: Any, x: Tensor, state: States) -> States:
    """One step for one row. Elman 1990; Cho et al. 2014; Gers et al. 2000."""
    a, b = layer.weight_input @ x + layer.bias_input, layer.weight_hidden @ state[0] + layer.bias_hidden
    width = state[0].shape[0]

    def part(vector: Tensor, number: int) -> Tensor:
        return vector[number * width : (number + 1) * width]

    if kind == "rnn":
        return [torch.tanh(a + b)]
    if kind == "gru":
        r, z = torch.sigmoid(part(a + b, 0)), torch.sigmoid(part(a + b, 1))
        return [(1 - z) * torch.tanh(part(a, 2) + r * part(b, 2)) + z * state[0]]
    i, f, o = (torch.sigmoid(part(a + b, number)) for number in (0, 1, 3))
    cell = f * state[1] + i * torch.tanh(part(a + b, 2))
    return [o * torch.tanh(cell), cell]


def _zeros(kind: str, width: int) -> States:
    return [torch.zeros(width) for _ in range(2 if kind == "lstm" else 1)]


def _run(kind: str, layer: Any, inputs: list[Tensor], width: int) -> tuple[list[Tensor], States]:
    outputs, state = [], _zeros(kind, width)
    for x in inputs:
        state = _cell(kind, layer, x, state)
        outputs.append(state[0])
    return outputs, state


def _encode(model: Any, tokens: Tensor) -> tuple[list[Tensor], list[States]]:
    """Annotations h_s and each layer's first decoder state."""
    sizes, inputs, starts = model.sizes, [model.source_embedding[token] for token in tokens], []
    for ways, bridges in zip(model.encoder.layers, model.bridge, strict=True):
        if sizes.bidirectional:
            ahead, last = _run(sizes.cell, ways[0], inputs, sizes.width // 2)
            back, first = _run(sizes.cell, ways[1], inputs[::-1], sizes.width // 2)
            inputs = [torch.cat(pair) for pair in zip(ahead, back[::-1], strict=True)]
            final = [torch.cat(pair) for pair in zip(last, first, strict=True)]
        else:
            inputs, final = _run(sizes.cell, ways[0], inputs, sizes.width)
        starts.append([torch.tanh(b.weight @ part + b.bias) for b, part in zip(bridges, final, strict=True)])
    return inputs, starts


def _energy(attention: str, score: Any, query: Tensor, key: Tensor) -> Tensor:
    """Luong et al. 2015, eq. 8; Vaswani et al. 2017, eq. 1; Bahdanau et al. 2015, appendix A.1.2."""
    if attention == "dot":
        return query @ key
    if attention == "scaled_dot":
        return query @ key / len(key) ** 0.5
    if attention == "general":
        return query @ (score.key.weight @ key)
    return score.energy @ torch.tanh(score.query.weight @ query + score.key.weight @ key + score.key.bias)


def _context(sizes: Seq2SeqSizes, score: Any, query: Tensor, annotations: list[Tensor]) -> Tensor:
    energies = [_energy(sizes.attention, score, query, key) for key in annotations]
    exponentials = [energy.exp() for energy in energies]
    total = torch.stack(exponentials).sum()
    return torch.stack([e / total * h for e, h in zip(exponentials, annotations, strict=True)]).sum(0)


def _decode(model: Any, tokens: Tensor, annotations: list[Tensor], states: list[States], summary: Tensor) -> Tensor:
    """Logits (T, V) by the wiring that the sizes name."""
    sizes, wiring, found = model.sizes, model.wiring, []
    attentional = torch.zeros(sizes.embedding_width)
    for token in tokens:
        word = model.target_embedding[token]
        extra = []
        if sizes.attention == "none":
            extra = [summary] if sizes.context == "every_step" else []
        elif sizes.order == "bahdanau":  # s_{t-1} asks
            extra = [_context(sizes, wiring.score, states[-1][0], annotations)]
        elif sizes.input_feeding:
            extra = [attentional]
        x, after = torch.cat([word, *extra]), []
        for layer, state in zip(model.decoder, states, strict=True):
            after.append(_cell(sizes.cell, layer, x, state))
            x = after[-1][0]
        states = after
        if sizes.attention == "none":
            read = [x, *extra]
        elif sizes.order == "bahdanau":
            read = [x, word, *extra]
        else:  # s_t asks
            read = [_context(sizes, wiring.score, x, annotations), x]
        attentional = torch.tanh(wiring.readout.weight @ torch.cat(read) + wiring.readout.bias)
        found.append(model.output_weight @ attentional + model.output_bias)
    return torch.stack(found)


def _written_out(model: Any) -> Tensor:
    rows = []
    for row, length in enumerate(SOURCE_LENGTHS):
        annotations, starts = _encode(model, SOURCE[row, :length])
        summary = annotations[-1]
        if model.sizes.bidirectional:  # the last state of each direction
            half = model.sizes.width // 2
            summary = torch.cat([annotations[-1][:half], annotations[0][half:]])
        rows.append(_decode(model, TARGET[row], annotations, starts, summary))
    return torch.stack(rows)


WIRINGS = {
    "bahdanau": {"order": "bahdanau"},
    "luong": {"order": "luong", "input_feeding": False},
    "luong fed": {"order": "luong", "input_feeding": True},
}


def _compare(**words: Any) -> None:
    model = make(Seq2SeqSizes(embedding_width=6, width=8, **words))
    close(logits(model, SOURCE, SOURCE_MASK, TARGET), _written_out(model))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("wiring", list(WIRINGS))
@pytest.mark.parametrize("attention", ["dot", "scaled_dot", "general", "additive"])
def test_attention(cell: str, wiring: str, attention: str) -> None:
    _compare(cell=cell, attention=attention, **WIRINGS[wiring])


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("context", ["start", "every_step"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_fixed_context(cell: str, context: str, bidirectional: bool) -> None:
    _compare(cell=cell, attention="none", context=context, bidirectional=bidirectional)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("wiring", list(WIRINGS))
@pytest.mark.parametrize("bidirectional", [True, False])
def test_two_layers(cell: str, wiring: str, bidirectional: bool) -> None:
    _compare(cell=cell, num_layers=2, bidirectional=bidirectional, **WIRINGS[wiring])
