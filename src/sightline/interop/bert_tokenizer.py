"""BERT's tokenizer as Hugging Face directories hold it: tokenizer.json, or the older vocab.txt; read and written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tokenizers
from pydantic import JsonValue
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from sightline.data.tokenizer import Tokenizer
from sightline.data.vocabulary import BOS, EOS, PAD, UNK
from sightline.errors import DataError
from sightline.interop.folders import TOKENIZER, TOKENIZER_CONFIG, as_record, present, read_text
from sightline.interop.tokenizer_json import (
    Component,
    ForeignTokenizer,
    TokenizerFile,
    TokenizerNotes,
    file_values,
    read_notes,
    read_tokenizer_file,
    to_ours,
    to_theirs,
    with_added,
)

MASK = "[MASK]"  # the id after our vocabulary
# BERT's special tokens, in their usual order, and ours.
SPECIALS = {"[PAD]": PAD, "[UNK]": UNK, "[CLS]": BOS, "[SEP]": EOS}
NAMES = {ours: theirs for theirs, ours in SPECIALS.items()}
# Classes of transformers that build their own normaliser, whatever tokenizer.json says.
OWN_CLASSES = ("BertTokenizer", "BertTokenizerFast")


@dataclass(frozen=True)
class BertTokenizerFiles:
    """What is written of a tokenizer.

    Attributes:
        files: contents by file name. order: for each of the ids in them ours, that of [MASK] being the one after the
            vocabulary. said: which ids the special tokens have, and whose they are.
    """

    files: dict[str, dict[str, object]]
    order: list[int]
    said: str


def tokenizer_files(tokenizer: Tokenizer, max_length: int) -> BertTokenizerFiles:
    """The tokenizer with its specials under BERT's names and in their usual order, and [MASK]."""
    usual = (PAD, UNK, BOS, EOS, MASK)
    outgoing = to_theirs(tokenizer, NAMES, first=usual, more=(MASK,))
    ids = outgoing.file.model.vocab
    present = [name for name in (*SPECIALS, MASK) if name in ids]
    processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    backend = tokenizers.Tokenizer(models.WordLevel({"": 0}, unk_token=""))
    backend.post_processor = processor
    values = {**file_values(outgoing.file), "post_processor": json.loads(backend.to_str())["post_processor"]}
    notes: dict[str, object] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_length}
    notes |= {f"{name[1:-1].lower()}_token": name for name in present}
    notes |= {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    return BertTokenizerFiles({TOKENIZER: values, TOKENIZER_CONFIG: notes}, outgoing.order, outgoing.said(present))


def read_tokenizer(folder: Path, rows: int) -> tuple[Tokenizer, list[int]]:
    """The tokenizer with our ids, and the id that each of its tokens, and [MASK], has in the folder's.

    Args:
        rows: how many tokens the model has an embedding of.
    """
    notes = read_notes(folder)
    foreign = read_tokenizer_file(folder)
    foreign = _from_vocabulary(folder, notes) if foreign is None else _as_loaded(foreign, notes)
    for name in (*SPECIALS, MASK):
        # bytes are never unknown
        if name not in foreign.ids and not (name == "[UNK]" and foreign.file.model.unk_token is None):
            raise DataError(f"{foreign.where}: has no {name}, which BERT needs")
    _require_processor(foreign)
    specials = {name: ours for name, ours in SPECIALS.items() if name in foreign.ids}
    tokenizer, order = to_ours(foreign, specials, rows, apart=(MASK,))
    return tokenizer, [*order, foreign.ids[MASK]]


def _normalizer(notes: TokenizerNotes, lowercase: bool, accents: bool | None, chinese: bool) -> Component:
    """BERT's normaliser, with what tokenizer_config.json says of it."""
    one = normalizers.BertNormalizer(
        lowercase=lowercase if notes.do_lower_case is None else notes.do_lower_case,
        # where nothing is said, accents go where case is folded
        strip_accents=accents if notes.strip_accents is None else notes.strip_accents,
        handle_chinese_chars=chinese if notes.tokenize_chinese_chars is None else notes.tokenize_chinese_chars,
    )
    return json.loads(one.__getstate__())


def _as_loaded(foreign: ForeignTokenizer, notes: TokenizerNotes) -> ForeignTokenizer:
    """The tokenizer with what tokenizer_config.json changes.

    Raises DataError where that names a class that leaves out a part which tokenizer.json has.
    """
    own = notes.tokenizer_class in OWN_CLASSES
    has = foreign.file.normalizer or {}
    if has.get("type") != "BertNormalizer" or (own and has.get("clean_text") is False):
        if own:
            raise DataError(
                f"{foreign.where}: its normalizer is left out by {notes.tokenizer_class}, which {TOKENIZER_CONFIG} "
                'names; name "PreTrainedTokenizerFast" there if it is meant'
            )
        return foreign
    if own and (foreign.file.pre_tokenizer or {}).get("type") != "BertPreTokenizer":
        raise DataError(
            f"{foreign.where}: its pre_tokenizer is left out by {notes.tokenizer_class}, which {TOKENIZER_CONFIG} "
            'names; name "PreTrainedTokenizerFast" there if it is meant'
        )
    if own:
        return foreign.with_part("normalizer", _normalizer(notes, True, None, True))
    if notes.tokenizer_class is not None:
        return foreign
    accents = has.get("strip_accents")
    said = _normalizer(
        notes,
        bool(has.get("lowercase")),
        None if accents is None else bool(accents),
        bool(has.get("handle_chinese_chars")),
    )
    return foreign.with_part("normalizer", {**has, **said, "clean_text": has.get("clean_text", True)})


def _require_processor(foreign: ForeignTokenizer) -> None:
    """Raises DataError for a post-processor that joins texts otherwise than [CLS] A [SEP] B [SEP]."""
    processor = foreign.file.post_processor
    if processor is None:
        return
    kind = processor.get("type")
    if kind == "BertProcessing":
        found = [part[0] if type(part) is list and part else None for part in map(processor.get, ("cls", "sep"))]
        fits = found == ["[CLS]", "[SEP]"]
    else:
        shown = [_shown(processor.get(part)) for part in ("single", "pair")]
        joined = ["[CLS]:0 A:0 [SEP]:0", "[CLS]:0 A:0 [SEP]:0 B:1 [SEP]:1"]
        fits = kind == "TemplateProcessing" and shown == joined
    if not fits:
        raise DataError(f"{foreign.where}: post_processor {kind!r} does not join texts as [CLS] A [SEP] B [SEP]")


def _shown(template: JsonValue) -> str:
    """A template as "[CLS]:0 A:0 [SEP]:0"."""
    found: list[str] = []
    for one in template if type(template) is list else ():
        part = next(iter(one.values()), None) if type(one) is dict else None
        found.append(f"{part.get('id')}:{part.get('type_id')}" if type(part) is dict else "?")
    return " ".join(found)


def _from_vocabulary(folder: Path, notes: TokenizerNotes) -> ForeignTokenizer:
    """The tokenizer of the older vocab.txt, a piece a line."""
    path = folder / "vocab.txt"
    if not present(path):
        raise DataError(f"{path}: cannot be read (no such file); there is no tokenizer.json either")
    # only a line feed ends a piece: what Python also takes for line ends are pieces themselves
    pieces = [line.removesuffix("\r") for line in read_text(path).removesuffix("\n").split("\n")]
    backend = tokenizers.Tokenizer(models.WordPiece({}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    values = json.loads(backend.to_str())
    values["normalizer"] = _normalizer(notes, True, None, True)
    values["model"]["vocab"] = {piece: i for i, piece in enumerate(pieces)}
    foreign = ForeignTokenizer(path, as_record(TokenizerFile, values, path))
    return with_added(foreign, folder, notes)
