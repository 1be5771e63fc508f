"""Counts of all n-grams up to an order, over documents of token ids: sorted tables, made without a loop over tokens.

The n-grams of one order are the rows of a table. A row's key is `row of its prefix · V + last word`, where the prefix
(all words but the last) is a row of the table of the order below; order 1 has a row for every id of the vocabulary,
seen or not, and its prefix is the empty n-gram, row 0. Keys ascend, so a binary search finds an n-gram, and the words
seen after a context lie next to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.errors import DataError
from sightline.special_tokens import PAD_ID

Ints = NDArray[Any]
Floats = NDArray[np.float64]

MISSING = -1  # in place of a row, where there is none


@dataclass(frozen=True)
class Counts:
    """The n-grams of one order: `keys` (N,) int64, ascending; how often each occurs, `counts` (N,) int32 or int64."""

    keys: Ints
    counts: Ints


def narrowest(most: int) -> type[np.signedinteger[Any]]:
    """The integers that hold -1 to `most` in the least memory."""
    return np.int32 if most < 1 << 31 else np.int64


def pieces(size: int, each: int = 1 << 22) -> Iterator[slice]:
    """0 to `size` in slices, so that what is computed on the way from array to array stays small."""
    return (slice(start, start + each) for start in range(0, size, each))


def find(keys: Ints, wanted: Ints) -> Ints:
    """The row of each key of `wanted` in ascending `keys`, or `MISSING`; the shape of `wanted`."""
    if not len(keys):
        return np.full(wanted.shape, MISSING)
    rows = np.searchsorted(keys, wanted)
    np.minimum(rows, len(keys) - 1, out=rows)
    rows[keys[rows] != wanted] = MISSING
    return rows


def check_documents(tokens: Ints, offsets: Ints, vocab_size: int, specials: tuple[int, ...]) -> None:
    """Raises DataError unless the documents hold ids of the vocabulary alone, and none of `specials`."""
    if not len(offsets) or (np.diff(offsets) < 0).any() or offsets[0] < 0 or offsets[-1] > len(tokens):
        raise DataError(f"offsets: they must rise from 0 or more to at most {len(tokens)}, the tokens there are")
    inside = tokens[int(offsets[0]) : int(offsets[-1])]
    for part in map(inside.__getitem__, pieces(len(inside))):
        if int(part.max()) >= vocab_size or int(part.min()) < 0:
            raise DataError(f"tokens: an id outside 0..{vocab_size - 1}; use the tokenizer the documents were cut with")
        for special in specials:
            if (part == special).any():
                raise DataError(f"tokens: id {special} is reserved and cannot be inside a document; leave it out")


def stream(tokens: Ints, offsets: Ints, bos_id: int, eos_id: int) -> tuple[Ints, NDArray[np.bool_]]:
    """All documents in a row, each between bos and eos: int32 ids (tokens + 2 · documents,), and where the bos are."""
    documents = np.arange(len(offsets) - 1, dtype=np.int64)
    begins = offsets[:-1] - offsets[0] + 2 * documents
    ends = offsets[1:] - offsets[0] + 2 * documents + 1
    size = int(offsets[-1] - offsets[0]) + 2 * len(documents)
    ids = np.empty(size, np.int32)
    inside = np.ones(size, bool)
    inside[begins] = inside[ends] = False
    ids[inside] = tokens[int(offsets[0]) : int(offsets[-1])]
    ids[begins], ids[ends] = bos_id, eos_id
    is_bos = np.zeros(size, bool)
    is_bos[begins] = True
    return ids, is_bos


def count(
    tokens: Ints,
    offsets: Ints,
    order: int,
    vocab_size: int,
    bos_id: int,
    eos_id: int,
    *,
    chunk: int = 1 << 22,
    progress: Callable[[float], None] | None = None,
) -> list[Counts]:
    """The tables of orders 1 to `order` of documents `tokens[offsets[i]:offsets[i + 1]]`.

    Every window inside bos, document, eos counts: an n-gram begins with bos or holds none, as in KenLM (Heafield et
    al. 2013, section 3). bos itself, which is never predicted, counts 0 times. Orders are counted one after the other:
    a position keeps the row of the n-gram that ends there, from which the keys of the next order follow. Of a chunk of
    `chunk` positions the distinct keys are kept, and merged when all chunks were read; the result does not depend on
    the size of a chunk. `progress` is called with the share done, in 0 to 1.

    Raises:
        DataError: no document; an id out of range; pad, bos or eos inside a document.
    """
    if len(offsets) < 2:
        raise DataError("documents: there are none to count; give at least one")
    check_documents(tokens, offsets, vocab_size, (PAD_ID, bos_id, eos_id))
    ids, is_bos = stream(tokens, offsets, bos_id, eos_id)
    narrow = narrowest(max(len(ids), vocab_size))
    unigrams = np.zeros(vocab_size, narrow)
    for part in pieces(len(ids)):
        unigrams += np.bincount(ids[part][~is_bos[part]], minlength=vocab_size).astype(narrow)
    tables = [Counts(np.arange(vocab_size), unigrams)]
    rows = ids.astype(narrow)
    for n in range(2, order + 1):
        last = n == order
        parts: list[Counts] = []
        carried = rows[:1] * 0 + MISSING
        for start in range(0, len(ids), chunk):
            here = slice(start, start + chunk)
            prefixes = np.concatenate([carried, rows[here][:-1]])
            carried = rows[here][-1:].copy()
            valid = (prefixes >= 0) & ~is_bos[here]
            keys = prefixes[valid].astype(np.int64) * vocab_size + ids[here][valid]
            if last:
                parts.append(Counts(*np.unique(keys, return_counts=True)))
            else:
                distinct, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
                parts.append(Counts(distinct, counts))
                rows[here] = MISSING
                rows[here][valid] = inverse
            if progress is not None:
                progress((n - 2 + min(1.0, (start + chunk) / len(ids))) / (order - 1))
        merged = _merge([part.keys for part in parts])
        total = np.zeros(len(merged), narrow)
        for number, part in enumerate(parts):
            places = np.searchsorted(merged, part.keys)
            total[places] += part.counts.astype(narrow)
            if not last:
                local = rows[number * chunk : (number + 1) * chunk]
                valid = local >= 0
                local[valid] = places[local[valid]]
        tables.append(Counts(merged, total))
    return tables


def _merge(parts: list[Ints]) -> Ints:
    """The distinct keys of several ascending arrays, ascending."""
    if len(parts) == 1:
        return parts[0]
    keys = np.concatenate(parts)
    keys.sort(kind="stable")  # the parts are runs, which this sort only merges
    new = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    return keys[new]


def suffixes(tables: list[Ints], vocab_size: int) -> list[Ints]:
    """For each order the row, one order below, of every n-gram without its first word; `tables` are the keys.

    Where words were seen all their windows were, so every suffix has a row.
    """
    found: list[Ints] = [np.zeros(len(tables[0]), np.int32)]
    for below, keys in pairwise(tables):
        rows = np.empty(len(keys), narrowest(len(below)))
        for part in pieces(len(keys)):
            prefixes, words = np.divmod(keys[part], vocab_size)
            rows[part] = np.searchsorted(below, found[-1][prefixes].astype(np.int64) * vocab_size + words)
        found.append(rows)
    return found


def starts_with(tables: list[Ints], vocab_size: int, word: int) -> list[NDArray[np.bool_]]:
    """For each order which n-grams have `word` first."""
    found = [np.arange(vocab_size) == word]
    for keys in tables[1:]:
        found.append(found[-1][keys // vocab_size])
    return found
