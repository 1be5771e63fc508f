"""Recurrent cells: steps by hand; equations, fused steps and fused layers on the same weights; lengths; directions."""

import math

import pytest
import torch
from torch import Tensor

from sightline.nn.cells import HiddenState, make_cell
from sightline.nn.context import PassContext, Recorder
from sightline.nn.recurrent import RecurrentEncoder, RecurrentLayer, reverse_real
from support.model_cases import one_thread as one_thread

LN2, LN3 = math.log(2), math.log(3)  # tanh(ln 2) = 3/5, sigmoid(ln 3) = 3/4, sigmoid(-ln 3) = 1/4
CELLS = [("rnn", "tanh"), ("rnn", "relu"), ("rnn", "sigmoid"), ("gru", "tanh"), ("lstm", "tanh")]
each_cell = pytest.mark.parametrize(("kind", "nonlinearity"), CELLS, ids=lambda value: value)


def _layer(kind: str, nonlinearity: str = "tanh", inputs: int = 5, width: int = 6) -> RecurrentLayer:
    """A layer with random biases too, so that no two gates could be mixed up unseen."""
    torch.manual_seed(0)
    layer = RecurrentLayer(make_cell(kind, nonlinearity), inputs, width)
    for bias in (layer.bias_input, layer.bias_hidden):
        torch.nn.init.normal_(bias)
    return layer


def _everything() -> tuple[Recorder, PassContext]:
    recorder = Recorder(["*"])
    return recorder, PassContext(recorder=recorder)


def _by_hand(layer: RecurrentLayer, w: list[float], u: list[float], b: list[float], c: list[float]) -> None:
    layer.weight_input.data = torch.tensor(w)[:, None]
    layer.weight_hidden.data = torch.tensor(u)[:, None]
    layer.bias_input.data, layer.bias_hidden.data = torch.tensor(b), torch.tensor(c)


@pytest.mark.parametrize("recorded", [True, False], ids=["equations", "fused"])
def test_a_step_by_hand(recorded: bool) -> None:
    ctx = _everything()[1] if recorded else PassContext()
    simple = _layer("rnn", "tanh", 1, 1)
    _by_hand(simple, [2.0], [3.0], [-7.0], [LN2])  # 2·5 + 3·(-1) - 7 + ln 2
    torch.testing.assert_close(simple.step(torch.tensor([[5.0]]), (torch.tensor([[-1.0]]),), ctx)[0].item(), 0.6)

    relu = _layer("rnn", "relu", 1, 1)
    _by_hand(relu, [2.0], [3.0], [-1.0], [0.5])
    hidden = relu.step(torch.tensor([[5.0], [1.0]]), (torch.tensor([[-1.0], [-1.0]]),), ctx)[0]
    assert hidden.tolist() == [[6.5], [0.0]]

    sigmoid = _layer("rnn", "sigmoid", 1, 1)
    _by_hand(sigmoid, [2.0], [3.0], [-7.0], [LN3])
    torch.testing.assert_close(sigmoid.step(torch.tensor([[5.0]]), (torch.tensor([[-1.0]]),), ctx)[0].item(), 0.75)

    # reset 3/4, update 1/4, candidate tanh(1 + 3/4 · (4/3)(ln 2 - 1)) = 3/5; h = (1 - 1/4) 3/5 + 1/4 · 4
    gru = _layer("gru", "tanh", 1, 1)
    _by_hand(gru, [LN3, -LN3, 1.0], [0.0, 0.0, (LN2 - 1) / 3], [0.0] * 3, [0.0] * 3)
    torch.testing.assert_close(gru.step(torch.tensor([[1.0]]), (torch.tensor([[4.0]]),), ctx)[0].item(), 1.45)

    # input 3/4, forget 1/4, candidate 3/5, output 1/2; c = 1/4 · 2 + 3/4 · 3/5 = 0.95
    lstm = _layer("lstm", "tanh", 1, 1)
    _by_hand(lstm, [LN3, 0.0, LN2, 0.0], [0.0, -LN3, 0.0, 0.0], [0.0] * 4, [0.0] * 4)
    hidden, cell = lstm.step(torch.tensor([[1.0]]), (torch.tensor([[1.0]]), torch.tensor([[2.0]])), ctx)
    torch.testing.assert_close(cell.item(), 0.95)
    torch.testing.assert_close(hidden.item(), math.tanh(0.95) / 2)


def test_gates_are_recorded_by_name() -> None:
    recorder, ctx = _everything()
    gru = _layer("gru", "tanh", 1, 1)
    _by_hand(gru, [LN3, -LN3, 1.0], [0.0, 0.0, (LN2 - 1) / 3], [0.0] * 3, [0.0] * 3)
    gru.step(torch.tensor([[1.0]]), (torch.tensor([[4.0]]),), ctx)
    found = {name: tensors[0].item() for name, tensors in recorder.tensors.items()}
    assert found == pytest.approx({"reset_gate": 0.75, "update_gate": 0.25, "candidate": 0.6, "hidden_state": 1.45})

    recorder, ctx = _everything()
    lstm = _layer("lstm", "tanh", 1, 1)
    _by_hand(lstm, [LN3, 0.0, LN2, 0.0], [0.0, -LN3, 0.0, 0.0], [0.0] * 4, [0.0] * 4)
    lstm.step(torch.tensor([[1.0]]), (torch.tensor([[1.0]]), torch.tensor([[2.0]])), ctx)
    found = {name: tensors[0].item() for name, tensors in recorder.tensors.items()}
    gates = {"input_gate": 0.75, "forget_gate": 0.25, "candidate": 0.6, "output_gate": 0.5}
    assert found == pytest.approx({**gates, "cell_state": 0.95, "hidden_state": math.tanh(0.95) / 2})


