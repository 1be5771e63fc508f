"""tokenizer.json of Hugging Face directories, read and written whole: ids are renumbered, all else stays as it is.

Sightline's ids begin with padding, beginning and end of sentence and, where words can be unknown, the unknown token;
other toolkits have theirs anywhere. What comes in keeps its normaliser, pre-tokeniser, decoder and added tokens. The
table of a post-processor that adds nothing remembers which ids the specials had, so that what goes out has them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tokenizers
from pydantic import ConfigDict, Field, JsonValue, NonNegativeInt

from sightline.data.tokenizer import Tokenizer, library_errors
from sightline.data.vocabulary import BOS, EOS, PAD, UNK
from sightline.errors import CheckpointError, DataError, UsageError
from sightline.interop.folders import (
    TOKENIZER,
    TOKENIZER_CONFIG,
    ForeignRecord,
    as_record,
    present,
    read_json,
    read_record,
)
from sightline.interop.weights import NO_TOKEN

Component = dict[str, JsonValue]
SPECIALS = (PAD, BOS, EOS, UNK)
# Texts that both tokenizers must cut alike before one is taken for the other.
PROBES = (
    "The quick brown fox, doesn't it?  Two  spaces\tand a tab\n",
    " ÜBER-straße Ǆ ﬁ ² Ⅷ １２３ ﷺ",
    "한국어 문장입니다. 각",
    "日本語、中文",
    "naïve café e\u0301 \u200b\u00a0\u3000x",
    "🙂👩‍👩‍👧 \ufeff\u0000\u007f",
    "<pad> <s> </s> <unk> <s>x</s>",
)


class AddedToken(ForeignRecord):
    """A token that is found in a text before the model sees it, or (special) stands for no text."""

    content: str = Field(min_length=1)
    id: NonNegativeInt = 0
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True
    special: bool = False


class TokenizerModel(ForeignRecord):
    """How a word becomes pieces."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = ""
    vocab: dict[str, NonNegativeInt] = Field(default_factory=dict)
    merges: tuple[str | tuple[str, str], ...] = ()
    unk_token: str | None = None
    dropout: float | None = None
    continuing_subword_prefix: str | None = None


class TokenizerFile(ForeignRecord):
    """The content of a tokenizer.json."""

    added_tokens: tuple[AddedToken, ...] = ()
    normalizer: Component | None = None
    pre_tokenizer: Component | None = None
    post_processor: Component | None = None
    decoder: Component | None = None
    model: TokenizerModel


class Spelled(ForeignRecord):
    """A special token as a record."""

    content: str


class TokenizerNotes(ForeignRecord):
    """What is read of a tokenizer_config.json: what transformers' tokenizer classes change in a tokenizer.json."""

    tokenizer_class: str | None = None
    add_prefix_space: bool | None = None
    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None
    eos_token: str | Spelled | None = None
    added_tokens_decoder: Mapping[int, AddedToken] = Field(default_factory=dict[int, AddedToken])

    @property
    def end(self) -> str | None:
        """The token that ends texts."""
        return self.eos_token.content if isinstance(self.eos_token, Spelled) else self.eos_token


@dataclass(frozen=True)
class ForeignTokenizer:
    """Another toolkit's tokenizer. `where`: the file it is from."""

    where: Path
    file: TokenizerFile

    @property
    def ids(self) -> dict[str, int]:
        """The id of every piece, added tokens included."""
        return {**self.file.model.vocab, **{one.content: one.id for one in self.file.added_tokens}}

    def with_part(self, name: str, part: Component | None) -> ForeignTokenizer:
        """The same with another normalizer, pre_tokenizer, …"""
        return replace(self, file=self.file.model_copy(update={name: part}))


def read_notes(folder: Path) -> TokenizerNotes:
    """tokenizer_config.json, or nothing where there is none."""
    path = folder / TOKENIZER_CONFIG
    return read_record(TokenizerNotes, path) if present(path) else TokenizerNotes()


