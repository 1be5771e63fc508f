"""BERT as Hugging Face directories hold it: config.json, model.safetensors, the tokenizer; read and written.

With the heads of pretraining, or with that of a classifier, a tagger or an answerer of questions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from sightline.data.tokenizer import Tokenizer
from sightline.data.vocabulary import BOS, EOS, PAD, UNK
from sightline.errors import CheckpointError, DataError, UsageError
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


@dataclass(frozen=True)
class Head:
    """What lies on the body for one task.

    Attributes:
        architecture: their name of the whole. names: ours and theirs of the head's tensors; that the first of theirs
            is there tells the head. body: what our names of the body begin with. make: the model, from the vocabulary
            with [MASK], sizes and outputs. pools: whether the pooler is used.
    """

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
# By task. Of those whose head has the same names the config's architecture tells which it is.
HEADS = {
    "masked_language": Head(
        "BertForPreTraining", _PRETRAINING, "bert.", lambda vocab_size, sizes, _: BertForPretraining(vocab_size, sizes)
    ),
    "classification": Head("BertForSequenceClassification", _CLASSIFIER, "body.", _tuned(BertClassifier)),
    "tagging": Head("BertForTokenClassification", _CLASSIFIER, "body.", _tuned(BertTokenClassifier), pools=False),
    "question_answering": Head("BertForQuestionAnswering", _ANSWERS, "body.", _tuned(BertTokenClassifier), pools=False),
}
# What a checkpoint of masked words alone lacks.
OPTIONAL = ("pooler.", "next_sentence.")
# What BERT fixes and Sightline lets one choose.
FIXED = {"positions": "learned", "norm": "layer", "pre_norm": False}
# Their special tokens in the order of ours; [MASK] is last here.
SPECIALS = {"[PAD]": PAD, "[CLS]": BOS, "[SEP]": EOS, "[UNK]": UNK}
MASK = "[MASK]"


@dataclass(frozen=True)
class Imported:
    """A BERT in Sightline's terms.

    Attributes:
        task: a key of HEADS. weights: by our names. labels: classes or tags; none of other tasks, and where a number
            is predicted. next_sentence: whether there was a head for that.
    """

    task: str
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
    tokenizer, order = _read_tokenizer(folder)
    # some checkpoints of 2018 call a norm's weight and bias gamma and beta
    found = {
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): tensor.float()
        for name, tensor in read_tensors(folder).items()
    }
    task = _task(config, found, where)
    head = HEADS[task]
    outputs = len(found.get(head.names[0][1], ()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = head.make(len(order), sizes, outputs)
    weights = _weights(folder, model, found, order, task)
    check_shapes(folder, model, weights)
    labels: tuple[str, ...] = ()
    # one output is a number
    if (task == "classification" and outputs > 1) or task == "tagging":
        named = config.get("id2label") or {}
        labels = tuple(str(named.get(str(i), f"LABEL_{i}")) for i in range(outputs))
        if len(set(labels)) < len(labels):
            raise DataError(f"{where}: id2label names two outputs alike")
    return Imported(task, sizes, tokenizer, weights, labels, _PRETRAINING[-1][1] in found)


def _task(config: Mapping[str, Any], found: Mapping[str, Tensor], where: Path) -> str:
    """The task whose head these weights have; without any it is that of pretraining, which then lacks weights.

    Raises DataError where the config names another head, or none where several have these weights' names.
    """
    if config.get("problem_type") == "multi_label_classification":
        raise DataError(f"{where}: problem_type multi_label_classification is not supported")
    there = {task: head for task, head in HEADS.items() if head.names[0][1] in found}
    named = [task for task, head in there.items() if head.architecture in (config.get("architectures") or [])]
    if len(there) > 1 and not named:
        told = config.get("architectures") or "no architectures"
        known = " or ".join(head.architecture for head in there.values())
        raise DataError(f"{where}: {told}; its head could be that of {known}, which one must be named")
    return next(iter(named or there), "masked_language")


def _weights(
    folder: Path, model: nn.Module, found: Mapping[str, Tensor], order: Sequence[int], task: str
) -> dict[str, Tensor]:
    """Their tensors by our names, rows of tokens in our order; at random what a checkpoint need not have."""
    head = HEADS[task]
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
    by_token = [(head.body + EMBEDDING[0], "bert." + EMBEDDING[1])] + [OUTPUT_BIAS] * (task == "masked_language")
    for ours, theirs in by_token:
        rows = take(ours, [theirs])
        if len(rows) < len(order):
            raise CheckpointError(f"{folder}: {theirs} has {len(rows)} rows for {len(order)} tokens")
        weights[ours] = rows[torch.tensor(order)]
    return weights


def write_bert(
    folder: str | Path,
    task: str,
    sizes: BertSizes,
    tokenizer: Tokenizer,
    weights: Mapping[str, Tensor],
    labels: Sequence[str] = (),
) -> None:
    """Writes what `read_bert` and the transformers library read.

    Args:
        task: a key of HEADS. labels: classes or tags; a classifier without any predicts a number.

    Raises:
        UsageError: where the model is not of BERT's kind, naming what is not.
    """
    folder = Path(folder)
    require(sizes, FIXED, "BERT")
    head = HEADS[task]
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
    names = list(labels) or ["value"] * (task == "classification")
    if names:
        config |= {"id2label": {str(i): name for i, name in enumerate(names)}}
        config |= {"label2id": {name: i for i, name in enumerate(names)}}
    if task == "classification":
        config |= {"problem_type": "single_label_classification" if labels else "regression"}
    tensors: dict[str, Tensor] = {}
    for ours, theirs in body(sizes.num_layers):
        if head.pools or not ours.startswith("pooler."):
            parts = weights[head.body + ours].chunk(len(theirs))
            tensors |= {f"bert.{name}": part.contiguous() for name, part in zip(theirs, parts, strict=True)}
    tensors["bert." + EMBEDDING[1]] = weights[head.body + EMBEDDING[0]]
    for ours, theirs in (*head.names, *[OUTPUT_BIAS] * (task == "masked_language")):
        tensors[theirs] = weights[ours]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_tokenizer(folder, tokenizer, sizes.max_length)
        write_folder(folder, config, tensors)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror})") from None


def _write_tokenizer(folder: Path, tokenizer: Tokenizer, max_length: int) -> None:
    """The tokenizer with its specials under their names, and [MASK]."""
    values = json.loads(tokenizer.to_json())
    vocabulary = values["model"]["vocab"]
    if type(vocabulary) is not dict:
        raise UsageError('tokenizer.kind: "unigram" keeps no table of pieces; a BERT with it cannot be exported')
    renamed = {ours: theirs for theirs, ours in SPECIALS.items()}
    values["model"]["vocab"] = {renamed.get(piece, piece): i for piece, i in vocabulary.items()}
    values["model"]["vocab"][MASK] = tokenizer.vocab_size
    if values["model"].get("unk_token"):
        values["model"]["unk_token"] = "[UNK]"
    values["added_tokens"] = []
    backend = tokenizers.Tokenizer.from_str(json.dumps(values))
    present = [name for name in SPECIALS if backend.token_to_id(name) is not None]
    backend.add_special_tokens([*present, MASK])
    ends = [("[CLS]", Tokenizer.bos_id), ("[SEP]", Tokenizer.eos_id)]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    backend.save(str(folder / "tokenizer.json"))
    notes = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_length, "mask_token": MASK}
    notes |= {f"{name[1:-1].lower()}_token": name for name in present}
    notes |= {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(notes, indent=2), encoding="utf-8")


def _read_tokenizer(folder: Path) -> tuple[Tokenizer, list[int]]:
    """The tokenizer in Sightline's order, and the id that each of its tokens, and [MASK], has in theirs."""
    path = folder / "tokenizer.json"
    if path.exists():
        values = read_json(path)
    else:
        path = folder / "vocab.txt"
        values = _from_vocabulary(path, folder)
    vocabulary = values.get("model", {}).get("vocab")
    if type(vocabulary) is not dict or values["model"].get("type") != "WordPiece":
        raise DataError(f"{path}: not a tokenizer of word pieces, as BERT's is")
    theirs = {**vocabulary, **{one["content"]: one["id"] for one in values.get("added_tokens") or []}}
    for name in (*SPECIALS, MASK):
        if name not in theirs:
            raise DataError(f"{path}: has no {name}, which BERT needs")
    pieces = sorted((i, piece) for piece, i in theirs.items() if piece not in SPECIALS and piece != MASK)
    named = [SPECIALS[name] for name in SPECIALS] + [piece for _, piece in pieces]
    order = [theirs[name] for name in SPECIALS] + [i for i, _ in pieces] + [theirs[MASK]]
    values["model"] |= {"vocab": {piece: i for i, piece in enumerate(named)}, "unk_token": UNK}
    values |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    try:
        backend = tokenizers.Tokenizer.from_str(json.dumps(values))
    except Exception as error:  # the library raises bare Exception for every fault
        raise DataError(f"{path}: the tokenizer is damaged ({error}); fetch it again") from None
    backend.add_special_tokens([PAD, BOS, EOS, UNK])
    return Tokenizer(backend, where=str(path)), order


def _from_vocabulary(path: Path, folder: Path) -> dict[str, Any]:
    """A tokenizer.json's content for the older vocab.txt, a piece a line."""
    try:
        pieces = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); there is no tokenizer.json either") from None
    notes = folder / "tokenizer_config.json"
    lower = bool(read_json(notes).get("do_lower_case", True)) if notes.exists() else True
    backend = tokenizers.Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lower)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return json.loads(backend.to_str())
