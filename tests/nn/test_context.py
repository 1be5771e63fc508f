"""What accompanies a forward pass: names, wildcards, dropout only where there is a generator."""

import torch

from sightline.nn.context import INFERENCE, PassContext, Recorder


def test_names_are_dotted_paths() -> None:
    recorder = Recorder(["*"])
    ctx = PassContext(recorder=recorder)
    ctx.record("embedding", torch.zeros(1))
    ctx.at("encoder").at(3).at("self_attention").record("weights", torch.ones(1))
    assert list(recorder.tensors) == ["embedding", "encoder.3.self_attention.weights"]


def test_wildcards_choose() -> None:
    recorder = Recorder(["encoder.*.weights", "*.hidden_state"])
    ctx = PassContext(recorder=recorder)
    inner = ctx.at("encoder").at(0)
    assert inner.wants("weights")
    assert inner.wants("energies", "weights")
    assert not inner.wants("energies")
    assert not ctx.at("decoder").wants("weights")
    assert ctx.at("decoder").wants("hidden_state")
    inner.record("energies", torch.zeros(1))
    assert recorder.tensors == {}


def test_what_is_recorded_twice_is_a_list() -> None:
    recorder = Recorder(["*"])
    for step in range(3):
        PassContext(recorder=recorder, path="decoder").record("weights", torch.tensor(step))
    assert [int(tensor) for tensor in recorder.tensors["decoder.weights"]] == [0, 1, 2]


def test_nothing_is_named_or_wanted_without_a_recorder() -> None:
    assert INFERENCE.at("encoder") is INFERENCE
    assert not INFERENCE.wants("weights")
    INFERENCE.record("weights", torch.zeros(1))


def test_dropout_needs_a_generator_and_a_rate() -> None:
    x = torch.ones(1000)
    ctx = PassContext(torch.Generator().manual_seed(0))
    assert INFERENCE.dropout(x, 0.5) is x
    assert ctx.dropout(x, 0.0) is x
    assert set(ctx.dropout(x, 0.5).tolist()) == {0.0, 2.0}
    assert ctx.training
    assert not INFERENCE.training
    assert ctx.at("encoder").generator is ctx.generator
