"""Learning vocabularies: from counted words to the model of each kind of tokenizer, the same one on every run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from sightline.errors import UsageError
from sightline.special_tokens import BOS, EOS, PAD, UNK, UNK_ID

BYTE_PIECES = [f"<0x{byte:02X}>" for byte in range(256)]

# Distinct words that are counted at once.
_MOST_WORDS = 2_000_000
# Text between spaces that is counted before it is cut into words.
_CHARACTERS_AT_ONCE = 16_000_000
# Nothing this long is a word of a language; learning from it would only cost time.
_LONGEST_WORD = 256
# Separates words on their way to the library's trainers; no text holds it, as readers refuse NUL.
_SEPARATOR = "\0"
# A plane of private-use characters, to tell a letter inside a word from the same letter at its start.
_PRIVATE = 0xF0000


def _byte_alphabet() -> dict[str, int]:
    """The byte behind each character of the byte-level alphabet of Radford et al. 2019.

    Printable Latin-1 characters stand for themselves, the other bytes in order for the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


BYTE_OF_CHAR = _byte_alphabet()


def count_words(
    lines: Iterable[str],
    normalizer: normalizers.Normalizer,
    pre_tokenizer: pre_tokenizers.PreTokenizer,
    *,
    marks_spaces: bool = False,
) -> Counter[str]:
    """How often each word (what `pre_tokenizer` cuts) occurs; `marks_spaces` where `normalizer` puts a space in front.

    No pre-tokenizer cuts otherwise on one side of a space for what stands on the other, so that text is first counted
    between its spaces, and what occurs often is normalised and cut once.

    Memory grows neither with lines nor, beyond a few hundred MB, with distinct words: of more than `_MOST_WORDS` the
    rarest so far are forgotten, as in lossy counting (Manku & Motwani 2002).
    """
    words: Counter[str] = Counter()
    rare = 0
    for between in _between_spaces(lines, "" if marks_spaces else " "):
        for text, count in between.items():
            for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text)):
                words[word] += count
        while len(words) > _MOST_WORDS:
            rare += 1
            words = Counter({word: count for word, count in words.items() if count > rare})
    return Counter({w: n for w, n in words.items() if len(w) <= _LONGEST_WORD and _SEPARATOR not in w})


def _between_spaces(lines: Iterable[str], space: str) -> Iterator[Counter[str]]:
    """Counts of what stands between spaces, a few million characters at a time; but for a line's first, after `space`.

    A line with several spaces in a row stays whole, as what is cut there depends on how many they are.
    """
    whole: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    characters = 0
    for line in lines:
        first, *others = line.split(" ")
        if not first or "" in others:
            whole[line] += 1
        else:
            whole[first] += 1
            parts.update(others)
        characters += len(line)
        if characters > _CHARACTERS_AT_ONCE:
            yield from (whole, Counter({space + part: count for part, count in parts.items()}))
            whole, parts, characters = Counter[str](), Counter[str](), 0
    yield from (whole, Counter({space + part: count for part, count in parts.items()}))


def train_bpe(words: Mapping[str, int], vocab_size: int, min_frequency: int) -> models.Model:
    """Byte-pair merges over the byte-level alphabet; all 256 bytes are in the vocabulary, so nothing is unknown."""
    _require("bpe", vocab_size, 3 + 256)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=sorted(BYTE_OF_CHAR),
        show_progress=False,
    )
    return _trained(models.BPE(), trainer, words)


def train_byte(words: Mapping[str, int], vocab_size: int, min_frequency: int) -> models.Model:
    """One token per byte: byte-level pieces without merges. Its vocabulary has 259 tokens whatever is asked for."""
    pieces = [PAD, BOS, EOS, *sorted(BYTE_OF_CHAR, key=BYTE_OF_CHAR.__getitem__)]
    return models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[])


def train_word(words: Mapping[str, int], vocab_size: int, min_frequency: int) -> models.Model:
    """The most frequent words as they are; words of the same frequency in the order of their characters."""
    _require("word or char", vocab_size, 5)
    specials = [PAD, BOS, EOS, UNK]
    kept = [word for word, count in _ranked(words) if count >= min_frequency and word not in specials]
    names = [*specials, *kept[: vocab_size - len(specials)]]
    return models.WordLevel({word: i for i, word in enumerate(names)}, unk_token=UNK)