def read_tokenizer_file(folder: Path) -> ForeignTokenizer | None:
    """tokenizer.json, or None where there is none.

    Raises DataError for a damaged one, and for one whose tokens could not be the same here.
    """
    path = folder / TOKENIZER
    if not present(path):
        return None
    values = read_json(path)
    model = values.get("model")
    if type(model) is not dict or type(model.get("vocab")) is not dict:
        kind = model.get("type") if type(model) is dict else None
        raise DataError(f"{path}: model {kind!r} is no table of pieces with ids; BPE, WordPiece and WordLevel are read")
    if "type" not in model:  # files of the first versions
        values["model"] = {"type": "BPE" if "merges" in model else "WordPiece", **model}
    return ForeignTokenizer(path, as_record(TokenizerFile, values, path))


def with_added(foreign: ForeignTokenizer, folder: Path, notes: TokenizerNotes) -> ForeignTokenizer:
    """The tokenizer with the added tokens that older files keep beside the vocabulary."""
    beside = {one.content: one.model_copy(update={"id": i}) for i, one in notes.added_tokens_decoder.items()}
    path = folder / "added_tokens.json"
    if present(path):
        for content, number in read_json(path).items():
            if type(number) is not int or number < 0:
                raise DataError(f"{path}: {content[:40]!r} has no number for an id; fetch it again")
            beside.setdefault(content, AddedToken(content=content, id=number))
    known = {one.content for one in foreign.file.added_tokens}
    more = [one for one in beside.values() if one.content not in known]
    added = (*foreign.file.added_tokens, *more)
    return replace(foreign, file=foreign.file.model_copy(update={"added_tokens": added}))


def to_ours(
    foreign: ForeignTokenizer, specials: Mapping[str, str], rows: int, apart: Sequence[str] = ()
) -> tuple[Tokenizer, list[int]]:
    """The tokenizer with Sightline's ids, and for each of them the other toolkit's id, or NO_TOKEN.

    Args:
        specials: the names of special tokens, and ours for them. rows: how many ids the model has; those without a
            piece get one that no text holds, since the model predicts them too. apart: tokens that are left out.

    Raises:
        DataError: naming the part that cannot be kept. CheckpointError: more tokens than rows.
    """
    _require_parts(foreign)
    file, where = foreign.file, foreign.where
    vocab = file.model.vocab
    kept = _within(foreign, specials, rows)
    ids = {**vocab, **{one.content: one.id for one in kept}}
    by_id = {i: piece for piece, i in ids.items()}
    if len(by_id) < len(ids):
        raise DataError(f"{where}: two tokens have one id; fetch it again")
    theirs = {ours: name for name, ours in specials.items()}
    moved = _out_of_the_way(foreign, specials, apart)
    renamed = {**moved, **specials}
    left_out = {*specials, *apart}
    # the library numbers added tokens that the model does not have after those that it has
    later = sorted(one.id for one in kept if one.content not in vocab and one.content not in left_out)
    elsewhere = {*later, *(ids[name] for name in left_out if name in ids)}
    body = [i for i in range(rows) if i not in elsewhere]
    first = [name for name in SPECIALS if name != UNK or UNK in theirs]
    pieces = [*first, *(renamed.get(by_id[i], by_id[i]) if i in by_id else f"<unused {i}>" for i in body)]
    order = [ids[theirs[name]] if name in theirs else NO_TOKEN for name in first] + body + later
    number_of = {i: number for number, i in enumerate(order)}
    tokens = [AddedToken(content=name, id=number, special=True, normalized=False) for number, name in enumerate(first)]
    for one in sorted(kept, key=lambda one: number_of.get(one.id, 0)):
        if one.content not in left_out:
            content = renamed.get(one.content, one.content)
            tokens.append(one.model_copy(update={"content": content, "id": number_of[one.id]}))
    last = set(later)
    irregular = [name for name in ids if name in left_out or name in moved or ids[name] in last]
    model = _with_vocabulary(file.model, {piece: number for number, piece in enumerate(pieces)}, renamed)
    table = {name: (renamed.get(name, name), ids[name]) for name in irregular}
    parts = {"model": model, "added_tokens": tuple(tokens), "post_processor": _remembering(table)}
    tokenizer = Tokenizer(_backend(file.model_copy(update=parts), where), where=str(where))
    _prove(foreign, tokenizer, order)
    return tokenizer, order


def _with_vocabulary(model: TokenizerModel, vocab: dict[str, int], renamed: Mapping[str, str]) -> TokenizerModel:
    parts: dict[str, object] = {"vocab": vocab}
    if model.unk_token is not None:
        parts["unk_token"] = renamed.get(model.unk_token, model.unk_token)
    return model.model_copy(update=parts)


