"""Token ids that go on from others, and how probable given ones are, for any language model.

Shapes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor

from sightline.decode import Hypothesis, Search, SearchOptions, SearchRequest, log_probabilities, require_numbers
from sightline.decode.strategies import Stop, request_seed
from sightline.errors import UsageError
from sightline.models.protocols import LanguageModel
from sightline.nn.state import State, pad_and_concatenate, select_rows
from sightline.special_tokens import BOS_ID, EOS_ID, PAD_ID

MOST_LOGITS = 1 << 27
SPAN = 512  # tokens that a model of unlimited context reads at once
Ids = Sequence[int]
S = TypeVar("S", bound=State)
# a model whose state is its own business
AnyModel = LanguageModel[Any]
Result = TypeVar("Result")


@dataclass(frozen=True)
class SlidingWindowState(Generic[S]):
    """A state that can look at `context` tokens at most, with the tokens it has read: (B, T), and which are real."""

    state: S
    tokens_BT: Tensor
    real_BT: Tensor

    def reorder(self, index: Tensor) -> SlidingWindowState[S]:
        return SlidingWindowState(
            self.state.reorder(index), select_rows(self.tokens_BT, index), select_rows(self.real_BT, index)
        )

    def concatenate(self, other: SlidingWindowState[S]) -> SlidingWindowState[S]:
        tokens_BT = pad_and_concatenate([self.tokens_BT, other.tokens_BT], 1, left=True)
        real_BT = pad_and_concatenate([self.real_BT, other.real_BT], 1, left=True)
        first = int(real_BT.any(0).int().argmax()) if real_BT.shape[1] else 0
        return SlidingWindowState(self.state.concatenate(other.state), tokens_BT[:, first:], real_BT[:, first:])


def pad_batch(sequences: Sequence[Ids], device: torch.device, left: bool = False) -> tuple[Tensor, Tensor]:
    """Tokens (B, T), padded on the right or the left, and the mask of real ones (B, T)."""
    longest = max(map(len, sequences))
    tokens_BT = torch.full((len(sequences), longest), PAD_ID)
    real_BT = torch.zeros(len(sequences), longest, dtype=torch.bool)
    for row, ids in enumerate(sequences):
        columns = slice(longest - len(ids), longest) if left else slice(0, len(ids))
        tokens_BT[row, columns], real_BT[row, columns] = torch.tensor(ids, dtype=torch.int64), True
    return tokens_BT.to(device), real_BT.to(device)


def prefill_state(model: AnyModel, sequences: Sequence[Ids], left: bool = False) -> Any:
    """The state after these tokens, for `step_function(model)`. Either all sequences are empty or none is."""
    tokens_BT, real_BT = pad_batch(sequences, model.device, left)
    state = model.start(len(sequences))
    if tokens_BT.shape[1] == 0:
        return state if model.context_length is None else SlidingWindowState(state, tokens_BT, real_BT)
    some_BT = None if bool(real_BT.all()) else real_BT
    if model.context_length is None:
        return model.decode(tokens_BT, state, real_BT=some_BT)[1]
    if tokens_BT.shape[1] >= model.context_length:
        return _reread(model, SlidingWindowState(state, tokens_BT, real_BT), model.context_length)
    return SlidingWindowState(model.decode(tokens_BT, state, real_BT=some_BT)[1], tokens_BT, real_BT)


def _kept(length: int, context: int) -> int:
    """How many of the last of so many tokens are read again: the later half of a context that is full."""
    return length if length < context else context // 2


def prompt_tokens_read(model: AnyModel, length: int) -> int:
    """How many of a prompt's tokens, the last ones, a model goes on from."""
    # the last one is what the first step reads
    return length if model.context_length is None else _kept(length - 1, model.context_length) + 1


def _reread(model: LanguageModel[S], window: SlidingWindowState[S], context: int) -> SlidingWindowState[S]:
    """The window read anew, without padding between tokens; of rows that fill the context only the later half."""
    kept: list[list[int]] = []
    for tokens, real in zip(window.tokens_BT, window.real_BT, strict=True):
        ids = cast("list[int]", tokens[real].tolist())
        kept.append(ids[-_kept(len(ids), context) :])
    tokens_BT, real_BT = pad_batch(kept, window.tokens_BT.device)
    state = model.decode(tokens_BT, model.start(len(kept)), real_BT=None if bool(real_BT.all()) else real_BT)[1]
    return SlidingWindowState(state, tokens_BT, real_BT)


def step_function(model: AnyModel) -> Callable[[Tensor, Any], tuple[Tensor, Any]]:
    """The model's step. A model of limited context forgets the earlier half of it whenever a row has filled it."""
    context = model.context_length
    if context is None:
        return model.step

    def step(tokens_B: Tensor, window: SlidingWindowState[Any]) -> tuple[Tensor, SlidingWindowState[Any]]:
        if window.tokens_BT.shape[1] >= context:
            window = _reread(model, window, context)
        logits_BV, state = model.step(tokens_B, window.state)
        real_B1 = window.real_BT.new_ones(len(tokens_B), 1)
        return logits_BV, replace(
            window,
            state=state,
            tokens_BT=torch.cat([window.tokens_BT, tokens_B[:, None]], 1),
            real_BT=torch.cat([window.real_BT, real_B1], 1),
        )

    return step


