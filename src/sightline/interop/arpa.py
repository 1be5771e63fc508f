"""N-gram models as ARPA files, the text format of SRILM, KenLM and others.

A file has the number of n-grams of each order, then every n-gram in a line: log₁₀ p, its words, and, where longer
n-grams begin with it, the log₁₀ of its back-off weight. A log of -99 stands for one of 0, as in SRILM.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NoReturn, TextIO

import numpy as np

from sightline.errors import DataError, UsageError
from sightline.models.counting import MISSING, Floats, Ints, find
from sightline.models.ngram import NGram, NGramSizes
from sightline.models.smoothing import Table
from sightline.special_tokens import PAD_ID
from sightline.tasks.exchange import ExchangedModel

BOS, EOS, UNK = "<s>", "</s>", "<unk>"
_SPECIALS = {BOS: 1, EOS: 2, UNK: 3, "<UNK>": 3}
_ZERO = -99.0
_LINES = 1 << 16
_LONGEST_LINE = 1 << 20  # characters; the words of an n-gram have hundreds
_MOST_DIGITS = 18  # of the number of n-grams of an order


def write_model(path: Path, model: ExchangedModel) -> str:
    """Writes an n-gram model, see `write_arpa`."""
    sizes, tokenizer = model.sizes, model.require_tokenizer()
    if not isinstance(sizes, NGramSizes):
        raise UsageError(f"{path}: a {sizes.kind} model has no place in an ARPA file")
    ngrams = NGram.from_tensors(model.weights, tokenizer.vocab_size, sizes)
    write_arpa(ngrams, tokenizer.tokens(range(tokenizer.vocab_size)), path)
    return ""


def write_arpa(model: NGram, tokens: Sequence[str], path: str | Path) -> None:
    """Writes `model` to `path`, compressed where that ends in `.gz`; logs have nine significant digits.

    `tokens` are the words behind the ids. bos and eos are written as <s> and </s> whatever `tokens` calls them, and
    pad is left out, as it is never predicted.

    Raises:
        DataError: `tokens` do not fit the model, or cannot be told apart in a file whose columns are set off by blanks.
    """
    if len(tokens) != model.vocab_size:
        raise DataError(f"{path}: {len(tokens)} tokens for a model of {model.vocab_size}; use its own tokenizer")
    words = list(tokens)
    words[model.bos_id], words[model.eos_id] = BOS, EOS
    _check_words(words, path)
    with _open(Path(path), "wb") as out:
        kept = [len(table.keys) for table in model.tables]
        out.write("\\data\\\n" + "".join(f"ngram {n}={rows - (n == 1)}\n" for n, rows in enumerate(kept, 1)))
        for n, table in enumerate(model.tables, 1):
            out.write(f"\n\\{n}-grams:\n")
            log_p, log_backoff = _base_ten(table.log_p), _base_ten(table.log_backoff)
            for start in range(0, len(table.keys), _LINES):
                rows = np.arange(start, min(start + _LINES, len(table.keys)))
                if n == 1:
                    rows = rows[rows != PAD_ID]
                grams: list[list[int]] = _words_of(model, n, rows).tolist()
                texts = (" ".join([words[word] for word in gram]) for gram in grams)
                if n < model.order:
                    lines = zip(log_p[rows].tolist(), texts, log_backoff[rows].tolist(), strict=True)
                    out.write("".join([f"{p:.9g}\t{text}\t{backoff:.9g}\n" for p, text, backoff in lines]))
                else:
                    lines = zip(log_p[rows].tolist(), texts, strict=True)
                    out.write("".join([f"{p:.9g}\t{text}\n" for p, text in lines]))
        out.write("\n\\end\\\n")


def _check_words(words: Sequence[str], path: str | Path) -> None:
    seen: dict[str, int] = {}
    for index, word in enumerate(words):
        if index == PAD_ID:
            continue
        if not word or any(blank in word for blank in " \t\n\r"):
            raise DataError(f"{path}: token {index}, {word!r}, is empty or has a blank in it; ARPA cannot hold it")
        if word in seen:
            raise DataError(f"{path}: tokens {seen[word]} and {index} are both {word!r}; ARPA cannot tell them apart")
        seen[word] = index


def _base_ten(logs: Floats) -> Floats:
    return np.maximum(logs / math.log(10), _ZERO)


def _words_of(model: NGram, n: int, rows: Ints) -> Ints:
    """The ids of n-grams given as rows of order n: (rows, n)."""
    columns: list[Ints] = []
    for table in reversed(model.tables[:n]):
        rows, last = np.divmod(table.keys[rows], model.vocab_size)
        columns.append(last)
    return np.stack(columns[::-1], 1)


def _open(path: Path, mode: Literal["rb", "wb"]) -> TextIO:
    # lines end at \n alone: words may hold any other character that Python takes for a line's end
    file = gzip.GzipFile(path, mode) if path.suffix == ".gz" else path.open(mode)
    return io.TextIOWrapper(file, encoding="utf-8", newline="\n")


def _lines(file: TextIO, path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines. Raises DataError for one that is longer than any n-gram."""
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise DataError(f"{path}:{number}: a line of over {_LONGEST_LINE:,} characters; this is not an ARPA file")
        yield number, line