def _require_parts(foreign: ForeignTokenizer) -> None:
    """Raises DataError for a part that the same tokens cannot be had with."""
    model, where = foreign.file.model, foreign.where
    if model.dropout:
        raise DataError(f"{where}: model.dropout {model.dropout}: text is cut at random; set it to null")
    if model.type == "WordPiece" and model.continuing_subword_prefix not in (None, "##"):
        raise DataError(f'{where}: model.continuing_subword_prefix must be "##"; another cannot be kept')
    if model.unk_token is not None and model.unk_token not in foreign.ids:
        raise DataError(f"{where}: the unknown token {model.unk_token[:40]!r} is not among the pieces; fetch it again")


def _within(foreign: ForeignTokenizer, specials: Mapping[str, str], rows: int) -> tuple[AddedToken, ...]:
    """The added tokens that the model has a row for; special ones without are never in a text.

    Raises CheckpointError where another token has none.
    """
    vocab = foreign.file.model.vocab
    kept = tuple(
        one
        for one in foreign.file.added_tokens
        if one.id < rows or not one.special or one.content in specials or one.content in vocab
    )
    most = max([*vocab.values(), *(one.id for one in kept)], default=-1) + 1
    if most > rows:
        raise CheckpointError(
            f"{foreign.where.parent}: the embedding has {rows} rows for {most} tokens of the vocabulary; they do not "
            "belong together"
        )
    return kept


def _out_of_the_way(foreign: ForeignTokenizer, specials: Mapping[str, str], apart: Sequence[str]) -> dict[str, str]:
    """New names for their tokens that are called like one of ours and are something else.

    Raises DataError where such a token could be found in a text.
    """
    found: dict[str, str] = {}
    model, special = foreign.file.model, {one.content for one in foreign.file.added_tokens if one.special}
    for name in SPECIALS:
        if name not in foreign.ids or name in specials or name in apart:
            continue
        if name not in special or (name in model.vocab and (model.type != "BPE" or name in _merged(model))):
            raise DataError(f"{foreign.where}: the piece {name!r} is called like a special token of Sightline's")
        found[name] = f"<{name}>"
    return found


def _merged(model: TokenizerModel) -> set[str]:
    """What merges make; older files spell one as two pieces with a space between."""
    return {one.replace(" ", "", 1) if type(one) is str else "".join(one) for one in model.merges}


def _remembering(table: Mapping[str, tuple[str, int]]) -> Component | None:
    """A post-processor that adds nothing; its table says of tokens their other name and id."""
    first: JsonValue = {"Sequence": {"id": "A", "type_id": 0}}
    second: JsonValue = {"Sequence": {"id": "B", "type_id": 0}}
    entries: dict[str, JsonValue] = {
        name: {"id": name, "ids": [i], "tokens": [ours]} for name, (ours, i) in sorted(table.items())
    }
    return {"type": "TemplateProcessing", "single": [first], "pair": [first, second], "special_tokens": entries}


def remembered(file: TokenizerFile) -> dict[str, tuple[str, int]]:
    """For our pieces what `_remembering` was given: name and id in the toolkit that the tokenizer came from."""
    found: dict[str, tuple[str, int]] = {}
    processor = file.post_processor or {}
    table = processor.get("special_tokens") if processor.get("type") == "TemplateProcessing" else None
    for name, entry in table.items() if type(table) is dict else ():
        ids, tokens = (entry.get("ids"), entry.get("tokens")) if type(entry) is dict else (None, None)
        if type(ids) is list and type(tokens) is list and type(ids[0]) is int:
            found[str(tokens[0])] = name, ids[0]
    return found


def _backend(file: TokenizerFile, where: Path) -> tokenizers.Tokenizer:
    with library_errors(f"{where}: the tokenizer is damaged; fetch it again"):
        return tokenizers.Tokenizer.from_str(json.dumps(file_values(file)))


