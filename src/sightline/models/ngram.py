"""Markov models of order 1 to 7: the probability of a word after the n - 1 before it, looked up in tables of n-grams.

Shapes: B rows, V vocabulary, n order of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from sightline.errors import CheckpointError, DataError
from sightline.models.counting import MISSING, Floats, Ints, check_documents, count, find, stream
from sightline.models.sizes import LanguageSizes
from sightline.models.smoothing import Smoothing, Table, estimate
from sightline.nn.context import INFERENCE, PassContext
from sightline.nn.padding import left_align, undo_left_align
from sightline.nn.state import TensorState
from sightline.special_tokens import PAD_ID


class NGramSizes(LanguageSizes, frozen=True, extra="forbid"):
    """The arguments of `NGram`."""

    counted: ClassVar[bool] = True

    kind: Literal["ngram"] = "ngram"
    order: int = Field(5, ge=1, le=7, description="words of an n-gram: the predicted one and order - 1 before it")
    smoothing: Smoothing = Field(
        "kneser_ney", description="interpolated modified Kneser–Ney; k added to every count; relative frequency"
    )
    k: float = Field(0.1, gt=0, description="add_k only: what is added to every count")

    def activations_per_token(self, span: int) -> int:
        return 0


@dataclass(frozen=True)
class NGramState(TensorState):
    """The last n - 1 words of each row, oldest first; where fewer were read, bos fills the left."""

    contexts_BN: Tensor

    def tensors(self) -> list[Tensor]:
        """All it holds, batch rows first."""
        return [self.contexts_BN]

    def with_tensors(self, tensors: Sequence[Tensor]) -> NGramState:
        """A state of this form that holds others."""
        return NGramState(tensors[0])


class NGram:
    """p(word | the n - 1 words before), exactly normalised over the vocabulary without pad and bos.

    What other language models compute from features, this one looks up: its features are the n - 1 words themselves.
    `sizes` says how it was estimated; it is None where that is not known, as of a model read from an ARPA file.
    """

    carries_state = True
    context_length: int | None = None  # it forgets by itself
    attention_sites: tuple[str, ...] = ()

    def __init__(
        self, tables: Sequence[Table], vocab_size: int, sizes: NGramSizes | None, bos_id: int = 1, eos_id: int = 2
    ) -> None:
        self.tables = tuple(tables)
        self.vocab_size = vocab_size
        self.sizes = sizes
        self.bos_id = self.begin_id = bos_id
        self.eos_id = eos_id

    @property
    def device(self) -> torch.device:
        """Where its states are to be."""
        return torch.device("cpu")

    @classmethod
    def count(
        cls,
        tokens: Ints,
        offsets: Ints,
        vocab_size: int,
        sizes: NGramSizes,
        bos_id: int = 1,
        eos_id: int = 2,
        progress: Callable[[float], None] | None = None,
    ) -> NGram:
        """Counts documents `tokens[offsets[i]:offsets[i + 1]]`, which hold no pad, bos or eos, and estimates.

        Each document is read after bos and ends with eos. `progress` is called with the share counted, in 0 to 1.

        Raises:
            DataError: no document; an id out of range or reserved inside one.
        """
        counts = count(tokens, offsets, sizes.order, vocab_size, bos_id, eos_id, progress=progress)
        tables = estimate(counts, vocab_size, sizes.smoothing, sizes.k, bos_id)
        return cls(tables, vocab_size, sizes, bos_id, eos_id)

    @property
    def order(self) -> int:
        """Tokens of the longest n-grams."""
        return len(self.tables)

    @property
    def ngram_counts(self) -> tuple[int, ...]:
        """How many n-grams are kept of each order; of order 1 it is the vocabulary."""
        return tuple(len(table.keys) for table in self.tables)

    def _matches(self, ids_BT: Ints, orders: int) -> list[Ints]:
        """For each order up to `orders`, the row of the n-gram that ends at each place (B, T), or `MISSING`."""
        found = [ids_BT.astype(np.int64)]
        for table in self.tables[1:orders]:
            rows_BT = np.full(ids_BT.shape, MISSING)
            prefixes = found[-1][:, :-1]
            valid = prefixes >= 0
            rows_BT[:, 1:][valid] = find(table.keys, prefixes[valid] * self.vocab_size + ids_BT[:, 1:][valid])
            found.append(rows_BT)
        return found

    def log_probabilities(self, tokens: Ints, offsets: Ints, chunk: int = 1 << 20) -> Floats:
        """ln p of every token and of the eos of each document: (tokens + documents,) float64, document by document.

        `chunk` positions are looked up at a time. ln p is -inf where a model without smoothing rules a word out.

        Raises:
            DataError: an id out of range; pad, bos or eos inside a document.
        """
        check_documents(tokens, offsets, self.vocab_size, (PAD_ID, self.bos_id, self.eos_id))
        ids, is_bos = stream(tokens, offsets, self.bos_id, self.eos_id)
        parts = [np.zeros(0)]
        for start in range(0, len(ids), chunk):
            before = min(start, self.order - 1)
            here = slice(start - before, start + chunk)
            matches = [one[0] for one in self._matches(ids[here][None], self.order)]
            log_p = self.tables[0].log_p[matches[0]]
            for n in range(1, self.order):
                context = np.concatenate([[MISSING], matches[n - 1][:-1]])
                backed_off = log_p + np.where(context >= 0, _at(self.tables[n - 1].log_backoff, context), 0.0)
                log_p = np.where(matches[n] >= 0, _at(self.tables[n].log_p, matches[n]), backed_off)
            parts.append(log_p[before:][~is_bos[start : start + chunk]])
        return np.concatenate(parts)

    def distribution(self, contexts_BN: Ints) -> Floats:
        """p of every word (B, V) after the n - 1 words of each row; bos fills the left of shorter contexts.

        Raises:
            DataError: an id outside the vocabulary.
        """
        contexts_BN = np.asarray(contexts_BN)
        if contexts_BN.size and not 0 <= int(contexts_BN.min()) <= int(contexts_BN.max()) < self.vocab_size:
            raise DataError(f"contexts: an id outside 0..{self.vocab_size - 1}; use the model's own tokenizer")
        p_BV = np.tile(np.exp(self.tables[0].log_p), (len(contexts_BN), 1))
        if self.order == 1:
            return p_BV
        matches = self._matches(contexts_BN, self.order - 1)
        for n in range(1, self.order):
            context_B = matches[n - 1][:, -1]
            seen = np.flatnonzero(context_B >= 0)
            context = context_B[seen]
            p_BV[seen] *= np.exp(self.tables[n - 1].log_backoff[context])[:, None]
            keys = self.tables[n].keys
            first, end = np.searchsorted(keys, np.stack([context, context + 1]) * self.vocab_size)
            lengths = end - first
            # all ranges first[i]..end[i] one after the other
            after: Ints = np.repeat(end - np.cumsum(lengths), lengths) + np.arange(int(lengths.sum()))
            p_BV[np.repeat(seen, lengths), keys[after] % self.vocab_size] = np.exp(self.tables[n].log_p[after])
        return p_BV

    def start(self, batch_size: int, device: torch.device | str = "cpu") -> NGramState:
        """The state before the first token, bos, is read, of `batch_size` rows."""
        return NGramState(torch.full((batch_size, self.order - 1), self.bos_id, device=device))

    def decode(
        self, tokens_BT: Tensor, state: NGramState, *, real_BT: Tensor | None = None, ctx: PassContext = INFERENCE
    ) -> tuple[Tensor, NGramState]:
        """T more tokens → the contexts (B, T, n - 1) that predict each one's successor, and the state after them.

        `real_BT` says which tokens are no padding, wherever it stands; contexts at padding mean nothing.
        """
        past = self.order - 1
        lengths_B, index_BT = tokens_BT.new_full(tokens_BT.shape[:1], tokens_BT.shape[1]), None
        if real_BT is not None:
            tokens_BT, lengths_B, index_BT = left_align(tokens_BT, real_BT)
        if past == 0:
            return tokens_BT.new_zeros(*tokens_BT.shape, 0), state
        seen_BS = torch.cat([state.contexts_BN, tokens_BT], 1)
        contexts_BTN = seen_BS[:, 1:].unfold(1, past, 1)
        last_BN = lengths_B[:, None] + torch.arange(past)
        if index_BT is not None:
            contexts_BTN = undo_left_align(contexts_BTN, index_BT)
        return contexts_BTN, NGramState(seen_BS.gather(1, last_BN))

    def project(self, contexts: Tensor) -> Tensor:
        """Contexts (…, n - 1) → ln p of the next word (…, V), float32, -inf where p is 0."""
        with np.errstate(divide="ignore"):
            log_p_NV = np.log(self.distribution(contexts.flatten(0, -2).numpy()))
        return torch.from_numpy(log_p_NV.astype(np.float32)).view(*contexts.shape[:-1], self.vocab_size)

    def step(self, tokens_B: Tensor, state: NGramState, *, ctx: PassContext = INFERENCE) -> tuple[Tensor, NGramState]:
        """One more token of each row → ln p of the next (B, V), float32, -inf where p is 0; the state after it."""
        contexts_B1N, state = self.decode(tokens_B[:, None], state, ctx=ctx)
        return self.project(contexts_B1N[:, 0]), state

    def read_out(self, residual_BTD: Tensor) -> Tensor | None:
        """None: there is no residual stream."""
        return None

    def tensors(self) -> dict[str, Tensor]:
        """All it consists of: `order_k.keys` int64, `.log_p` and, below the highest order, `.log_backoff` float64."""
        named: dict[str, Tensor] = {}
        for n, table in enumerate(self.tables, 1):
            named[f"order_{n}.keys"] = torch.from_numpy(table.keys)
            named[f"order_{n}.log_p"] = torch.from_numpy(table.log_p)
            if n < self.order:
                named[f"order_{n}.log_backoff"] = torch.from_numpy(table.log_backoff)
        return named

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, Tensor],
        vocab_size: int,
        sizes: NGramSizes | None,
        bos_id: int = 1,
        eos_id: int = 2,
    ) -> NGram:
        """The model whose `tensors()` these are.

        Raises:
            CheckpointError: one is missing or has the wrong size, or the order is another than in `sizes`.
        """
        order = sum(name.endswith(".keys") for name in tensors)
        if sizes is not None and sizes.order != order:
            raise CheckpointError(f"n-grams: the weights are of order {order}, the configuration of {sizes.order}")
        tables: list[Table] = []
        for n in range(1, order + 1):
            try:
                keys, log_p = (tensors[f"order_{n}.{name}"].numpy() for name in ("keys", "log_p"))
                log_backoff = tensors[f"order_{n}.log_backoff"].numpy() if n < order else np.zeros(0)
            except KeyError as missing:
                raise CheckpointError(f"n-grams: {missing} is not there; train the model again") from None
            sizes_fit = len(keys) == len(log_p) and len(log_backoff) == (len(keys) if n < order else 0)
            if not sizes_fit or (n == 1 and len(keys) != vocab_size):
                raise CheckpointError(f"n-grams: order {n} does not fit {vocab_size} tokens; train the model again")
            if np.isnan(log_p).any() or np.isnan(log_backoff).any():
                raise CheckpointError(f"n-grams: order {n} holds nan; train the model again")
            tables.append(Table(keys, log_p, log_backoff))
        return cls(tables, vocab_size, sizes, bos_id, eos_id)


def _at(values: Floats, places: Ints) -> Floats:
    """values[places], where an empty array has only `MISSING` places, of any value."""
    return values[places] if len(values) else np.zeros(places.shape)