def read_arpa(path: str | Path) -> tuple[NGram, list[str]]:
    """The model in an ARPA file (`.gz` accepted), and its words by their id: <pad>, <s>, </s>, <unk>, then the others.

    A file without <unk> gives it probability 0. Probabilities are taken as they stand; a model pruned elsewhere may
    lack n-grams whose longer forms it has at the end of a context, but not at its beginning.

    Raises:
        DataError: not an ARPA file or a damaged one, with the number of the line.
    """
    reader = _Reader(Path(path))
    try:
        with _open(reader.path, "rb") as file:
            tables = reader.read(_lines(file, reader.path))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, MemoryError) as problem:
        raise DataError(f"{path}: cannot be read: {problem}") from None
    return NGram(tables, len(reader.words), None), reader.words


@dataclass
class _Reader:
    """What is known of a file while it is read."""

    path: Path
    line: int = 0
    words: list[str] = field(default_factory=lambda: ["<pad>", BOS, EOS, UNK])
    ids: dict[str, int] = field(default_factory=lambda: dict(_SPECIALS))

    def fail(self, problem: str, line: int | None = None) -> NoReturn:
        raise DataError(f"{self.path}:{line or self.line}: {problem}")

    def read(self, lines: Iterator[tuple[int, str]]) -> list[Table]:
        text = ""
        while text != "\\data\\":  # before it anything may stand
            text = self._next(lines, "\\data\\")
        expected: list[int] = []
        while (text := self._next(lines, "\\1-grams:")).startswith("ngram "):
            order, _, rows = text[6:].partition("=")
            rows = rows.strip()
            if order.strip() != str(len(expected) + 1) or not rows.isdecimal() or len(rows) > _MOST_DIGITS:
                self.fail(f'"{text[:80]}" should be "ngram {len(expected) + 1}=" and how many there are')
            expected.append(int(rows))
        if not expected:
            self.fail('there is no "ngram 1=" after \\data\\; this is not an ARPA file')
        tables: list[Table] = []
        for n, rows in enumerate(expected, 1):
            if text != f"\\{n}-grams:":
                self.fail(f'"{text[:80]}" stands where "\\{n}-grams:" should; after {expected[n - 2]} n-grams')
            grams, logs, numbers = self._section(lines, n, rows, len(expected))
            table = self._unigrams(grams, logs) if n == 1 else self._table(tables, grams, logs, numbers)
            tables.append(table if n < len(expected) else replace(table, log_backoff=np.zeros(0)))
            text = self._next(lines, "\\end\\")
        if text != "\\end\\":
            self.fail(f'"{text[:80]}" stands where "\\end\\" should; there are more n-grams than announced')
        return tables

    def _next(self, lines: Iterator[tuple[int, str]], wanted: str) -> str:
        """The next line that is not blank."""
        for self.line, text in lines:
            if stripped := text.strip(" \t\r\n"):
                return stripped
        return self.fail(f"the file ends before {wanted}; it was cut short or is not an ARPA file")

    def _section(self, lines: Iterator[tuple[int, str]], n: int, rows: int, order: int) -> tuple[Ints, Floats, Ints]:
        """Ids (rows, n), logs of p and of the back-off (2, rows), and the line of each n-gram."""
        # grown as they come: what a file announces need not be there
        room = min(rows, _LINES)
        grams = np.empty((room, n), np.int64)
        logs = np.zeros((2, room))
        numbers = np.empty(room, np.int64)
        for row in range(rows):
            if row == room:
                room = min(rows, 2 * room)
                grams, numbers = np.resize(grams, (room, n)), np.resize(numbers, room)
                logs = np.pad(logs, ((0, 0), (0, room - row)))
            wanted = f"n-gram {row + 1} of {rows} of order {n}"
            fields = self._next(lines, wanted).replace("\t", " ").split(" ")
            if "" in fields:
                fields = [one for one in fields if one]
            if fields[0].startswith("\\"):
                self.fail(f'"{fields[0][:80]}" stands where {wanted} should; there are fewer than announced')
            if not n + 1 <= len(fields) <= n + 1 + (n < order):
                self.fail(
                    f"{len(fields)} columns where an n-gram of order {n} should stand: log p, {n} words, back-off"
                )
            try:
                logs[0, row] = float(fields[0])
                logs[1, row] = float(fields[n + 1]) if len(fields) > n + 1 else 0.0
                grams[row] = [self.ids[word] for word in fields[1 : n + 1]] if n > 1 else self._new(fields[1])
            except ValueError:
                self.fail(f'"{fields[0][:80]}" or "{fields[-1][:80]}" is not a number')
            except KeyError as unknown:
                self.fail(f"{unknown} is not among the words of order 1")
            numbers[row] = self.line
            if not logs[0, row] <= 1e-4 or math.isnan(logs[1, row]) or logs[1, row] == math.inf:
                self.fail(
                    f'log p is at most 0 and a back-off is finite, not "{fields[0][:80]}" and "{fields[-1][:80]}"'
                )
        logs[logs <= _ZERO] = -math.inf
        return grams, logs * math.log(10), numbers

    def _new(self, word: str) -> int:
        if word not in self.ids:
            self.ids[word] = len(self.words)
            self.words.append(word)
        return self.ids[word]

    def _unigrams(self, grams: Ints, logs: Floats) -> Table:
        ids = grams[:, 0]
        if len(np.unique(ids)) < len(ids):
            self.fail("a word stands twice among those of order 1")
        log_p, log_backoff = np.full(len(self.words), -math.inf), np.zeros(len(self.words))
        log_p[ids], log_backoff[ids] = logs
        log_p[_SPECIALS[BOS]] = -math.inf  # <s> is never predicted, though some write it as certain
        return Table(np.arange(len(self.words)), log_p, log_backoff)

    def _table(self, below: list[Table], grams: Ints, logs: Floats, numbers: Ints) -> Table:
        vocab = len(self.words)
        keys = grams[:, 0]
        for n, word in enumerate(grams.T[1:], 1):
            keys = np.where(keys >= 0, keys * vocab + word, MISSING)
            if n < len(below):
                keys = find(below[n].keys, keys)
        if (orphans := np.flatnonzero(keys < 0)).size:
            self.fail("its first words are not an n-gram of the order below; they must be", int(numbers[orphans[0]]))
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        if (twice := np.flatnonzero(keys[1:] == keys[:-1])).size:
            self.fail("this n-gram stood before", int(numbers[order[twice[0] + 1]]))
        return Table(keys, logs[0, order], logs[1, order])