def _prove(foreign: ForeignTokenizer, tokenizer: Tokenizer, order: Sequence[int]) -> None:
    """Raises DataError where the two do not cut a text alike."""
    original = _backend(foreign.file.model_copy(update={"post_processor": None}), foreign.where)
    original.encode_special_tokens = True
    spelled = [f"a{one.content}b {one.content} c" for one in foreign.file.added_tokens[:1000] if not one.special]
    for text in (*PROBES, *spelled):
        with library_errors(f"{foreign.where}: {text!r} cannot be encoded; fetch it again"):
            theirs = original.encode(text, add_special_tokens=False).ids
        if [order[i] for i in tokenizer.encode(text)] != theirs:
            raise DataError(f"{foreign.where}: with Sightline's ids {text!r} would become other tokens")


@dataclass(frozen=True)
class Outgoing:
    """A tokenizer for another toolkit.

    Attributes:
        order: for each id of theirs ours. kept: whether theirs are those of the toolkit that it came from.
    """

    file: TokenizerFile
    order: list[int]
    kept: bool

    def piece(self, i: int) -> str:
        """The token with an id of theirs, by their name."""
        return next(piece for piece, number in self.file.model.vocab.items() if number == i)

    def said(self, names: Sequence[str]) -> str:
        """The ids of tokens by their names, and what whoever has texts as ids must know: whose ids these are."""
        vocab = self.file.model.vocab
        ids = "ids: " + ", ".join(f"{name} {vocab[name]}" for name in names)
        if self.kept:
            return f"{ids}, as it was imported with"
        return f"{ids}; they are not the run's: make ids of texts by the tokenizer written with it"


def to_theirs(
    tokenizer: Tokenizer,
    names: Mapping[str, str],
    *,
    first: Sequence[str] = (),
    last: Sequence[str] = (),
    without: Sequence[str] = (),
    more: Sequence[str] = (),
) -> Outgoing:
    """The tokenizer as another toolkit has it: special tokens by its names, ids in its order.

    A tokenizer that came from elsewhere gets the ids and names it had; another one the usual ones.

    Args:
        names: ours of special tokens, and theirs. first, last: our tokens, in their order, that usually begin or end
            the vocabulary. without: our tokens that are left out. more: tokens after our vocabulary.

    Raises UsageError for a tokenizer without a table of pieces.
    """
    values = json.loads(tokenizer.to_json())
    if type(values["model"]["vocab"]) is not dict:
        raise UsageError('tokenizer.kind: "unigram" keeps no table of pieces; a model with it cannot be exported')
    file = TokenizerFile.model_validate(values)
    added = {one.content: one for one in file.added_tokens}
    numbers = {**file.model.vocab, **{name: one.id for name, one in added.items()}}
    numbers |= {name: tokenizer.vocab_size + number for number, name in enumerate(more)}
    pieces = [name for name, _ in sorted(numbers.items(), key=lambda item: item[1]) if name not in without]
    known = {ours: entry for ours, entry in remembered(file).items() if ours in pieces}
    places = {ours: i for ours, (_, i) in known.items()}
    if not known or len(set(places.values())) < len(places) or max(places.values()) >= len(pieces):
        known, ends = {}, [name for name in last if name in pieces]
        front = [name for name in first if name in pieces]
        places = {name: i for i, name in enumerate(front)}
        places |= {name: len(pieces) - len(ends) + i for i, name in enumerate(ends)}
    taken = set(places.values())
    free = (i for i in range(len(pieces)) if i not in taken)
    places |= {name: next(free) for name in pieces if name not in places}
    renamed = {**names, **{ours: name for ours, (name, _) in known.items()}}
    arranged = sorted(pieces, key=places.__getitem__)
    vocab = {renamed.get(name, name): i for i, name in enumerate(arranged)}
    tokens = [
        added.get(name, AddedToken(content=name, special=True, normalized=False)).model_copy(
            update={"content": renamed.get(name, name), "id": i}
        )
        for i, name in enumerate(arranged)
        if name in added or name in more
    ]
    model = _with_vocabulary(file.model, vocab, renamed)
    outgoing = file.model_copy(update={"model": model, "added_tokens": tuple(tokens), "post_processor": None})
    return Outgoing(outgoing, [numbers[name] for name in arranged], kept=bool(known))


def file_values(file: TokenizerFile) -> dict[str, object]:
    """The content of tokenizer.json."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [one.model_dump() for one in file.added_tokens],
        **file.model_dump(include={"normalizer", "pre_tokenizer", "post_processor", "decoder"}),
        # what a file did not say of its model stays unsaid
        "model": file.model.model_dump(exclude_unset=True),
    }
