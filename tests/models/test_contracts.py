"""What every model owes to those who use it: a forward pass that is its loss, its attention sites, its sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor, nn

from sightline import config
from sightline.errors import UsageError
from sightline.models import (
    ENCODER_DECODERS,
    GPT,
    LANGUAGE_MODELS,
    BertForPretraining,
    BertSizes,
    EncoderDecoderSizes,
    GPTSizes,
    LanguageModelSpec,
    NGramSizes,
    RecurrentLM,
    RecurrentSizes,
    Seq2Seq,
    Seq2SeqSizes,
    Transformer,
    TransformerSizes,
    WindowLM,
    WindowSizes,
    add_language_model,
    make_language_model,
)
from sightline.models.classifier import BertClassifier, BertTokenClassifier, GPTClassifier, Tuning
from sightline.models.language_model import NeuralLanguageModel, refuse_documents
from sightline.models.sizes import NeuralLanguageSizes
from sightline.models.vit import ViT, ViTSizes
from sightline.nn.context import INFERENCE, PassContext, Recorder
from sightline.nn.state import TensorState
from sightline.tasks.language.settings import LanguageSettings
from sightline.train.format_1 import upgrade_sizes
from support.model_cases import SOURCE, SOURCE_MASK, TARGET, TARGET_MASK, VOCAB, close
from support.model_cases import one_thread as one_thread

SMALL: dict[str, Any] = {"d_model": 8, "num_layers": 2, "num_heads": 2, "d_ff": 12}
RATES: dict[str, Any] = {"dropout": 0.3, "attention_dropout": 0.2, "activation_dropout": 0.2}
BERT = BertSizes(**SMALL, **RATES, max_length=8)
GPT_SIZES = GPTSizes(**SMALL, **RATES, max_length=8)
REAL = torch.ones_like(SOURCE, dtype=torch.bool)
SEGMENTS, CHOSEN = (torch.arange(6) > 3).long().expand(4, 6), torch.arange(6).expand(4, 6) % 2 == 1
PAIRS, FOLLOWS = torch.tensor([True, False, True, True]), torch.tensor([0, 0, 1, 1])
IMAGES, CLASSES = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 0, 2])
LABELS = torch.tensor([0, 2, 1, 1])


@dataclass(frozen=True)
class Case:
    """A model, and its loss by one call of the model. `logits` are what its loss is to be the cross-entropy of."""

    make: Callable[[], Any]
    loss: Callable[[Any, PassContext], Tensor]
    logits: Callable[[Any], tuple[Tensor, Tensor]]
    sites: int = 0


def _language(make: Callable[[], Any], sites: int = 0) -> Case:
    inputs, targets = SOURCE[:, :-1], SOURCE[:, 1:]

    def logits(model: Any) -> tuple[Tensor, Tensor]:
        return model.project(model.decode(inputs, model.start(4))[0]).flatten(0, 1), targets.flatten()

    return Case(make, lambda model, ctx: model(inputs, targets, ctx=ctx)[0], logits, sites)


def _pairs(make: Callable[[], Any], sites: int = 0) -> Case:
    def loss(model: Any, ctx: PassContext) -> Tensor:
        return model(SOURCE, SOURCE_MASK, TARGET, TARGET.flip(1), TARGET_MASK, ctx=ctx)[0]

    def logits(model: Any) -> tuple[Tensor, Tensor]:
        found = model.project(model.features(SOURCE, SOURCE_MASK, TARGET, TARGET_MASK))
        return found[TARGET_MASK], TARGET.flip(1)[TARGET_MASK]

    return Case(make, loss, logits, sites)


def _masked(model: Any) -> tuple[Tensor, Tensor]:
    features = model.encode(SOURCE, REAL, segment_BT=SEGMENTS)
    return model.project(model.transform_masked(features[CHOSEN])), SOURCE[CHOSEN]


def _labelled(make: Callable[[], Any]) -> Case:
    def logits(model: Any) -> tuple[Tensor, Tensor]:
        return model.outputs(model.read(SOURCE, SOURCE_MASK)[1]), LABELS

    def loss(model: Any, ctx: PassContext) -> Tensor:
        return F.cross_entropy(model(SOURCE, SOURCE_MASK, ctx=ctx).outputs_BC, LABELS, reduction="sum")

    return Case(make, loss, logits, 2)


CASES: dict[str, Case] = {
    "gpt": _language(lambda: GPT(VOCAB, GPT_SIZES), 2),
    "recurrent": _language(
        lambda: RecurrentLM(VOCAB, RecurrentSizes(embedding_width=6, width=8, weight_dropout=0.5, dropout=0.2))
    ),
    "gru": _language(
        lambda: RecurrentLM(VOCAB, RecurrentSizes(cell="gru", embedding_width=6, width=8, weight_dropout=0.5))
    ),
    "window": _language(lambda: WindowLM(VOCAB, WindowSizes(embedding_width=6, width=8))),
    "transformer": _pairs(lambda: Transformer(VOCAB, VOCAB, TransformerSizes(**SMALL, **RATES)), 4),
    "seq2seq": _pairs(
        lambda: Seq2Seq(VOCAB, VOCAB, Seq2SeqSizes(cell="lstm", embedding_width=6, width=8, num_layers=2))
    ),
    "bert": Case(
        lambda: BertForPretraining(VOCAB, BERT),
        lambda model, ctx: model(SOURCE, REAL, SEGMENTS, CHOSEN, SOURCE[CHOSEN], ctx=ctx).masked,
        _masked,
        2,
    ),
    "vit": Case(
        lambda: ViT(ViTSizes(**SMALL, **RATES, image_size=6, patch_size=3, channels=1), 3),
        lambda model, ctx: F.cross_entropy(model(IMAGES, ctx=ctx), CLASSES, reduction="sum"),
        lambda model: (model.head(model.encode(IMAGES)[:, 0]), CLASSES),
        2,
    ),
    "gpt classifier": _labelled(lambda: GPTClassifier(VOCAB, GPT_SIZES, 3, Tuning())),  # pyright: ignore
    "bert classifier": _labelled(lambda: BertClassifier(VOCAB, BERT, 3, Tuning())),  # pyright: ignore
}
every_model = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def make(case: Case) -> Any:
    """A model whose weights are large enough to matter, and whose biases are not zero."""
    torch.manual_seed(0)
    model = case.make()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


@every_model
def test_a_model_is_called_like_any_module_and_gives_its_loss(case: Case) -> None:
    """So hooks are called, and wrappers and exporters need no more than `model(…)`."""
    model, called = make(case), []
    model.register_forward_hook(lambda module, inputs, output: called.append(module))
    loss = case.loss(model, INFERENCE)
    assert called == [model]
    logits, targets = case.logits(model)
    close(loss, F.cross_entropy(logits, targets, reduction="sum"))


def test_the_losses_of_a_bert_are_those_of_its_two_heads() -> None:
    model = make(CASES["bert"])
    found = model(SOURCE, REAL, SEGMENTS, CHOSEN, SOURCE[CHOSEN], PAIRS, FOLLOWS)
    logits = model.next_sentence_logits(model.encode(SOURCE, REAL, segment_BT=SEGMENTS))
    close(found.next_sentence, F.cross_entropy(logits[PAIRS], FOLLOWS[PAIRS], reduction="sum"))
    assert model(SOURCE, REAL, SEGMENTS, CHOSEN, SOURCE[CHOSEN]).next_sentence is None


def test_a_token_classifier_gives_all_tokens_or_the_chosen_ones() -> None:
    torch.manual_seed(0)
    model = BertTokenClassifier(VOCAB, BERT, 5, Tuning())  # pyright: ignore
    outputs = model(SOURCE, SOURCE_MASK)
    assert outputs.shape == (4, 6, 5)
    close(model(SOURCE, SOURCE_MASK, chosen_NT=CHOSEN), outputs[CHOSEN])


def test_both_orders_of_a_similarity_are_one_input() -> None:
    model = make(CASES["bert classifier"])
    pooled = model.read(SOURCE, SOURCE_MASK)[1]
    added = torch.stack([pooled[0] + pooled[1], pooled[2] + pooled[3]])
    close(model(SOURCE, SOURCE_MASK, orders=2).outputs_BC, model.head(added))


@pytest.mark.parametrize("kind", ["gpt", "recurrent", "window"])
def test_a_language_models_loss_counts_what_is_scored_and_goes_on(kind: str) -> None:
    model = make(CASES[kind])
    scored = torch.arange(5).expand(4, 5) > 1
    whole, _ = model(SOURCE[:, :-1], SOURCE[:, 1:])
    late, _ = model(SOURCE[:, :-1], SOURCE[:, 1:], scored_BT=scored)
    early, state = model(SOURCE[:, :2], SOURCE[:, 1:3])
    close(early + late, whole)
    rest, _ = model(SOURCE[:, 2:-1], SOURCE[:, 3:], state)
    close(rest, late)


@every_model
def test_attention_sites_are_where_attention_is_recorded(case: Case) -> None:
    model, recorder = make(case), Recorder(["*.weights"])
    case.loss(model, PassContext(recorder=recorder))
    sites = model.attention_sites + getattr(model, "cross_attention_sites", ())
    assert sorted(recorder.tensors) == sorted(sites)
    assert len(model.attention_sites) == case.sites


def test_cross_attention_sites_are_those_of_the_decoder_over_the_source() -> None:
    assert make(CASES["transformer"]).cross_attention_sites == (
        "decoder.0.cross_attention.weights",
        "decoder.1.cross_attention.weights",
    )
    assert make(CASES["seq2seq"]).cross_attention_sites == ("decoder.attention.weights",)
    fixed = Seq2Seq(VOCAB, VOCAB, Seq2SeqSizes(width=8, embedding_width=6, attention="none"))
    assert fixed.cross_attention_sites == ()


@every_model
def test_gradients_are_those_of_finite_differences(case: Case) -> None:
    """Along the gradient itself the loss changes by its norm; along another direction by their product."""
    model = make(case)
    case.loss(model, INFERENCE).backward()
    gradients = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    assert gradients
    generator = torch.Generator().manual_seed(1)
    other = {name: torch.randn(one.shape, generator=generator) for name, one in gradients.items()}
    for direction in (gradients, other):
        norm = torch.sqrt(sum((one.square().sum() for one in direction.values()), torch.zeros(())))
        slope = sum((gradients[name] * one).sum() for name, one in direction.items()) / norm
        step = 1e-3
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if name in direction:
                        parameter += sign * step / norm * direction[name]
                losses.append(case.loss(model, INFERENCE))
                for name, parameter in model.named_parameters():
                    if name in direction:
                        parameter -= sign * step / norm * direction[name]
        found = (losses[0] - losses[1]) / (2 * step)
        torch.testing.assert_close(found, slope, rtol=0.02, atol=0.05)


@every_model
def test_recording_does_not_change_a_training_pass(case: Case) -> None:
    """The same dropout falls everywhere, on the weights of recurrent layers too, and the same gradients come of it."""
    model, results = make(case), []
    for recorder in (None, Recorder(["*"])):
        model.zero_grad()
        loss = case.loss(model, PassContext(torch.Generator().manual_seed(3), recorder))
        loss.backward()
        results.append((loss, [one.grad.clone() for one in model.parameters() if one.grad is not None]))
    torch.testing.assert_close(results[1], results[0], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(results[0][0], case.loss(model, INFERENCE))  # it was one


def test_documents_are_kept_apart_by_attention_alone() -> None:
    with pytest.raises(ValueError, match="reads documents in a row"):
        make(CASES["recurrent"]).decode(SOURCE, make(CASES["recurrent"]).start(4), document_BT=SEGMENTS)
    assert GPTSizes.separates_documents
    assert not RecurrentSizes.separates_documents


# The sizes of version 0.1.0 as it filled them in.
OLD_DEFAULTS: dict[type, dict[str, object]] = {
    GPTSizes: {"d_model": 768, "num_layers": 12, "num_heads": 12, "num_kv_heads": None, "d_ff": 3072,
               "max_length": 1024, "positions": "learned", "norm": "layer", "norm_epsilon": 1e-5, "pre_norm": True,
               "activation": "gelu_tanh", "dropout": 0.1, "attention_dropout": 0.1, "tied": True, "cutoffs": ()},
    BertSizes: {"d_model": 768, "num_layers": 12, "num_heads": 12, "d_ff": 3072, "max_length": 512, "segments": 2,
                "positions": "learned", "norm": "layer", "norm_epsilon": 1e-12, "pre_norm": False,
                "activation": "gelu", "dropout": 0.1, "attention_dropout": 0.1},
    ViTSizes: {"image_size": 224, "channels": 3, "patch_size": 16, "d_model": 768, "num_layers": 12, "num_heads": 12,
               "d_ff": 3072, "positions": "learned", "norm": "layer", "norm_epsilon": 1e-12, "pre_norm": True,
               "activation": "gelu", "dropout": 0.0, "attention_dropout": 0.0},
    TransformerSizes: {"d_model": 512, "num_layers": 6, "num_decoder_layers": None, "num_heads": 8, "d_ff": 2048,
                       "value_width": None, "dropout": 0.1, "attention_dropout": 0.0, "activation_dropout": 0.0,
                       "positions": "sinusoidal", "max_length": 1024, "norm": "layer", "pre_norm": False,
                       "activation": "relu", "tied": "all"},
    Seq2SeqSizes: {"cell": "gru", "nonlinearity": "tanh", "embedding_width": 256, "width": 512, "num_layers": 1,
                   "bidirectional": True, "attention": "additive", "order": "bahdanau", "input_feeding": True,
                   "context": "start", "dropout": 0.2, "scheduled_sampling": 0.0, "tied": "decoder"},
    RecurrentSizes: {"cell": "lstm", "nonlinearity": "tanh", "embedding_width": 650, "width": 650, "num_layers": 2,
                     "dropout": 0.5, "input_dropout": 0.5, "variational": False, "weight_dropout": 0.0, "tied": True,
                     "cutoffs": ()},
    WindowSizes: {"window": 4, "embedding_width": 256, "width": 512, "dropout": 0.2, "tied": True, "cutoffs": ()},
    NGramSizes: {"order": 5, "smoothing": "kneser_ney", "k": 0.1},
}  # fmt: skip
# What has come since, at the values that change nothing; forget gates are told apart by the format of a run.
ADDED = {"value_width": None, "num_kv_heads": None, "attention_scale": "sqrt_d_k", "residual": True,
         "norm_epsilon": 1e-5, "activation_dropout": 0.0, "recurrent_init": "uniform", "recurrent_gain": 1.0,
         "forget_bias": 1.0, "decoder_start": "tanh", "previous_token_in_readout": False}  # fmt: skip


@pytest.mark.parametrize("sizes", OLD_DEFAULTS, ids=lambda sizes: sizes.__name__)
def test_what_a_configuration_leaves_out_means_what_it_meant(sizes: Any) -> None:
    found = sizes().model_dump(exclude={"kind"})
    assert {key: found[key] for key in OLD_DEFAULTS[sizes]} == OLD_DEFAULTS[sizes]
    assert found == {**{key: value for key, value in ADDED.items() if key in found}, **OLD_DEFAULTS[sizes]}


def test_sizes_of_runs_of_format_1_keep_their_meaning() -> None:
    assert upgrade_sizes({"kind": "recurrent", "cell": "lstm"}) == {
        "kind": "recurrent",
        "cell": "lstm",
        "forget_bias": 0.0,
    }
    assert upgrade_sizes({"kind": "seq2seq", "forget_bias": 2.0})["forget_bias"] == 2.0
    assert upgrade_sizes({"kind": "gpt", "positions": "square"}) == {"kind": "gpt", "positions": "square_2pi"}
    assert upgrade_sizes({"kind": "bert", "positions": "rotary"}) == {"kind": "bert", "positions": "rotary"}
    for sizes in ({"kind": "transformer", "positions": "square"}, {"kind": "seq2seq"}):
        TypeAdapter(EncoderDecoderSizes).validate_python(upgrade_sizes(sizes))


@pytest.mark.parametrize(
    ("sizes", "span", "numbers"),
    [
        (TransformerSizes(num_layers=3, num_decoder_layers=1, d_model=8, d_ff=10, num_heads=2), 99, 4 * (96 + 30)),
        (GPTSizes(num_layers=2, d_model=8, d_ff=10, num_heads=2), 5, 2 * (96 + 30 + 20)),
        (ViTSizes(num_layers=2, d_model=8, d_ff=10, num_heads=2), 5, 2 * (96 + 30 + 20)),
        (BertSizes(num_layers=1, d_model=8, d_ff=10, num_heads=2), 7, 96 + 30 + 28),
        (Seq2SeqSizes(num_layers=2, width=8, embedding_width=3), 0, 48 * 8 + 12),
        (RecurrentSizes(num_layers=2, width=8, embedding_width=3), 0, 160 + 9),
        (WindowSizes(window=2, width=8, embedding_width=3), 0, 12 + 24),
        (NGramSizes(), 4, 0),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_what_a_token_keeps_for_the_backward_pass(sizes: Any, span: int, numbers: int) -> None:
    assert sizes.activations_per_token(span) == numbers


class _MeanSizes(NeuralLanguageSizes, frozen=True, extra="forbid"):
    """A kind of model from outside."""

    kind: Literal["mean"] = "mean"
    width: int = Field(6, ge=1, description="of embeddings")

    def activations_per_token(self, span: int) -> int:
        return 2 * self.width


@dataclass(frozen=True)
class _MeanState(TensorState):
    sum_BD: Tensor
    count_B1: Tensor

    def tensors(self) -> list[Tensor]:
        return [self.sum_BD, self.count_B1]

    def with_tensors(self, tensors: Any) -> _MeanState:
        return _MeanState(*tensors)


class _MeanLM(NeuralLanguageModel[_MeanState]):
    """The mean of the embeddings so far predicts the next token."""

    carries_state = True

    def __init__(self, vocab_size: int, sizes: _MeanSizes) -> None:
        super().__init__()
        self.vocab_size, self.sizes = vocab_size, sizes
        self.embedding = nn.Parameter(torch.randn(vocab_size, sizes.width))
        self.output_weight = self.embedding
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))

    @property
    def logit_bias(self) -> Tensor:
        return self.output_bias

    def start(self, batch_size: int) -> _MeanState:
        INFERENCE.begin(self)
        return _MeanState(
            self.embedding.new_zeros(batch_size, self.sizes.width), self.embedding.new_zeros(batch_size, 1)
        )

    def decode(
        self,
        tokens_BT: Tensor,
        state: _MeanState,
        *,
        real_BT: Tensor | None = None,
        document_BT: Tensor | None = None,
        ctx: PassContext = INFERENCE,
    ) -> tuple[Tensor, _MeanState]:
        refuse_documents(document_BT)
        weight_BT1 = (
            torch.ones_like(tokens_BT, dtype=torch.float32)[..., None] if real_BT is None else real_BT[..., None]
        )
        sums = state.sum_BD[:, None] + (F.embedding(tokens_BT, self.embedding) * weight_BT1).cumsum(1)
        counts = state.count_B1[:, None] + weight_BT1.cumsum(1)
        return sums / counts.clamp(min=1), _MeanState(sums[:, -1], counts[:, -1])


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings of language models, with a kind from outside for as long as the test runs."""
    known = dict(LANGUAGE_MODELS)
    add_language_model(LanguageModelSpec("mean", _MeanSizes, _MeanLM))
    LanguageSettings.model_rebuild(force=True)
    yield LanguageSettings
    LANGUAGE_MODELS.clear()
    LANGUAGE_MODELS.update(known)
    LanguageSettings.model_rebuild(force=True)


