"""BERT's tokenizer as Hugging Face directories hold it: tokenizer.json, or the older vocab.txt; read and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from sightline.data.tokenizer import Tokenizer
from sightline.errors import DataError, UsageError
from sightline.interop.folders import read_json
from sightline.special_tokens import BOS, EOS, PAD, UNK

# Their special tokens in the order of ours; [MASK] is last here.
SPECIALS = {"[PAD]": PAD, "[CLS]": BOS, "[SEP]": EOS, "[UNK]": UNK}
MASK = "[MASK]"


def write_tokenizer(folder: Path, tokenizer: Tokenizer, max_length: int) -> None:
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


def read_tokenizer(folder: Path) -> tuple[Tokenizer, list[int]]:
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
        # as bytes: only a line feed ends a piece, and what Python also takes for line ends are pieces themselves
        text = path.read_bytes().decode()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); there is no tokenizer.json either") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8; fetch it again") from None
    pieces = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    notes = folder / "tokenizer_config.json"
    said = read_json(notes) if notes.exists() else {}
    accents = said.get("strip_accents")
    backend = tokenizers.Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(
        lowercase=bool(said.get("do_lower_case", True)),
        # where nothing is said, accents go where case is folded
        strip_accents=None if accents is None else bool(accents),
        handle_chinese_chars=bool(said.get("tokenize_chinese_chars", True)),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return json.loads(backend.to_str())
