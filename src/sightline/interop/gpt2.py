"""GPT-2 as Hugging Face directories hold it: config.json, model.safetensors, the tokenizer; read and written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor

from sightline.data.tokenizer import Tokenizer
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
from sightline.models import GPT, GPTSizes
from sightline.special_tokens import BOS, EOS, PAD

END_OF_TEXT = "<|endoftext|>"
SPECIALS = 3  # padding, beginning and end of sentence come first in Sightline; GPT-2 has one special, the last

# The weight map: our name, theirs, and whether theirs is transposed. "#" is the number of a block.
WEIGHTS = (
    ("positions.table", "wpe.weight", False),
    ("norm.weight", "ln_f.weight", False),
    ("norm.bias", "ln_f.bias", False),
    ("blocks.#.self_norm.weight", "h.#.ln_1.weight", False),
    ("blocks.#.self_norm.bias", "h.#.ln_1.bias", False),
    ("blocks.#.self_attention.weight", "h.#.attn.c_attn.weight", True),
    ("blocks.#.self_attention.bias", "h.#.attn.c_attn.bias", False),
    ("blocks.#.self_attention.output.weight", "h.#.attn.c_proj.weight", True),
    ("blocks.#.self_attention.output.bias", "h.#.attn.c_proj.bias", False),
    ("blocks.#.feed_forward_norm.weight", "h.#.ln_2.weight", False),
    ("blocks.#.feed_forward_norm.bias", "h.#.ln_2.bias", False),
    ("blocks.#.feed_forward.inner.weight", "h.#.mlp.c_fc.weight", True),
    ("blocks.#.feed_forward.inner.bias", "h.#.mlp.c_fc.bias", False),
    ("blocks.#.feed_forward.outer.weight", "h.#.mlp.c_proj.weight", True),
    ("blocks.#.feed_forward.outer.bias", "h.#.mlp.c_proj.bias", False),
)
# Matrices whose rows are tokens: reordered, since the two number tokens differently.
BY_TOKEN = (("embedding", "wte.weight"), ("output_weight", "lm_head.weight"))
# What GPT-2 fixes and Sightline lets one choose.
FIXED = {"positions": "learned", "norm": "layer", "pre_norm": True, "num_kv_heads": None, "cutoffs": ()}


@dataclass(frozen=True)
class Imported:
    """A GPT-2 in Sightline's terms."""

    sizes: GPTSizes
    tokenizer: Tokenizer
    weights: dict[str, Tensor]  # by our names
    documents: bool = True  # whether it learned where they begin and end


def names(layers: int) -> Iterator[tuple[str, str, bool]]:
    """(our name, theirs, transposed) of every tensor that is not by token."""
    for ours, theirs, transposed in WEIGHTS:
        for number in range(layers) if "#" in ours else (0,):
            yield ours.replace("#", str(number)), theirs.replace("#", str(number)), transposed


def to_their_rows(by_token_VD: Tensor) -> Tensor:
    """Rows in GPT-2's order of tokens: the learned ones, then the end of text."""
    return torch.cat([by_token_VD[SPECIALS:], by_token_VD[SPECIALS - 1 : SPECIALS]])


def to_our_rows(by_token_VD: Tensor) -> Tensor:
    """Rows in Sightline's order: padding and beginning (zeros, never used), the end, the learned ones."""
    return torch.cat([torch.zeros_like(by_token_VD[:2]), by_token_VD[-1:], by_token_VD[:-1]])


def read_gpt2(folder: str | Path) -> Imported:
    """A GPT-2 of Hugging Face's layout.

    Raises:
        DataError, CheckpointError: naming the file that is missing, damaged or of another kind of model.
    """
    folder = Path(folder)
    config = read_json(folder / "config.json")
    if config.get("model_type") != "gpt2":
        raise DataError(f"{folder / 'config.json'}: model_type is {config.get('model_type')!r}, and must be 'gpt2'")
    odd = [name for name in ("scale_attn_by_inverse_layer_idx", "add_cross_attention") if config.get(name)]
    if odd or not config.get("scale_attn_weights", True):
        raise DataError(f"{folder / 'config.json'}: {(odd or ['scale_attn_weights'])[0]} is not supported")
    values = {
        "d_model": ("n_embd", ...),
        "num_layers": ("n_layer", ...),
        "num_heads": ("n_head", ...),
        "max_length": ("n_positions", 1024),
        "dropout": ("resid_pdrop", 0.1),
        "attention_dropout": ("attn_pdrop", 0.1),
        "tied": ("tie_word_embeddings", True),
        "norm_epsilon": ("layer_norm_epsilon", 1e-5),
    }
    own = {
        "d_ff": config.get("n_inner") or 4 * int(config.get("n_embd", 0)),
        "activation": our_activation(config, "activation_function", "gelu_new", folder / "config.json"),
    }
    sizes = read_sizes(GPTSizes, values, config, folder / "config.json", own)
    found = {name.removeprefix("transformer."): tensor for name, tensor in read_tensors(folder).items()}
    wanted = [*names(sizes.num_layers), *((ours, theirs, False) for ours, theirs in BY_TOKEN[: 2 - sizes.tied])]
    weights: dict[str, Tensor] = {}
    for ours, theirs, transposed in wanted:
        if theirs not in found:
            raise CheckpointError(f"{folder}: the weights lack {theirs}; fetch them again")
        tensor = found[theirs].float()
        weights[ours] = tensor.t().contiguous() if transposed else tensor
    tokenizer = _read_tokenizer(folder)
    for ours, _ in BY_TOKEN[: 2 - sizes.tied]:
        # rows beyond the vocabulary are a filling that some checkpoints have
        weights[ours] = to_our_rows(weights[ours][: tokenizer.vocab_size - SPECIALS + 1])
    with torch.device("meta"):
        check_shapes(folder, GPT(tokenizer.vocab_size, sizes), weights)
    return Imported(sizes, tokenizer, weights, config.get("sightline", {}).get("documents", True))


