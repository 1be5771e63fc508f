"""What accompanies a forward pass: names, wildcards, dropout only where there is a generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import sightline
from sightline.errors import UsageError
from sightline.models import (
    GPT,
    Bert,
    BertSizes,
    GPTSizes,
    RecurrentLM,
    RecurrentSizes,
    Seq2Seq,
    Seq2SeqSizes,
    Transformer,
    TransformerSizes,
)
from sightline.nn.context import INFERENCE, PassContext, Recorder
from support.model_cases import BATCH, SOURCE, SOURCE_MASK, VOCAB


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


SMALL: dict[str, Any] = {"d_model": 8, "num_layers": 2, "num_heads": 2, "d_ff": 12}
MODELS: dict[str, Callable[[], Any]] = {
    "transformer": lambda: Transformer(VOCAB, VOCAB, TransformerSizes(**SMALL)),
    "seq2seq": lambda: Seq2Seq(VOCAB, VOCAB, Seq2SeqSizes(embedding_width=6, width=8)),
    "gpt": lambda: GPT(VOCAB, GPTSizes(**SMALL, max_length=8)),
    "bert": lambda: Bert(VOCAB, BertSizes(**SMALL, max_length=8)),
    "recurrent": lambda: RecurrentLM(VOCAB, RecurrentSizes(embedding_width=6, width=8)),
}
PARTS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("transformer", lambda model: model.encoder, "encoder.[01].*"),
    ("transformer", lambda model: model.decoder[1], "decoder.1.*"),
    ("transformer", lambda model: model.decoder[0].cross_attention, "decoder.0.cross_attention.*"),
    ("seq2seq", lambda model: model.encoder, "encoder.0.*"),
    ("seq2seq", lambda model: model.encoder.layers[0][1], "encoder.0.backwards.*"),
    ("seq2seq", lambda model: model.decoder, "decoder.layers.0.[chru]*"),
    ("seq2seq", lambda model: model.wiring, "decoder.attention.[!kv]*"),
    ("gpt", lambda model: model.blocks[1].self_attention, "blocks.1.self_attention.*"),
    ("bert", lambda model: model.blocks, "blocks.*"),
    ("recurrent", lambda model: model.layers[1], "layers.1.*"),
]


def _pass(model: Any, ctx: PassContext = INFERENCE) -> None:
    if isinstance(model, Transformer | Seq2Seq):
        model.features(*BATCH, ctx=ctx)
    elif isinstance(model, Bert):
        model.encode(SOURCE, SOURCE_MASK, ctx=ctx)
    else:
        model.decode(SOURCE, model.start(len(SOURCE)), ctx=ctx)


@pytest.mark.parametrize(("kind", "part", "pattern"), PARTS, ids=lambda value: value if type(value) is str else "")
def test_any_part_of_a_model_can_be_captured(kind: str, part: Any, pattern: str) -> None:
    """It gives what a capture of the whole model would give of that part, by the same names."""
    torch.manual_seed(0)
    model = MODELS[kind]()
    with sightline.capture(model, pattern) as whole:
        _pass(model)
    with sightline.capture(part(model)) as record:
        _pass(model)
    assert record.names == whole.names
    for name in record.names:
        torch.testing.assert_close(record.steps(name), whole.steps(name))
    # a pass that has a recorder of its own is seen as well
    with sightline.capture(part(model)) as record:
        _pass(model, PassContext(recorder=Recorder(["embedding"])))
    assert record.names == whole.names


def test_a_part_that_is_called_alone_has_names_of_its_own() -> None:
    block = MODELS["gpt"]().blocks[0]
    with sightline.capture(block, "*.weights", "residual") as record:
        output, _ = block(torch.randn(2, 3, 8), None)
    assert record.names == ["self_attention.weights", "residual"]
    assert record["residual"].equal(output)
    with sightline.capture(block.self_attention) as record:
        block.self_attention(torch.randn(2, 3, 8), None)
    assert "weights" in record.names


def test_two_passes_through_a_part_are_not_glued_together() -> None:
    model = MODELS["transformer"]()
    with sightline.capture(model.decoder[0], "*.weights") as record:
        _pass(model)
        _pass(model)
    with pytest.raises(UsageError, match="several passes"):
        record[record.names[0]]


@pytest.mark.parametrize("part", ["feed_forward", "self_norm"])
def test_a_part_that_records_nothing_says_so(part: str) -> None:
    model = MODELS["bert"]()
    with pytest.raises(UsageError, match="nothing was recorded"), sightline.capture(getattr(model.blocks[0], part)):
        _pass(model)
    with sightline.capture(getattr(model.blocks[0], part)) as record:
        pass  # no pass was there to be recorded
    assert record.names == []


def test_a_pass_of_another_model_is_not_captured() -> None:
    model, other = MODELS["bert"](), MODELS["bert"]()
    with sightline.capture(model.blocks[0]) as record:
        _pass(other)
    assert record.names == []
