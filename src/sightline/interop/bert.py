"""BERT as Hugging Face directories hold it: config.json, model.safetensors, the tokenizer; read and written.

With the heads of pretraining, or with that of a classifier, of one that chooses among texts, of a tagger or of an
answerer of questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.data.tokenizer import Tokenizer
from sightline.errors import CheckpointError, DataError, UsageError
from sightline.interop.bert_tokenizer import read_tokenizer, write_tokenizer
from sightline.interop.folders import (
    check_shapes,
    our_activation,
    read_json,
    read_sizes,
    read_tensors,
    require,
    their_activation,
    write_folder,
)
from sightline.models import BertForPretraining, BertSizes
from sightline.models.classifier import BertClassifier, BertTokenClassifier, Tuning

# The weight map of the body: our names, theirs. "#" is the number of a block. Where there are several of theirs, ours
# is those one below the other.
_LINEAR = ("weight", "bias")
WEIGHTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("positions.table", ("embeddings.position_embeddings.weight",)),
    ("segments", ("embeddings.token_type_embeddings.weight",)),
    *((f"embedding_norm.{part}", (f"embeddings.LayerNorm.{part}",)) for part in _LINEAR),
    *(
        (f"blocks.#.self_attention.{part}",
         tuple(f"encoder.layer.#.attention.self.{one}.{part}" for one in ("query", "key", "value")))
        for part in _LINEAR
    ),
    *(
        (f"blocks.#.{ours}.{part}", (f"encoder.layer.#.{theirs}.{part}",))
        for ours, theirs in (
            ("self_attention.output", "attention.output.dense"),
            ("self_norm", "attention.output.LayerNorm"),
            ("feed_forward.inner", "intermediate.dense"),
            ("feed_forward.outer", "output.dense"),
            ("feed_forward_norm", "output.LayerNorm"),
        )
        for part in _LINEAR
    ),
    *((f"pooler.{part}", (f"pooler.dense.{part}",)) for part in _LINEAR),
)  # fmt: skip
EMBEDDING = ("embedding", "embeddings.word_embeddings.weight")
OUTPUT_BIAS = ("output_bias", "cls.predictions.bias")
# What projects to the vocabulary, and what it is another name of.
TIED = {
    "cls.predictions.decoder.weight": "bert." + EMBEDDING[1],
    "cls.predictions.decoder.bias": OUTPUT_BIAS[1],
}


@dataclass(frozen=True)
class Head:
    """What lies on the body for one task.

    Attributes:
        task: what the model is a run of. architecture: their name of the whole. names: ours and theirs of the head's
            tensors; that the first of theirs is there tells the head. body: what our names of the body begin with.
            make: the model, from the vocabulary with [MASK], sizes and outputs. pools: whether the pooler is used.
    """

    task: str
    architecture: str
    names: tuple[tuple[str, str], ...]
    body: str
    make: Callable[[int, BertSizes, int], nn.Module]
    pools: bool = True


def _tuned(kind: Callable[..., nn.Module]) -> Callable[[int, BertSizes, int], nn.Module]:
    return lambda vocab_size, sizes, outputs: kind(vocab_size - 1, sizes, outputs, Tuning.model_validate({}))


_PRETRAINING = (
    *((f"transform.{part}", f"cls.predictions.transform.dense.{part}") for part in _LINEAR),
    *((f"transform_norm.{part}", f"cls.predictions.transform.LayerNorm.{part}") for part in _LINEAR),
    *((f"next_sentence.{part}", f"cls.seq_relationship.{part}") for part in _LINEAR),
)
_CLASSIFIER = tuple((f"head.{part}", f"classifier.{part}") for part in _LINEAR)
_ANSWERS = tuple((f"head.{part}", f"qa_outputs.{part}") for part in _LINEAR)
# Of those whose head has the same names the config's architecture tells which it is.
HEADS = {
    "masked_language": Head(
        "masked_language",
        "BertForPreTraining",
        _PRETRAINING,
        "bert.",
        lambda vocab_size, sizes, _: BertForPretraining(vocab_size, sizes),
    ),
    "classification": Head(
        "classification", "BertForSequenceClassification", _CLASSIFIER, "body.", _tuned(BertClassifier)
    ),
    "choice": Head("classification", "BertForMultipleChoice", _CLASSIFIER, "body.", _tuned(BertClassifier)),
    "tagging": Head(
        "tagging", "BertForTokenClassification", _CLASSIFIER, "body.", _tuned(BertTokenClassifier), pools=False
    ),
    "question_answering": Head(
        "question_answering", "BertForQuestionAnswering", _ANSWERS, "body.", _tuned(BertTokenClassifier), pools=False
    ),
}
# What a checkpoint of masked words alone lacks.
OPTIONAL = ("pooler.", "next_sentence.")
# What BERT fixes and Sightline lets one choose.
FIXED = {"positions": "learned", "norm": "layer", "pre_norm": False}


@dataclass(frozen=True)
class Imported:
    """A BERT in Sightline's terms.

    Attributes:
        head: a key of HEADS. weights: by our names. labels: classes or tags; none with other heads, and where a number
            is predicted. next_sentence: whether there was a head for that.
    """

    head: str
    sizes: BertSizes
    tokenizer: Tokenizer
    weights: dict[str, Tensor]
    labels: tuple[str, ...]
    next_sentence: bool


def body(layers: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(our name, theirs) of every tensor of the body that is not by token."""
    for ours, theirs in WEIGHTS:
        for number in range(layers) if "#" in ours else (0,):
            yield ours.replace("#", str(number)), tuple(one.replace("#", str(number)) for one in theirs)


