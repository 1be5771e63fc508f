"""Text to token ids and back: one class over the `tokenizers` library, and the text rules of each kind of tokenizer."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from sightline.data import vocabulary
from sightline.data.expansion import require_bounded
from sightline.errors import DataError, SightlineError, UsageError, nearest
from sightline.jsonio import Json, as_object, parse_json, read_bounded
from sightline.special_tokens import BOS, BOS_ID, EOS, EOS_ID, PAD, PAD_ID, UNK

FILE_NAME = "tokenizer.json"
LARGEST_FILE = 64 << 20  # bytes; one of 250,000 pieces has 17 million
# Stands for a space inside pieces, as in SentencePiece (Kudo & Richardson 2018).
SPACE_MARK = "\u2581"
ANY_CHARACTER = r"[\s\S]"
_PROBE = "a B 1."  # what every tokenizer must be able to encode
_CANNOT_ENCODE = "tokenizer: a text cannot be encoded; use another tokenizer"


@dataclass(frozen=True)
class Rules:
    """What a kind of tokenizer does to text around its model; `train` returns the trained `tokenizers` model."""

    train: Callable[[Mapping[str, int], int, int], models.Model]
    pre_tokenizer: pre_tokenizers.PreTokenizer
    decoder: decoders.Decoder
    marks_spaces: bool = False
    hides_specials: bool = False


def _rules() -> dict[str, Rules]:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    to_spaces = [decoders.Fuse(), decoders.Replace(SPACE_MARK, " "), decoders.Strip(" ", 1, 0)]
    # "<" and ">" stand alone so that no learned piece can be spelled like "<pad>" or "<0x41>".
    spaced = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex("[<>]"), "isolated"), pre_tokenizers.Split(SPACE_MARK, "merged_with_next")]
    )
    mark = SPACE_MARK
    words = pre_tokenizers.Split(Regex(rf"{mark}?\w+|{mark}?[^\w\s{mark}]|{mark}|\s"), "isolated")
    chars = pre_tokenizers.Split(Regex(ANY_CHARACTER), "isolated")
    # An unknown word swallows the space before it; shown as text it gets one.
    known_or_not = decoders.Sequence([decoders.Replace(UNK, mark + UNK), *to_spaces])
    # The word-piece decoder joins by spaces; no text holds the mark it is told for pieces inside words, and nothing of
    # English is cleaned up.
    joined_by_spaces = decoders.WordPiece(prefix="\0", cleanup=False)
    return {
        "bpe": Rules(vocabulary.train_bpe, byte_level, decoders.ByteLevel()),
        "byte": Rules(vocabulary.train_byte, byte_level, decoders.ByteLevel()),
        "unigram": Rules(
            vocabulary.train_unigram,
            spaced,
            decoders.Sequence([decoders.ByteFallback(), *to_spaces]),
            marks_spaces=True,
        ),
        "wordpiece": Rules(vocabulary.train_wordpiece, pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()),
        "word": Rules(vocabulary.train_word, words, known_or_not, marks_spaces=True),
        "space": Rules(vocabulary.train_word, pre_tokenizers.WhitespaceSplit(), joined_by_spaces, hides_specials=True),
        "char": Rules(vocabulary.train_word, chars, decoders.Fuse()),
    }


class Tokenizer:
    """A trained tokenizer: `encode` text to ids, `decode` ids to text.

    Ids 0, 1 and 2 are always padding, beginning and end of sentence; `unk_id` is 3, or None for a kind whose
    vocabulary holds no unknown token. Specials spelled out in a text ("<pad>", "</s>") are text like any other.

    What `decode(encode(text))` gives, by kind:

    - `bpe`, `byte`: exactly `text`, for any text; with `jamo` in NFC.
    - `unigram`: `text`, but U+2581 comes back as a space; characters not in the vocabulary are spelled in bytes.
    - `word`: `text` where all its words are known, but U+2581 comes back as a space; an unknown word, with the
      space before it, becomes "<unk>".
    - `space`: words as white space divides them, joined by single spaces, for text that is cut into words already; a
      word spelled like a special token is the unknown one.
    - `char`: `text` where all its characters are known.
    - `wordpiece` (as BERT's, Devlin et al. 2019): words joined by single spaces. Runs of white space, spaces at the
      ends and the spaces around punctuation are lost; unknown words become "<unk>".

    Letter case is lost where the tokenizer was trained with `lowercase`, and what `normalization` changes likewise.
    """

    pad_id, bos_id, eos_id = PAD_ID, BOS_ID, EOS_ID
    END = EOS  # how the end of a sentence is spelled

    def __init__(self, backend: tokenizers.Tokenizer, *, where: str = "tokenizer") -> None:
        """Wraps a `tokenizers` object. Raises DataError where its special tokens do not have the ids above."""
        for token, wanted in ((PAD, self.pad_id), (BOS, self.bos_id), (EOS, self.eos_id)):
            found = backend.token_to_id(token)
            if found != wanted:
                raise DataError(f"{where}: {token} has id {found}, not {wanted}; use a tokenizer trained by Sightline")
        backend.encode_special_tokens = True  # Text is never parsed for specials.
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self._json = backend.to_str()
        settings = as_object(parse_json(self._json, where), where)
        require_bounded(settings, where)
        with library_errors(f"{where}: this tokenizer cannot encode {_PROBE!r}; use another one"):
            backend.encode(_PROBE, add_special_tokens=False)
        self._byte_level = _part(settings, "decoder").get("type") == "ByteLevel"
        # pieces of letters and accents make characters again
        self.composes = '"NFD"' in json.dumps(settings["normalizer"])
        self._prepends_mark = '"Prepend"' in json.dumps(settings["normalizer"])
        self._prepends_space = '"add_prefix_space": true' in json.dumps(settings["pre_tokenizer"])
        self.unk_id: int | None = backend.token_to_id(UNK)
        self._added = frozenset(backend.get_added_tokens_decoder())
        self._longest_piece = self._longest(settings)

    @classmethod
    def train(
        cls,
        lines: Iterable[str],
        *,
        kind: str = "bpe",
        vocab_size: int = 8000,
        lowercase: bool = False,
        jamo: bool = False,
        normalization: Literal["NFC", "NFKC"] | None = None,
        min_frequency: int = 1,
    ) -> Tokenizer:
        """Learns a vocabulary of at most `vocab_size` tokens, specials included, from `lines` of text.

        bpe: Sennrich et al. 2016 over UTF-8 bytes (Radford et al. 2019); unigram: Kudo 2018, with byte fallback;
        wordpiece: pieces as in Devlin et al. 2019, learned by merges. Pieces (or words) seen fewer than
        `min_frequency` times are left out where the kind counts them. The same lines give the same tokenizer.

        With `jamo` Korean syllables are read as their letters, so that an ending inside of one can be a piece.

        Raises UsageError for an unknown kind or a vocabulary too small for it, DataError where there is no text.
        """
        known = _rules()
        if kind not in known:
            raise UsageError(f'tokenizer: no kind "{kind}"{nearest(kind, known)}')
        rules = known[kind]
        steps: list[normalizers.Normalizer] = []
        if normalization is not None:
            unicode_forms = {"NFC": normalizers.NFC, "NFKC": normalizers.NFKC}
            if normalization not in unicode_forms:
                raise UsageError(
                    f'tokenizer: no normalization "{normalization}"{nearest(normalization, unicode_forms)}'
                )
            steps.append(unicode_forms[normalization]())
        if jamo:
            steps.append(normalizers.NFD())
        if lowercase:
            steps.append(normalizers.Lowercase())
        if rules.hides_specials:  # a whole word spelled like one would be taken for it
            steps.append(normalizers.Replace(Regex(rf"(?<!\S)(?:{PAD}|{BOS}|{EOS})(?!\S)"), UNK))
        if rules.marks_spaces:
            steps += [normalizers.Replace(" ", SPACE_MARK), normalizers.Prepend(SPACE_MARK)]
        normalizer = normalizers.Sequence(steps)
        words = vocabulary.count_words(lines, normalizer, rules.pre_tokenizer, marks_spaces=rules.marks_spaces)
        if not words:
            raise DataError("tokenizer: there is no text to learn a vocabulary from; check the training files")
        backend = tokenizers.Tokenizer(rules.train(words, vocab_size, min_frequency))
        backend.normalizer = normalizer
        backend.pre_tokenizer = rules.pre_tokenizer
        backend.decoder = rules.decoder
        backend.add_special_tokens([t for t in (PAD, BOS, EOS, UNK) if backend.token_to_id(t) is not None])
        return cls(backend)

    def encode(self, text: str, *, bos: bool = False, eos: bool = False) -> list[int]:
        """The ids of `text`, without specials unless asked for."""
        with library_errors(_CANNOT_ENCODE):
            ids = self._backend.encode(text, add_special_tokens=False).ids
        return [self.bos_id] * bos + ids + [self.eos_id] * eos

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without specials; runs in parallel threads."""
        with library_errors(_CANNOT_ENCODE):
            return [e.ids for e in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """For every id of `encode(text)` the characters it stands for: (start, end) positions in `text`."""
        with library_errors(_CANNOT_ENCODE):
            encoding = self._backend.encode(text, add_special_tokens=False)
        spans = encoding.offsets
        if self._prepends_mark and encoding.tokens and encoding.tokens[0] == SPACE_MARK:
            spans[0] = (0, 0)  # The mark put before every text stands for none of its characters.
        return spans

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; padding, beginning and end of sentence are left out."""
        kept = [i for i in map(int, ids) if i > self.eos_id]
        with library_errors("tokenizer: its decoder fails; use another tokenizer"):
            text = self._backend.decode(kept, skip_special_tokens=False)
        return unicodedata.normalize("NFC", text) if self.composes else text

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """A readable label for each id: its piece, with U+2581 for a space and <0xNN> for bytes that show no character.

        Raises UsageError for an id outside the vocabulary.
        """
        return [self._label(int(i)) for i in ids]

    def _label(self, token_id: int) -> str:
        piece = self._backend.id_to_token(token_id)
        if piece is None:
            raise UsageError(f"tokenizer: no token has id {token_id}; ids run from 0 to {self.vocab_size - 1}")
        if not self._byte_level or token_id <= self.eos_id:
            return unicodedata.normalize("NFC", piece) if self.composes else piece
        if token_id in self._added or not vocabulary.BYTE_OF_CHAR.keys() >= set(piece):
            return piece  # an added token is spelled in letters, not in bytes
        raw = bytes(vocabulary.BYTE_OF_CHAR[c] for c in piece)
        text = raw.decode("utf-8", errors="replace")
        if not text.isprintable() or "\ufffd" in text:
            text = "".join(chr(byte) if 0x20 <= byte < 0x7F else vocabulary.BYTE_PIECES[byte] for byte in raw)
        return text.replace(" ", SPACE_MARK)

    @property
    def can_encode_in_pieces(self) -> bool:
        """Whether a text cut before a line feed that follows no white space has the tokens of the whole."""
        return not (self._prepends_mark or self._prepends_space)

    def must_exceed(self, text: str, limit: int) -> bool:
        """True where `text` is so long that it must have more than `limit` tokens: no need to encode it.

        Encoding takes a few hundred bytes per token, too much for a line that is a whole file.
        """
        if len(text) <= limit:
            return False
        if self._longest_piece is not None:
            return len(text) > limit * self._longest_piece
        return sum(1 for word in text.split(" ") if word.strip()) > limit

    def _longest(self, settings: dict[str, Json]) -> int | None:
        """The most characters one token can stand for, or None where an unknown word may be of any length."""
        if _part(settings, "pre_tokenizer").get("pattern") == {"Regex": ANY_CHARACTER}:
            return 4
        if self.unk_id is not None and not _part(settings, "model").get("byte_fallback"):
            return None
        # Normal forms may make one character of up to four.
        return 4 * max(map(len, self._backend.get_vocab()))

    def merge_parts(self) -> np.ndarray:
        """(V, 2) int64: the two tokens that each was merged from; -1 where it is no merge.

        Raises UsageError for a kind without merges.
        """
        model = json.loads(self._json)["model"]
        if not model.get("merges"):
            raise UsageError("tokenizer: this kind has no merges that could be undone; merge_dropout is for bpe")
        parts = np.full((self.vocab_size, 2), -1, dtype=np.int64)
        ids = model["vocab"]
        for left, right in reversed(model["merges"]):  # of several ways to one token the first is taken
            parts[ids[left + right]] = ids[left], ids[right]
        return parts

    def continues_word(self) -> np.ndarray:
        """(V + 1) bool: the ids that go on with the word of the token before them; one more, False, for [MASK].

        Of wordpiece, bpe and unigram; tokens of other kinds are words of their own.
        """
        pieces = self.tokens(range(self.vocab_size))
        found = np.zeros(len(pieces) + 1, dtype=bool)
        kind = json.loads(self._json)["model"]["type"]
        if kind == "WordPiece":
            found[:-1] = [piece.startswith("##") for piece in pieces]
        elif kind == "Unigram" or self._byte_level:
            # bytes that show no character are parts of one
            found[:-1] = [piece[0].isalnum() or piece.startswith("<0x") for piece in pieces]
        return found

    def word_ids(self, ids: Sequence[int]) -> list[int]:
        """For each id the number of the word, from 0, that it is part of.

        Words of wordpiece begin at pieces without "##"; those of bpe, byte and unigram at a space, however many there
        are; tokens of other kinds are words of their own. Spaces before all words are part of the first.
        """
        pieces = self.tokens(ids)
        if json.loads(self._json)["model"]["type"] == "WordPiece":
            begins = [not piece.startswith("##") for piece in pieces]
        elif self._byte_level or self._prepends_mark:
            begins = [piece.startswith(SPACE_MARK) for piece in pieces]
            # spaces alone that another one follows, or nothing, begin no word
            for place, piece in enumerate(pieces):
                if not piece.strip(SPACE_MARK) and (begins[place + 1 : place + 2] or [True])[0]:
                    begins[place] = False
            first = next((place for place, piece in enumerate(pieces) if piece.strip(SPACE_MARK)), 0)
            begins[: first + 1] = [False] * len(begins[: first + 1])  # there may be no piece at all
        else:
            begins = [True] * len(pieces)
        return list(accumulate(int(number > 0 and begin) for number, begin in enumerate(begins)))

    @property
    def vocab_size(self) -> int:
        """The number of ids, specials included."""
        return self._backend.get_vocab_size()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the tokenizer's JSON, in hexadecimal: the same for tokenizers that do the same."""
        return hashlib.sha256(self._json.encode()).hexdigest()

    def to_json(self) -> str:
        """The tokenizer as the `tokenizers` library writes it."""
        return self._json

    def save(self, path: str | Path) -> Path:
        """Writes the tokenizer as JSON to `path`, or into it as tokenizer.json where it is a directory."""
        path = _file_of(Path(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._json, encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Reads what `save` wrote. Raises DataError where there is no such file, or it is not such a tokenizer."""
        path = _file_of(Path(path))
        try:
            text = read_bounded(path, max_bytes=LARGEST_FILE).decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: the tokenizer file is damaged (not UTF-8); restore or train it again") from error
        with library_errors(f"{path}: not a tokenizer file that can be used; restore or train it again"):
            backend = tokenizers.Tokenizer.from_str(text)
        return cls(backend, where=str(path))


@contextmanager
def library_errors(what: str) -> Generator[None, None, None]:
    """Turns whatever the `tokenizers` library raises into one line that begins with `what`, which says what to do.

    It raises bare Exception for every fault, and where its own code fails a PanicException, which is none.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, SightlineError):
        raise
    except BaseException as error:
        raise DataError(f"{what} ({' '.join(str(error).split())[:200]})") from None


def _part(settings: dict[str, Json], name: str) -> dict[str, Json]:
    """A part of a tokenizer's JSON, such as its decoder; empty where there is none."""
    found = settings.get(name)
    return found if isinstance(found, dict) else {}


def _file_of(path: Path) -> Path:
    return path if path.suffix == ".json" else path / FILE_NAME