def _inputs(layer: RecurrentLayer) -> tuple[Tensor, HiddenState, Tensor]:
    x = torch.randn(4, 7, 5, generator=torch.Generator().manual_seed(1))
    state = tuple(torch.randn(4, 6, generator=torch.Generator().manual_seed(n)) for n in range(layer.cell.states))
    return x, state, torch.tensor([3, 7, 1, 5])


@each_cell
@pytest.mark.parametrize("ragged", [True, False])
def test_equations_and_fused_layers_agree(kind: str, nonlinearity: str, ragged: bool) -> None:
    layer = _layer(kind, nonlinearity)
    x, state, lengths = _inputs(layer)
    real = torch.arange(7) < lengths[:, None] if ragged else torch.ones(4, 7, dtype=torch.bool)
    given = lengths if ragged else None
    results = []
    for ctx in (PassContext(), _everything()[1]):
        layer.zero_grad()
        output, last = layer(x, state, given, ctx)
        ((output[real] ** 2).sum() + sum(part.sum() for part in last)).backward()
        results.append((output[real], last, [weight.grad.clone() for weight in layer.weights]))  # pyright: ignore
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)


@each_cell
def test_steps_and_layers_agree(kind: str, nonlinearity: str) -> None:
    layer = _layer(kind, nonlinearity)
    x, state, _ = _inputs(layer)
    output, last = layer(x, state)
    for position in range(7):
        recorded = layer.step(x[:, position], state, _everything()[1])
        state = layer.step(x[:, position], state)
        torch.testing.assert_close(state, recorded)
        torch.testing.assert_close(state[0], output[:, position])
    torch.testing.assert_close(state, last)


@each_cell
@pytest.mark.parametrize("recorded", [True, False], ids=["equations", "fused"])
def test_a_row_ends_at_its_length(kind: str, nonlinearity: str, recorded: bool) -> None:
    layer = _layer(kind, nonlinearity)
    x, state, lengths = _inputs(layer)
    ctx = _everything()[1] if recorded else PassContext()
    output, last = layer(x, state, lengths, ctx)
    assert output.shape == (4, 7, 6)
    for row, length in enumerate(lengths.tolist()):
        alone, final = layer(x[row : row + 1, :length], tuple(part[row : row + 1] for part in state), None, ctx)
        torch.testing.assert_close(output[row, :length], alone[0])
        for part, expected in zip(last, final, strict=True):
            torch.testing.assert_close(part[row], expected[0])


@each_cell
def test_recording_one_internal_leaves_the_others(kind: str, nonlinearity: str) -> None:
    layer = _layer(kind, nonlinearity)
    x, state, lengths = _inputs(layer)
    recorder = Recorder(["encoder.hidden_state"])
    layer(x, state, lengths, PassContext(recorder=recorder, path="encoder"))
    assert list(recorder.tensors) == ["encoder.hidden_state"]
    assert len(recorder.tensors["encoder.hidden_state"]) == 7  # one a step


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(KeyError):
        make_cell("transformer")


def test_reversal_leaves_padding_in_place() -> None:
    x = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 7], [8, 0, 0, 0]])
    turned = reverse_real(x, torch.tensor([3, 4, 1]))
    assert turned.tolist() == [[3, 2, 1, 0], [7, 6, 5, 4], [8, 0, 0, 0]]
    assert reverse_real(x[..., None], torch.tensor([3, 4, 1])).shape == (3, 4, 1)


@each_cell
def test_two_directions_of_an_encoder(kind: str, nonlinearity: str) -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(make_cell(kind, nonlinearity), 5, 6, 1, 2, 0.0)
    x, lengths = torch.randn(2, 4, 5), torch.tensor([4, 2])
    outputs, finals = encoder(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        forwards, backwards = encoder.layers[0]  # pyright: ignore
        ahead, state = forwards(x[row : row + 1, :length], forwards.start(x[:1]))
        back, behind = backwards(x[row : row + 1, :length].flip(1), backwards.start(x[:1]))
        torch.testing.assert_close(outputs[row, :length], torch.cat([ahead, back.flip(1)], -1)[0])
        torch.testing.assert_close(finals[0][0][row], torch.cat([state[0], behind[0]], -1)[0])


def test_dropout_between_layers_only() -> None:
    torch.manual_seed(0)
    x, lengths = torch.randn(2, 4, 5), torch.tensor([4, 4])
    ctx = PassContext(torch.Generator().manual_seed(0))
    one, two = (RecurrentEncoder(make_cell("gru"), 5, 6, layers, 1, 0.5) for layers in (1, 2))
    torch.testing.assert_close(one(x, lengths, ctx)[0], one(x, lengths)[0])
    assert not torch.allclose(two(x, lengths, ctx)[0], two(x, lengths)[0])


def test_an_odd_width_has_no_two_halves() -> None:
    with pytest.raises(ValueError, match="width 7 must be even"):
        RecurrentEncoder(make_cell("gru"), 5, 7, 1, 2, 0.0)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_a_layer_offers_what_it_records(kind: str) -> None:
    layer, x_BTI = RecurrentLayer(make_cell(kind), 3, 4), torch.randn(2, 3, 3)
    recorder = Recorder(["*"])
    layer(x_BTI, layer.start(x_BTI), ctx=PassContext(recorder=recorder))
    assert set(recorder.tensors) == set(recorder.offered) == set(layer.internals)