def write_gpt2(
    folder: str | Path, sizes: GPTSizes, tokenizer: Tokenizer, weights: Mapping[str, Tensor], documents: bool = True
) -> None:
    """Writes what `read_gpt2` and the transformers library read.

    Args:
        documents: whether the model learned where documents begin and end; without, nothing begins after its end token.

    Raises:
        UsageError: where the model or its tokenizer is not of GPT-2's kind, naming what is not.
    """
    folder = Path(folder)
    require(sizes, FIXED, "GPT-2")
    activation = their_activation(sizes.activation, "GPT-2")
    vocabulary, merges = _byte_level(tokenizer)
    end = len(vocabulary)
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": end + 1,
        "n_embd": sizes.d_model,
        "n_layer": sizes.num_layers,
        "n_head": sizes.num_heads,
        "n_inner": sizes.d_ff,
        "n_positions": sizes.max_length,
        "activation_function": activation,
        "resid_pdrop": sizes.dropout,
        "embd_pdrop": sizes.dropout,
        "attn_pdrop": sizes.attention_dropout,
        "layer_norm_epsilon": sizes.norm_epsilon,
        "sightline": {"documents": documents},
        "tie_word_embeddings": sizes.tied,
        "bos_token_id": end,
        "eos_token_id": end,
        "torch_dtype": "float32",
    }
    tensors = {
        "transformer." + theirs: weights[ours].t().contiguous() if transposed else weights[ours]
        for ours, theirs, transposed in names(sizes.num_layers)
    }
    for ours, theirs in BY_TOKEN[: 2 - sizes.tied]:
        prefix = "" if theirs.startswith("lm_head") else "transformer."
        tensors[prefix + theirs] = to_their_rows(weights[ours])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_tokenizer(folder, vocabulary, merges)
        write_folder(folder, config, tensors)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror})") from None


def _byte_level(tokenizer: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Pieces numbered from 0 without specials, and merges."""
    settings = json.loads(tokenizer.to_json())
    if settings["model"]["type"] != "BPE" or (settings["decoder"] or {}).get("type") != "ByteLevel":
        raise UsageError('tokenizer.kind: GPT-2 reads bytes; only "bpe" and "byte" can be exported')
    if settings["normalizer"] and settings["normalizer"].get("normalizers") != []:
        raise UsageError(
            "tokenizer.lowercase: GPT-2's tokenizer keeps letters as they are; this one cannot be exported"
        )
    vocabulary = {piece: i - SPECIALS for piece, i in settings["model"]["vocab"].items() if i >= SPECIALS}
    return vocabulary, _pairs(settings["model"]["merges"])


def _pairs(merges: list[Any]) -> list[tuple[str, str]]:
    """Merges as pairs; files spell them as pairs or, older ones, as two pieces with a space between."""
    return [(left, right) for left, right in (one.split(" ") if type(one) is str else one for one in merges)]


def _write_tokenizer(folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
    whole = {**vocabulary, END_OF_TEXT: len(vocabulary)}
    backend = tokenizers.Tokenizer(models.BPE(vocab=whole, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([END_OF_TEXT])
    backend.save(str(folder / "tokenizer.json"))
    # the older pair of files, for readers that want them
    (folder / "vocab.json").write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "unk_token": END_OF_TEXT}
    notes = {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": False, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(notes, indent=2), encoding="utf-8")


def _read_tokenizer(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    if path.exists():
        whole = read_json(path)
        vocabulary, merges = (whole.get("model", {}).get(name) for name in ("vocab", "merges"))
        added = {one["content"]: one["id"] for one in whole.get("added_tokens", [])}
        vocabulary = {**vocabulary, **added} if type(vocabulary) is dict else None
    else:
        path = folder / "vocab.json"
        vocabulary = read_json(path)
        try:
            lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise DataError(f"{folder / 'merges.txt'}: cannot be read ({error.strerror})") from None
        merges = [line for line in lines if line and not line.startswith("#version")]
    if type(vocabulary) is not dict or type(merges) is not list:
        raise DataError(f"{path}: not a byte-pair vocabulary with merges")
    if END_OF_TEXT not in vocabulary:
        raise DataError(f"{path}: has no {END_OF_TEXT}, which GPT-2 begins and ends texts with")
    pieces = sorted((i, piece) for piece, i in vocabulary.items() if piece != END_OF_TEXT)
    if [i for i, _ in pieces] != list(range(len(pieces))):
        raise DataError(f"{path}: {END_OF_TEXT} must have the last id, and the others run from 0")
    named = {PAD: 0, BOS: 1, EOS: 2, **{piece: i + SPECIALS for i, piece in pieces}}
    try:
        backend = tokenizers.Tokenizer(models.BPE(vocab=named, merges=_pairs(merges)))
    except Exception as error:  # the library raises bare Exception for every fault
        raise DataError(f"{path}: the merges are damaged ({error}); fetch it again") from None
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([PAD, BOS, EOS])
    return Tokenizer(backend, where=str(path))
