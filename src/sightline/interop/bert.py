"""BERT as Hugging Face directories hold it: config.json, model.safetensors, the tokenizer; read and written.

With the heads of pretraining, with that of a classifier, of one that chooses among texts, of a tagger or of an answerer
of questions, or without any: an encoder to be fine-tuned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from pydantic import Field, JsonValue
from torch import Tensor, nn

from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError, UsageError
from sightline.interop.bert_tokenizer import MASK, read_tokenizer, tokenizer_files
from sightline.interop.folders import (
    CONFIG,
    ForeignRecord,
    activation_name,
    as_record,
    read_activation,
    read_record,
    require_fixed,
    write_folder,
)
from sightline.interop.weights import (
    Ignored,
    TensorFiles,
    WeightRow,
    for_layers,
    lay_out,
    linear,
    prefixed,
    read_weights,
)
from sightline.models import BertForPretraining, BertSizes
from sightline.models.classifier import BertClassifier, BertTokenClassifier, Tuning
from sightline.tasks.exchange import ExchangedModel, Head

BODY = "bert."
EMBEDDING = "bert.embeddings.word_embeddings.weight"
OUTPUT_BIAS = "cls.predictions.bias"
# The body by the names within it.
WEIGHTS: tuple[WeightRow, ...] = (
    WeightRow("embedding", (EMBEDDING,), by_token=True),
    WeightRow("positions.table", ("bert.embeddings.position_embeddings.weight",)),
    WeightRow("segments", ("bert.embeddings.token_type_embeddings.weight",)),
    *linear("embedding_norm", "bert.embeddings.LayerNorm"),
    *linear(
        "blocks.#.self_attention",
        *(f"bert.encoder.layer.#.attention.self.{one}" for one in ("query", "key", "value")),
    ),
    *linear("blocks.#.self_attention.output", "bert.encoder.layer.#.attention.output.dense"),
    *linear("blocks.#.self_norm", "bert.encoder.layer.#.attention.output.LayerNorm"),
    *linear("blocks.#.feed_forward.inner", "bert.encoder.layer.#.intermediate.dense"),
    *linear("blocks.#.feed_forward.outer", "bert.encoder.layer.#.output.dense"),
    *linear("blocks.#.feed_forward_norm", "bert.encoder.layer.#.output.LayerNorm"),
    # a checkpoint of masked words alone, a tagger's and an answerer's lack it
    *linear("pooler", "bert.pooler.dense", optional=True),
)
# Other names of the same numbers.
TIED = {"cls.predictions.decoder.weight": EMBEDDING, "cls.predictions.decoder.bias": OUTPUT_BIAS}
IGNORED = (
    Ignored(r"bert\.embeddings\.position_ids", "0, 1, 2, …, which follow from the length"),
    Ignored(r"bert\.embeddings\.token_type_ids", "zeros, for callers that give no segments"),
)
# What BERT fixes and Sightline lets one choose, beside what all blocks have.
FIXED = {"pre_norm": False}
# Tags that begin otherwise than in BIO, and what begins the same spans there: the end of one, and one of a single unit.
TO_BIO = {"E-": "I-", "L-": "I-", "S-": "B-", "U-": "B-"}


@dataclass(frozen=True)
class BertHead:
    """What lies on the body for one task.

    Attributes:
        architecture: the other toolkit's name of the whole. table: the head's rows; that the first is there tells the
            head. body: what our names of the body begin with. make: the model, from the vocabulary with [MASK], sizes
            and outputs. pools: whether the pooler is used.
    """

    architecture: str
    table: tuple[WeightRow, ...]
    body: str
    make: Callable[[int, BertSizes, int], nn.Module]
    pools: bool = True


def _pretraining(vocab_size: int, sizes: BertSizes, outputs: int) -> nn.Module:
    return BertForPretraining(vocab_size, sizes)


def _classifier(vocab_size: int, sizes: BertSizes, outputs: int) -> nn.Module:
    return BertClassifier(vocab_size - 1, sizes, outputs, Tuning.model_validate({}))


def _token_classifier(vocab_size: int, sizes: BertSizes, outputs: int) -> nn.Module:
    return BertTokenClassifier(vocab_size - 1, sizes, outputs, Tuning.model_validate({}))


PRETRAINING = (
    *linear("transform", "cls.predictions.transform.dense"),
    *linear("transform_norm", "cls.predictions.transform.LayerNorm"),
    WeightRow("output_bias", (OUTPUT_BIAS,), by_token=True),
    *linear("next_sentence", "cls.seq_relationship", optional=True),
)
CLASSIFIER = linear("head", "classifier")
# Of those whose head has the same names the config's architecture tells which it is.
HEADS: dict[Head, BertHead] = {
    "masked_tokens": BertHead("BertForPreTraining", PRETRAINING, "bert.", _pretraining),
    "sequence_classes": BertHead("BertForSequenceClassification", CLASSIFIER, "body.", _classifier),
    "choice": BertHead("BertForMultipleChoice", CLASSIFIER, "body.", _classifier),
    "token_classes": BertHead("BertForTokenClassification", CLASSIFIER, "body.", _token_classifier, pools=False),
    "answer_span": BertHead(
        "BertForQuestionAnswering", linear("head", "qa_outputs"), "body.", _token_classifier, pools=False
    ),
    "encoder": BertHead("BertModel", (), "bert.", _pretraining),
}
# Every name that a head's tensors begin with.
HEAD_NAMES = ("cls.", "classifier.", "qa_outputs.")


class BertConfig(ForeignRecord):
    """What is read of a BERT's config.json."""

    model_type: str
    architectures: list[str] | None = None
    vocab_size: int | None = None
    hidden_size: int = Field(ge=1, lt=1 << 31)
    num_hidden_layers: int = Field(ge=1, lt=1 << 31)
    num_attention_heads: int = Field(ge=1, lt=1 << 31)
    intermediate_size: int = Field(ge=1, lt=1 << 31)
    max_position_embeddings: int = Field(512, ge=4, lt=1 << 31)
    type_vocab_size: int = Field(2, ge=1, lt=1 << 31)
    layer_norm_eps: float = Field(1e-12, gt=0)
    hidden_dropout_prob: float = Field(0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(0.1, ge=0, lt=1)
    hidden_act: str = "gelu"
    position_embedding_type: str | None = "absolute"
    is_decoder: bool | None = False
    add_cross_attention: bool | None = False
    problem_type: str | None = None
    id2label: dict[int, str | int | float] | None = None

    def sizes(self, where: Path) -> BertSizes:
        """Raises DataError for what a BERT cannot be here."""
        if self.model_type != "bert":
            raise DataError(f"{where}: model_type is {self.model_type!r}, and must be 'bert'")
        if self.position_embedding_type not in (None, "absolute") or self.is_decoder or self.add_cross_attention:
            raise DataError(f"{where}: relative positions and decoders are not supported")
        values = {
            "d_model": self.hidden_size,
            "num_layers": self.num_hidden_layers,
            "num_heads": self.num_attention_heads,
            "d_ff": self.intermediate_size,
            "max_length": self.max_position_embeddings,
            "segments": self.type_vocab_size,
            "norm_epsilon": self.layer_norm_eps,
            "dropout": self.hidden_dropout_prob,
            "attention_dropout": self.attention_probs_dropout_prob,
            "activation": read_activation(self.hidden_act, "hidden_act", where),
        }
        return as_record(BertSizes, values, where)


def table(kind: Head, sizes: BertSizes) -> Iterator[WeightRow]:
    """The rows of a BERT with one of HEADS."""
    head = HEADS[kind]
    return chain(for_layers(prefixed(WEIGHTS, head.body), sizes.num_layers), head.table)


def _of_today(name: str) -> str:
    """Some checkpoints of 2018 call a norm's weight and bias gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def read_bert(folder: str | Path) -> ExchangedModel:
    """A BERT of Hugging Face's layout: of pretraining, of masked words alone, with another of HEADS, or without one.

    What a checkpoint may lack (pooler, next sentence) is drawn at random; it is not used before it is trained.

    Raises:
        DataError, CheckpointError: naming the file or the tensor that is missing, damaged or of another kind of model.
    """
    folder = Path(folder)
    where = folder / CONFIG
    config = read_record(BertConfig, where)
    sizes = config.sizes(where)
    files = TensorFiles(folder, BODY, HEAD_NAMES, _of_today)
    rows = files.rows(EMBEDDING)
    if config.vocab_size not in (None, rows):
        raise DataError(
            f"{where}: vocab_size {config.vocab_size}, and the embedding has {rows} rows; they do not belong together"
        )
    kind = _head(config, files, where)
    head = HEADS[kind]
    tokenizer, order = read_tokenizer(folder, rows)
    outputs = files.rows(head.table[0].theirs[0]) if kind != "masked_tokens" and head.table else 0
    made: dict[str, nn.Module] = {}

    def make() -> nn.Module:
        return made.setdefault("model", head.make(len(order), sizes, outputs))

    weights = read_weights(files, table(kind, sizes), make, order, ignored=IGNORED, tied=TIED)
    if kind != "encoder":
        shapes = {name: parameter.shape for name, parameter in made["model"].named_parameters()}
        weights |= _drawn({name: shape for name, shape in shapes.items() if name not in weights})
    labels, remarks = _labels(config, kind, outputs, where)
    return ExchangedModel(
        kind,
        sizes,
        weights,
        tokenizer,
        architecture=(config.architectures or [head.architecture])[0],
        labels=labels,
        next_sentence=PRETRAINING[-1].theirs[0] in files and kind == "masked_tokens",
        remarks=remarks,
    )


def _drawn(shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """N(0, 0.02) for matrices, zero for biases, as BERT begins; the same each time."""
    random = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=random) * 0.02 if len(shape) == 2 else torch.zeros(shape)
        for name, shape in shapes.items()
    }


def _head(config: BertConfig, files: TensorFiles, where: Path) -> Head:
    """The key of the head that these weights have.

    Raises DataError for a head that there is not here, where several have these weights' names and the config names
    none of them, and for one that computes something else here.
    """
    if config.problem_type == "multi_label_classification":
        raise DataError(f"{where}: problem_type multi_label_classification is not supported")
    told = config.architectures or []
    there: dict[Head, BertHead] = {
        key: head for key, head in HEADS.items() if head.table and head.table[0].theirs[0] in files
    }
    named: list[Head] = [key for key, head in there.items() if head.architecture in told]
    known = " or ".join(head.architecture for head in (there or HEADS).values())
    if not there and not any(name.startswith(HEAD_NAMES) for name in files.names):
        return "encoder"
    if not there:
        what = told[0] if told else "no architectures"
        raise DataError(f"{where}: {what}; the weights have none of the heads that can be read, those of {known}")
    if len(there) > 1 and not named:
        raise DataError(f"{where}: {told or 'no architectures'}; its head could be that of {known}, which one must be "
                        "named")  # fmt: skip
    return next(iter(named or there))


def _labels(config: BertConfig, kind: Head, outputs: int, where: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the outputs where they have some, tags in BIO; and what is to be said of them."""
    # one output of a classifier is a number
    if kind != "token_classes" and (kind != "sequence_classes" or outputs == 1):
        return (), ()
    named = config.id2label or {}
    labels = tuple(str(named.get(i, f"LABEL_{i}")) for i in range(outputs))
    if len(set(labels)) < len(labels) and kind != "token_classes":
        raise DataError(f"{where}: id2label names two outputs alike")
    spans = kind == "token_classes" and all(re.fullmatch(r"O|[BIELSU]-.+", label) for label in labels)
    changed = tuple(TO_BIO.get(label[:2], label[:2]) + label[2:] for label in labels) if spans else labels
    if changed == labels:
        return labels, ()
    odd = next(label for label in labels if label[:2] in TO_BIO)
    return changed, (f"Its tags came in another scheme than BIO ({odd}): E- and L- are read as I-, S- and U- as B-.",)


def write_bert(folder: str | Path, model: ExchangedModel) -> str:
    """Writes what `read_bert` and the transformers library read. Returns which ids the special tokens have, and whose.

    A classifier without labels predicts a number.

    Raises:
        UsageError: where the model is not of BERT's kind, naming what is not.
    """
    folder, sizes, kind = Path(folder), model.sizes, model.head
    if not isinstance(sizes, BertSizes):
        raise UsageError(f"{folder}: a {sizes.kind} model has no place in BERT")
    require_fixed(sizes, FIXED, "BERT")
    head = HEADS[kind]
    tokenizer = tokenizer_files(model.require_tokenizer(), sizes.max_length)
    config: dict[str, JsonValue] = {
        "model_type": "bert",
        "architectures": [head.architecture],
        "vocab_size": len(tokenizer.order),
        "hidden_size": sizes.d_model,
        "num_hidden_layers": sizes.num_layers,
        "num_attention_heads": sizes.num_heads,
        "intermediate_size": sizes.d_ff,
        "max_position_embeddings": sizes.max_length,
        "type_vocab_size": sizes.segments,
        "hidden_act": activation_name(sizes.activation, "BERT"),
        "layer_norm_eps": sizes.norm_epsilon,
        "hidden_dropout_prob": sizes.dropout,
        "attention_probs_dropout_prob": sizes.attention_dropout,
        "pad_token_id": tokenizer.order.index(Tokenizer.pad_id),
        "torch_dtype": "float32",
    }
    names = list(model.labels) or ["value"] * (kind == "sequence_classes")
    if names:
        config["id2label"] = {str(i): name for i, name in enumerate(names)}
        config["label2id"] = {name: i for i, name in enumerate(names)}
    if kind == "sequence_classes":
        config["problem_type"] = "single_label_classification" if model.labels else "regression"
    rows = [row for row in table(kind, sizes) if head.pools or "pooler." not in row.ours]
    rows = [row for row in rows if row.ours in model.weights or not row.optional]
    tensors = lay_out(model.weights, rows, tokenizer.order)
    if kind == "encoder":
        tensors = {name.removeprefix(BODY): tensor for name, tensor in tensors.items()}
    write_folder(folder, {CONFIG: config, **tokenizer.files}, tensors)
    return tokenizer.said


__all__ = ["HEADS", "MASK", "WEIGHTS", "read_bert", "table", "write_bert"]