def train_wordpiece(words: Mapping[str, int], vocab_size: int, min_frequency: int) -> models.Model:
    """Pieces learned by byte-pair merges, "##" before those inside a word.

    The library's own trainer numbers the "##" letters in an order which changes from run to run, and its merges
    with them. Here letters inside words are first renamed to private-use characters, so that a plain trainer, which
    sorts its alphabet, learns the same pieces every time.
    """
    _require("wordpiece", vocab_size, 32)
    words = _of_common_characters(words, (vocab_size - 4) // 4)
    inside = {ord(char): _PRIVATE + i for i, char in enumerate(sorted({c for word in words for c in word}))}
    outside = {private: char for char, private in inside.items()}
    marked = {word[0] + word[1:].translate(inside): count for word, count in words.items()}
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=[PAD, BOS, EOS, UNK], show_progress=False
    )
    vocab: dict[str, int] = {}
    for piece, token_id in sorted(_vocabulary_of(models.BPE(), trainer, marked).items(), key=lambda item: item[1]):
        starts_word = token_id <= UNK_ID or ord(piece[0]) < _PRIVATE
        vocab[piece.translate(outside) if starts_word else "##" + piece.translate(outside)] = len(vocab)
    return models.WordPiece(vocab, unk_token=UNK)


def train_unigram(words: Mapping[str, int], vocab_size: int, min_frequency: int) -> models.Model:
    """A unigram language model over pieces (Kudo 2018), with the 256 bytes to spell unknown characters.

    The library chooses the pieces; it sums their scores in an order which changes from run to run, so the scores are
    estimated again from the pieces alone: a few rounds of counting each piece in the best segmentations.
    """
    _require("unigram", vocab_size, 4 + 256 + 32)
    words = _of_common_characters(words, (vocab_size - 260) // 2)
    specials = [PAD, BOS, EOS, UNK]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size - 256, special_tokens=specials, unk_token=UNK, show_progress=False
    )
    pieces = sorted(set(_vocabulary_of(models.Unigram(), trainer, words)) - set(specials))
    scores = dict.fromkeys(pieces, -math.log(len(pieces)))
    model = _unigram(specials, scores)
    for _ in range(4):
        scores = _segmentation_scores(model, pieces, words)
        model = _unigram(specials, scores)
    return model


def _unigram(specials: list[str], scores: dict[str, float]) -> models.Unigram:
    # Bytes never match text, whose "<" always stands alone: they serve unknown characters only.
    lowest = min(scores.values())
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    vocab = [(special, 0.0) for special in specials] + [(byte, lowest) for byte in BYTE_PIECES] + ranked
    return models.Unigram(vocab, unk_id=UNK_ID, byte_fallback=True)


def _segmentation_scores(model: models.Unigram, pieces: list[str], words: Mapping[str, int]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    encodings = tokenizers.Tokenizer(model).encode_batch_fast(list(words))
    for encoding, count in zip(encodings, words.values(), strict=True):
        for piece in encoding.tokens:
            counts[piece] += count
    # Half a count for a piece in no best segmentation keeps it usable, and rare.
    total = sum(max(counts[piece], 0.5) for piece in pieces)
    return {piece: math.log(max(counts[piece], 0.5) / total) for piece in pieces}


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _of_common_characters(words: Mapping[str, int], limit: int) -> dict[str, int]:
    """The words written in the `limit` most frequent characters alone: rarer ones are not worth a place each."""
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for char in word:
            characters[char] += count
    common = {char for char, _ in _ranked(characters)[:limit]}
    return {word: count for word, count in _ranked(words) if common.issuperset(word)}


def _trained(model: models.Model, trainer: trainers.Trainer, words: Mapping[str, int]) -> models.Model:
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Split(_SEPARATOR, "removed")
    backend.train_from_iterator(_occurrences(words), trainer)
    return backend.model


def _vocabulary_of(model: models.Model, trainer: trainers.Trainer, words: Mapping[str, int]) -> dict[str, int]:
    return tokenizers.Tokenizer(_trained(model, trainer, words)).get_vocab()


def _occurrences(words: Mapping[str, int]) -> Iterator[str]:
    for word, count in _ranked(words):
        while count > 0:
            part = min(count, 10_000)
            yield _SEPARATOR.join([word] * part)
            count -= part


def _require(kind: str, vocab_size: int, least: int) -> None:
    if vocab_size < least:
        raise UsageError(f"tokenizer: a {kind} vocabulary needs at least {least} tokens, not {vocab_size}")