FILES = {"train": [{"source": "x"}], "validation": [{"source": "x"}]}


def test_a_kind_of_model_can_be_added(plugged: Any) -> None:
    settings = config.validate(plugged, {"data": FILES, "model": {"kind": "mean", "width": 4}}, "a.toml")
    assert settings.model == _MeanSizes(width=4)
    model = make_language_model(VOCAB, settings.model)
    whole, _ = model(SOURCE[:, :-1], SOURCE[:, 1:])
    early, state = model(SOURCE[:, :3], SOURCE[:, 1:4])
    late, _ = model(SOURCE[:, 3:-1], SOURCE[:, 4:], state)
    close(early + late, whole)
    assert add_language_model(LanguageModelSpec("mean", _MeanSizes, _MeanLM)) is None  # the same once more
    with pytest.raises(UsageError, match='kind "gpt": there is one of that name'):
        add_language_model(LanguageModelSpec("gpt", GPTSizes, lambda vocab_size, sizes: GPT(vocab_size, sizes)))
    with pytest.raises(ValueError, match='says kind = "mean"'):
        LanguageModelSpec("median", _MeanSizes, _MeanLM)


def test_errors_of_added_and_other_kinds_are_one_line(plugged: Any) -> None:
    for model, says in (
        ({"kind": "mean", "widht": 3}, 'a.toml: model.widht: unknown key; did you mean "width"?'),
        ({"kind": "meen"}, 'a.toml: model.kind: no such choice: "meen"; did you mean "mean"?'),
        ({"kind": "gpt", "norm": "layr"}, 'a.toml: model.norm: no such choice: "layr"; did you mean "layer"?'),
    ):
        with pytest.raises(UsageError) as error:
            config.validate(plugged, {"data": FILES, "model": model}, "a.toml")
        assert str(error.value) == says


def test_a_kind_that_was_not_added_is_unknown() -> None:
    with pytest.raises(ValidationError, match="'gpt', 'recurrent', 'window', 'ngram'"):
        LanguageSettings.model_validate({"data": FILES, "model": {"kind": "mean"}})
    assert list(ENCODER_DECODERS) == ["seq2seq", "transformer"]


def test_what_is_counted_is_not_built() -> None:
    with pytest.raises(UsageError, match="counted and not trained"):
        make_language_model(VOCAB, NGramSizes())