def new_search(model: AnyModel, options: SearchOptions, forbidden: Sequence[int] = (PAD_ID, BOS_ID)) -> Search[Any]:
    """A search that prompts can be prefilled into."""
    return Search(step_function(model), options, eos_id=EOS_ID, forbidden=forbidden, device=model.device)


def make_request(prompt: Ids, options: SearchOptions, stop: Stop | None = None) -> SearchRequest:
    """What follows a prompt of at least one id, with the seed and the longest output of these options."""
    return SearchRequest(
        options.max_length(0), prompt[-1], prompt=prompt, stop=stop, seed=request_seed(options.seed, prompt)
    )


@torch.inference_mode()
def prefill(search: Search[Any], model: AnyModel, requests: Sequence[SearchRequest], left: bool = False) -> None:
    """Reads prompts, as `make_request` made them, and adds what follows each to the search.

    Those of one id are read apart from longer ones, which are padded on the right, or the `left`: it changes nothing.
    """
    alone = [one for one in requests if len(one.prompt) == 1]
    for group in ([one for one in requests if len(one.prompt) > 1], alone):
        if group:
            search.add(group, prefill_state(model, [one.prompt[:-1] for one in group], left))


@torch.inference_mode()
def generate_ids(
    model: AnyModel,
    prompts: Sequence[Ids],
    options: SearchOptions,
    *,
    batch_size: int = 16,
    stop: Stop | None = None,
    forbidden: Sequence[int] = (PAD_ID, BOS_ID),
) -> list[list[Hypothesis]]:
    """What follows each prompt (at least one id): the n best, in the order of the prompts.

    `batch_size` prompts are searched together, which does not change the results.
    """
    results: list[list[Hypothesis]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    for low in range(0, len(order), batch_size):
        indices = order[low : low + batch_size]
        search = new_search(model, options, forbidden)
        requests = [make_request(prompts[index], options, stop) for index in indices]
        prefill(search, model, requests)
        search.run()
        for index, request in zip(indices, requests, strict=True):
            results[index] = request.finished
    return results


def score_ids(
    model: AnyModel, sequences: Sequence[Ids], *, batch_size: int = 16, stride: int | None = None
) -> list[list[float]]:
    """ln p of every token of each sequence but its first, given those before it.

    A model of limited context sees at least context - stride of them (half of it by default), once there are so many.
    Fewer than `batch_size` sequences are read together where their logits would not fit into memory.

    Raises UsageError for a stride above the context.
    """
    return run_to_end(score_ids_stepwise(model, sequences, batch_size=batch_size, stride=stride))


def run_to_end(steps: Generator[None, None, Result]) -> Result:
    """What a generator that yields between its steps returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@torch.inference_mode()
def score_ids_stepwise(
    model: AnyModel, sequences: Sequence[Ids], *, batch_size: int = 16, stride: int | None = None
) -> Generator[None, None, list[list[float]]]:
    """`score_ids` for callers that do other work in between, or stop: yields after each span of each batch."""
    if stride is not None and model.context_length is not None and stride > model.context_length:
        raise UsageError(
            f"stride: {stride} is more than the model's context of {model.context_length} tokens; lower it"
        )
    results: list[list[float]] = [[] for _ in sequences]
    order = sorted((i for i, ids in enumerate(sequences) if len(ids) > 1), key=lambda index: -len(sequences[index]))
    low = 0
    while low < len(order):
        columns = min(len(sequences[order[low]]), model.context_length or SPAN)
        count = max(1, min(batch_size, MOST_LOGITS // (columns * model.vocab_size)))
        indices = order[low : low + count]
        low += count
        for scores in _scores(model, [sequences[i] for i in indices], stride):
            for index, found in zip(indices, scores, strict=True):
                results[index] += found
            yield
    return results


def _scores(model: AnyModel, sequences: Sequence[Ids], stride: int | None) -> Iterator[list[list[float]]]:
    """The same for one batch, span by span: spans are what a limited context can hold, or follow with a state.

    Where spans lie does not depend on how long the sequences are, so that company changes nothing.
    """
    longest = max(map(len, sequences)) - 1
    span = model.context_length or SPAN
    fresh = model.context_length is not None
    state = model.start(len(sequences))
    reach = 0  # targets scored so far
    while reach < longest:
        advance = span if reach == 0 or not fresh else stride or max(1, span // 2)
        begin = reach + advance - span if fresh else reach
        window = [list(ids[begin : reach + advance + 1]) for ids in sequences]
        tokens_BT, _ = pad_batch(window, model.device)
        if fresh:
            state = model.start(len(sequences))
        features, state = model.decode(tokens_BT[:, :-1], state)
        features, targets_BT = features[:, reach - begin :], tokens_BT[:, 1 + reach - begin :]
        picked = log_probabilities(model.project(features)).gather(-1, targets_BT[..., None])[..., 0]
        require_numbers(picked)
        yield [
            picked[row, : max(0, min(len(ids) - 1, reach + advance) - reach)].tolist()
            for row, ids in enumerate(sequences)
        ]
        reach += advance