def read_bert(folder: str | Path) -> Imported:
    """A BERT of Hugging Face's layout: of pretraining, of masked words alone, or with one of the other HEADS.

    What a checkpoint may lack (pooler, next sentence) is drawn at random.

    Raises:
        DataError, CheckpointError: naming the file that is missing, damaged or of another kind of model.
    """
    folder = Path(folder)
    where = folder / "config.json"
    config = read_json(where)
    if config.get("model_type") != "bert":
        raise DataError(f"{where}: model_type is {config.get('model_type')!r}, and must be 'bert'")
    if config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder"):
        raise DataError(f"{where}: relative positions and decoders are not supported")
    values = {
        "d_model": ("hidden_size", ...),
        "num_layers": ("num_hidden_layers", ...),
        "num_heads": ("num_attention_heads", ...),
        "d_ff": ("intermediate_size", ...),
        "max_length": ("max_position_embeddings", 512),
        "segments": ("type_vocab_size", 2),
        "norm_epsilon": ("layer_norm_eps", 1e-12),
        "dropout": ("hidden_dropout_prob", 0.1),
        "attention_dropout": ("attention_probs_dropout_prob", 0.1),
    }
    own = {"activation": our_activation(config, "hidden_act", "gelu", where)}
    sizes = read_sizes(BertSizes, values, config, where, own)
    tokenizer, order = read_tokenizer(folder)
    # some checkpoints of 2018 call a norm's weight and bias gamma and beta
    found = {
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): tensor.float()
        for name, tensor in read_tensors(folder).items()
    }
    kind = _head(config, found, where)
    head = HEADS[kind]
    outputs = len(found.get(head.names[0][1], ()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = head.make(len(order), sizes, outputs)
    weights = _weights(folder, model, found, order, kind)
    check_shapes(folder, model, weights)
    labels: tuple[str, ...] = ()
    # one output is a number
    if (kind == "classification" and outputs > 1) or kind == "tagging":
        named = config.get("id2label") or {}
        labels = tuple(str(named.get(str(i), f"LABEL_{i}")) for i in range(outputs))
        if len(set(labels)) < len(labels):
            raise DataError(f"{where}: id2label names two outputs alike")
    return Imported(kind, sizes, tokenizer, weights, labels, _PRETRAINING[-1][1] in found)


def _head(config: Mapping[str, Any], found: Mapping[str, Tensor], where: Path) -> str:
    """The key of the head that these weights have.

    Raises DataError where there is none, where several have these weights' names and the config names none of them,
    and for a head that computes something else here.
    """
    if config.get("problem_type") == "multi_label_classification":
        raise DataError(f"{where}: problem_type multi_label_classification is not supported")
    told = config.get("architectures") or []
    there = {key: head for key, head in HEADS.items() if head.names[0][1] in found}
    named = [key for key, head in there.items() if head.architecture in told]
    known = " or ".join(head.architecture for head in (there or HEADS).values())
    if not there:
        what = told[0] if told else "no architectures"
        raise DataError(f"{where}: {what}; the weights have none of the heads that can be read, those of {known}")
    if len(there) > 1 and not named:
        raise DataError(f"{where}: {told or 'no architectures'}; its head could be that of {known}, which one must be "
                        "named")  # fmt: skip
    for name, same in TIED.items():
        if name in found and same in found and not torch.equal(found[name], found[same]):
            raise DataError(f"{where.parent}: {name} is not tied to {same}, and only tied ones can be read")
    return next(iter(named or there))


def _weights(
    folder: Path, model: nn.Module, found: Mapping[str, Tensor], order: Sequence[int], kind: str
) -> dict[str, Tensor]:
    """Their tensors by our names, rows of tokens in our order; at random what a checkpoint need not have."""
    head = HEADS[kind]
    fresh = dict(model.named_parameters())
    weights: dict[str, Tensor] = {}

    def take(ours: str, theirs: Sequence[str]) -> Tensor:
        plain = ours.removeprefix(head.body)
        if theirs[0] not in found and plain.startswith(OPTIONAL):
            return fresh[ours].detach()
        missing = next((name for name in theirs if name not in found), None)
        if missing is not None:
            raise CheckpointError(f"{folder}: the weights lack {missing}; fetch them again")
        return torch.cat([found[name] for name in theirs])

    layers: Any = model.get_submodule(head.body[:-1])
    for ours, theirs in body(layers.sizes.num_layers):
        weights[head.body + ours] = take(head.body + ours, [f"bert.{name}" for name in theirs])
    for ours, theirs in head.names:
        weights[ours] = take(ours, [theirs])
    by_token = [(head.body + EMBEDDING[0], "bert." + EMBEDDING[1])] + [OUTPUT_BIAS] * (kind == "masked_language")
    for ours, theirs in by_token:
        rows = take(ours, [theirs])
        if max(order) >= len(rows):
            raise CheckpointError(
                f"{folder}: {theirs} has {len(rows)} rows for {max(order) + 1} tokens of the vocabulary; they do not "
                "belong together"
            )
        weights[ours] = rows[torch.tensor(order)]
    return weights


def write_bert(
    folder: str | Path,
    kind: str,
    sizes: BertSizes,
    tokenizer: Tokenizer,
    weights: Mapping[str, Tensor],
    labels: Sequence[str] = (),
) -> None:
    """Writes what `read_bert` and the transformers library read.

    Args:
        kind: a key of HEADS. labels: classes or tags; a classifier without any predicts a number.

    Raises:
        UsageError: where the model is not of BERT's kind, naming what is not.
    """
    folder = Path(folder)
    require(sizes, FIXED, "BERT")
    head = HEADS[kind]
    config = {
        "model_type": "bert",
        "architectures": [head.architecture],
        "vocab_size": tokenizer.vocab_size + 1,
        "hidden_size": sizes.d_model,
        "num_hidden_layers": sizes.num_layers,
        "num_attention_heads": sizes.num_heads,
        "intermediate_size": sizes.d_ff,
        "max_position_embeddings": sizes.max_length,
        "type_vocab_size": sizes.segments,
        "hidden_act": their_activation(sizes.activation, "BERT"),
        "layer_norm_eps": sizes.norm_epsilon,
        "hidden_dropout_prob": sizes.dropout,
        "attention_probs_dropout_prob": sizes.attention_dropout,
        "pad_token_id": Tokenizer.pad_id,
        "torch_dtype": "float32",
    }
    names = list(labels) or ["value"] * (kind == "classification")
    if names:
        config |= {"id2label": {str(i): name for i, name in enumerate(names)}}
        config |= {"label2id": {name: i for i, name in enumerate(names)}}
    if kind == "classification":
        config |= {"problem_type": "single_label_classification" if labels else "regression"}
    tensors: dict[str, Tensor] = {}
    for ours, theirs in body(sizes.num_layers):
        if head.pools or not ours.startswith("pooler."):
            parts = weights[head.body + ours].chunk(len(theirs))
            tensors |= {f"bert.{name}": part.contiguous() for name, part in zip(theirs, parts, strict=True)}
    tensors["bert." + EMBEDDING[1]] = weights[head.body + EMBEDDING[0]]
    for ours, theirs in (*head.names, *[OUTPUT_BIAS] * (kind == "masked_language")):
        tensors[theirs] = weights[ours]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_tokenizer(folder, tokenizer, sizes.max_length)
        write_folder(folder, config, tensors)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror})") from None
