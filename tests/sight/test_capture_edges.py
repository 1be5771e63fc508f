"""Recording where it goes wrong easily: several captures or passes, gradients, what enters the first block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sightline as package
from sightline.errors import UsageError
from sightline.models import (
    GPT,
    Bert,
    BertForPretraining,
    BertSizes,
    GPTSizes,
    RecurrentLM,
    RecurrentSizes,
    Seq2SeqSizes,
    TransformerSizes,
    WindowLM,
    WindowSizes,
    make_encoder_decoder,
)
from sightline.nn.context import PassContext, Recorder
from sightline.sight import measures
from sightline.sight.reading import Look, Reading, Side, look
from support.model_cases import BATCH, SOURCE, VOCAB

SMALL: dict[str, Any] = {"d_model": 8, "num_layers": 2, "num_heads": 2, "d_ff": 16}
BERT = BertSizes(**SMALL, max_length=8)
SIZES = {
    "transformer": TransformerSizes(**SMALL),
    "seq2seq": Seq2SeqSizes(cell="lstm", embedding_width=6, width=8, num_layers=2),
}
MODELS: dict[str, Any] = {
    "gpt": lambda: GPT(VOCAB, GPTSizes(**SMALL, max_length=8)),
    "recurrent": lambda: RecurrentLM(VOCAB, RecurrentSizes(embedding_width=6, width=8)),
    "window": lambda: WindowLM(VOCAB, WindowSizes(embedding_width=6, width=8)),
    "bert": lambda: Bert(VOCAB, BERT),
    **{kind: lambda sizes=sizes: make_encoder_decoder(VOCAB, VOCAB, sizes) for kind, sizes in SIZES.items()},
}


def run(model: Any) -> torch.Tensor:
    """One pass of any of these models."""
    if hasattr(model, "features"):
        return model.features(*BATCH)
    return model.encode(SOURCE) if hasattr(model, "encode") else model.decode(SOURCE, model.start(len(SOURCE)))[0]


@pytest.mark.parametrize("kind", MODELS)
def test_everything_with_gradients(kind: str) -> None:
    """Masks are among what is recorded, and have none."""
    model = MODELS[kind]()
    with package.capture(model, gradients=True) as record:
        features = run(model)
    features.sum().backward()
    name = "encoder.embedding" if hasattr(model, "features") else "embedding"
    assert record.gradient(name).abs().sum() > 0
    with torch.no_grad(), package.capture(model, gradients=True) as record:
        run(model)
    with pytest.raises(UsageError, match="has no gradient"):
        record.gradient(name)


@pytest.mark.parametrize("kind", MODELS)
def test_two_passes_are_not_glued_together(kind: str) -> None:
    model = MODELS[kind]()
    with package.capture(model) as record:
        run(model)
    assert all(len(record[name]) == len(SOURCE) for name in record.names if ".backwards." not in name)
    with package.capture(model) as record:
        run(model)
        run(model)
    for name in record.names:
        with pytest.raises(UsageError, match="several passes"):
            record[name]
        assert record.steps(name)


def test_two_continuations_are_not_glued_together(language_runs: dict[str, Path]) -> None:
    for kind in ("gpt", "recurrent"):
        model: Any = package.load(language_runs[kind])
        with package.capture(model, "embedding", "*.hidden_state") as record:
            model.generate("a red", max_tokens=3)
            model.generate("a red", max_tokens=3)
        for name in record.names:
            with pytest.raises(UsageError, match="several passes"):
                record[name]


def test_captures_inside_each_other() -> None:
    one, other = MODELS["gpt"](), MODELS["bert"]()
    with package.capture(one, "embedding") as first, package.capture(other, "output") as second:
        run(one)
        run(other)
        with package.capture(one, "*.residual") as third:
            run(one)
    assert first.names == ["embedding"]
    assert len(first.steps("embedding")) == 2
    assert second.names == ["output"]
    assert third.names == ["blocks.0.residual", "blocks.1.residual"]
    # a pass that has a recorder of its own is seen by a capture, too
    recorder = Recorder(["output"])
    with package.capture(other, "embedding") as record:
        other.encode(SOURCE, ctx=PassContext(recorder=recorder))
    assert list(recorder.tensors) == ["output"]
    assert record.names == ["embedding"]


def test_captures_that_end_in_any_order() -> None:
    model = MODELS["gpt"]()
    first, second = package.capture(model, "embedding"), package.capture(model, "output")
    one, other = first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    run(model)
    second.__exit__(None, None, None)
    run(model)
    assert one.names == []
    assert len(other.steps("output")) == 1


def test_what_cannot_be_captured() -> None:
    for model, patterns, says in (("x", [], "not str"), (MODELS["gpt"](), [["a"]], "patterns are strings")):
        with pytest.raises(UsageError, match=says), package.capture(model, *patterns):
            pass


def test_capture_says_when_nothing_was_recorded() -> None:
    model = MODELS["gpt"]()
    says = r"nothing was recorded by 'block\.0\.residual'; did you mean \"blocks\.0\.residual\"\?"
    with pytest.raises(UsageError, match=says), package.capture(model, "block.0.residual"):
        run(model)
    says = "by 'forget', '42'; `sightline look RUN --list`"
    with pytest.raises(UsageError, match=says), package.capture(model, "forget", "42"):
        run(model)
    # one pattern that matches is enough, and another error is not hidden
    with package.capture(model, "*.forget_gate", "embedding") as record:
        run(model)
    assert record.names == ["embedding"]
    with pytest.raises(ZeroDivisionError), package.capture(model, "forget"):
        _ = run(model), 1 / 0
    with package.capture(model, "embedding") as record:
        pass
    with pytest.raises(UsageError, match='nothing was recorded as "embedding"; the model did not run'):
        record["embedding"]


def looked(model: Any, tokens: int, *patterns: str) -> Look:
    """What is recorded of one pass over the first row."""
    side = Side.of(["x"] * tokens)
    return look(
        Reading({"position": side}, lambda ctx: model(ctx).flatten()[:1], ("x",), None, "position", ""),  # pyright: ignore
        *patterns,
    )


@torch.no_grad()
def test_the_stream_of_a_bert_begins_after_its_norm() -> None:
    model = Bert(VOCAB, BERT)
    torch.nn.init.normal_(model.embedding_norm.weight)
    seen = looked(lambda ctx: model.encode(SOURCE[:1], ctx=ctx), SOURCE.shape[1])
    norms = measures.residual_norms(seen)
    assert list(norms) == ["embedding_norm", "blocks.0.residual", "blocks.1.residual"]
    entered = model.embedding_norm(seen["embedding"])
    np.testing.assert_allclose(norms["embedding_norm"], entered.norm(dim=-1), rtol=1e-5)
    torch.testing.assert_close(seen["embedding"] - seen["positions"], model.embedding[SOURCE[0]] + model.segments[0])


@torch.no_grad()
def test_what_norms_meet() -> None:
    model = Bert(VOCAB, BERT)
    torch.nn.init.normal_(model.blocks[0].self_norm.weight)  # pyright: ignore
    seen = looked(lambda ctx: model.encode(SOURCE[:1], ctx=ctx), SOURCE.shape[1])
    found = measures.norm_statistics(seen)
    assert list(found) == [f"blocks.{n}.{name}_norm_input" for n in range(2) for name in ("self", "feed_forward")]
    met, norm = found["blocks.0.self_norm_input"], model.blocks[0].self_norm
    normed = (seen["blocks.0.self_norm_input"].numpy() - met.mean_T[:, None]) / met.deviation_T[:, None]
    np.testing.assert_allclose(normed * norm.weight.numpy() + norm.bias.numpy(), seen["blocks.0.self_norm"], atol=1e-5)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_positions_have_a_name(positions: str) -> None:
    model = make_encoder_decoder(VOCAB, VOCAB, TransformerSizes(**SMALL, positions=positions))  # pyright: ignore
    seen = looked(lambda ctx: model.features(*BATCH, ctx=ctx), SOURCE.shape[1])  # pyright: ignore
    assert ("encoder.positions" in seen.names) == (positions != "rotary")
    if positions == "learned":
        added: Any = model.positions.table
        torch.testing.assert_close(seen["encoder.positions"], added[: SOURCE.shape[1]].detach(), atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_lens_of_a_bert_norms_what_the_model_norms() -> None:
    """A pre-norm stack leaves its last sum unnormalised."""

    class Model:
        read_out = package.MaskedLanguageModel.read_out
        _candidates = package.MaskedLanguageModel._candidates
        _specials = (0,)
        tokenizer = type("Tokenizer", (), {"tokens": lambda self, ids: [str(one) for one in ids]})()
        model = BertForPretraining(VOCAB, BERT.model_copy(update={"pre_norm": True}))

    torch.nn.init.normal_(Model.model.bert.norm.weight)  # pyright: ignore
    seen = looked(lambda ctx: Model.model.bert.encode(SOURCE[:1], ctx=ctx), SOURCE.shape[1])
    lens = measures.logit_lens(Model(), seen)
    said = Model.model.project(Model.model.transform_masked(seen["output"]))[:, 1:].softmax(-1).max(-1)
    np.testing.assert_allclose(lens.probabilities[-1], said.values, rtol=1e-4)
    assert lens.tokens[-1] == [str(one + 1) for one in said.indices.tolist()]


@torch.no_grad()
def test_the_belt_needs_no_neighbour() -> None:
    """A decoder starts from a cell that is no zero; backwards the cell before stands to the right."""
    model: Any = make_encoder_decoder(VOCAB, VOCAB, SIZES["seq2seq"])
    one = tuple(part[:1] for part in BATCH)
    seen = looked(lambda ctx: model.features(*one, ctx=ctx), SOURCE.shape[1])
    start = model.start(*one[:2]).hidden
    for layer, before, order in (
        ("decoder.layers.0", start[0][1], slice(None)),
        ("decoder.layers.1", start[1][1], slice(None)),
        ("encoder.0.forwards", torch.zeros(1, 4), slice(None)),
        ("encoder.1.backwards", torch.zeros(1, 4), slice(None, None, -1)),
    ):
        forget, cell = (seen[f"{layer}.{name}"].numpy()[order] for name in ("forget_gate", "cell_state"))
        kept = forget * np.concatenate([before.numpy(), cell[:-1]])
        belt = measures.cell_state_flow(seen, layer)["kept |f·c|"][order]
        np.testing.assert_allclose(belt, np.abs(kept).mean(1), atol=1e-6)
