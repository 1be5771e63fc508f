"""Token ids in one language to token ids in another, for many sentences at once; scoring of given translations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor

from sightline.data.batches import collate
from sightline.data.encoded import EncodedPairs
from sightline.decode import Hypothesis, Search, SearchOptions, SearchRequest, log_probabilities, require_numbers
from sightline.decode.strategies import request_seed
from sightline.errors import UsageError
from sightline.models.protocols import EncoderDecoder
from sightline.nn.context import PassContext, Recorder
from sightline.nn.state import State, pad_and_concatenate, select_rows
from sightline.special_tokens import BOS_ID, EOS_ID, PAD_ID

Ids = Sequence[int]
S = TypeVar("S", bound=State)
# a model whose state is its own business
AnyModel = EncoderDecoder[Any]


@dataclass(frozen=True)
class CoverageState(Generic[S]):
    """A decoder's state with how much attention each source position has had so far (B, S)."""

    state: S
    mask_BS: Tensor
    coverage_BS: Tensor

    def reorder(self, index: Tensor) -> CoverageState[S]:
        return CoverageState(
            self.state.reorder(index), select_rows(self.mask_BS, index), select_rows(self.coverage_BS, index)
        )

    def concatenate(self, other: CoverageState[S]) -> CoverageState[S]:
        return CoverageState(
            self.state.concatenate(other.state),
            pad_and_concatenate([self.mask_BS, other.mask_BS], 1),
            pad_and_concatenate([self.coverage_BS, other.coverage_BS], 1),
        )

    def penalty(self) -> Tensor:
        """Σ_s ln min(Σ_t a_ts, 1) (Wu et al. 2016, eq. 14, without its β); (B,), at most 0."""
        share = self.coverage_BS.clamp(1e-10, 1.0).log()
        return (share * self.mask_BS).sum(1)


def coverage_step(
    model: EncoderDecoder[S],
) -> Callable[[Tensor, CoverageState[S]], tuple[Tensor, CoverageState[S]]]:
    """The model's step, which also adds up its attention, averaged over heads and layers."""

    def step(tokens_B: Tensor, covered: CoverageState[S]) -> tuple[Tensor, CoverageState[S]]:
        recorder = Recorder(model.cross_attention_sites)
        logits_BV, state = model.step(tokens_B, covered.state, ctx=PassContext(recorder=recorder))
        looked_BS = _sites(recorder).mean(1)[:, 0]
        return logits_BV, CoverageState(state, covered.mask_BS, covered.coverage_BS + looked_BS)

    return step


def pad_sources(sources: Sequence[Ids], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens (B, S), each row ended by end-of-sentence and padded, and the mask of real tokens (B, S)."""
    longest = max(len(ids) for ids in sources) + 1
    tokens_BS = torch.full((len(sources), longest), PAD_ID)
    for row, ids in enumerate(sources):
        tokens_BS[row, : len(ids) + 1] = torch.tensor([*ids, EOS_ID])
    lengths = torch.tensor([len(ids) + 1 for ids in sources])
    return tokens_BS.to(device), (torch.arange(longest)[None, :] < lengths[:, None]).to(device)


def by_length(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Indices in batches of `batch_size` of like length, the longest first so that memory runs out at once or never."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def new_search(model: AnyModel, options: SearchOptions) -> Search[Any]:
    """A search that sources can be prefilled into."""
    attends = bool(model.cross_attention_sites)
    return Search(
        coverage_step(model) if options.coverage_beta and attends else model.step,
        options,
        eos_id=EOS_ID,
        forbidden=(PAD_ID, BOS_ID),
        coverage_penalty=CoverageState[Any].penalty if attends else None,
        device=model.device,
    )


def make_request(model: AnyModel, source: Ids, options: SearchOptions, prefix: Ids = ()) -> SearchRequest:
    """A translation of a source, with the seed and the longest output of these options.

    Raises UsageError for a prefix longer than the model has positions for.
    """
    longest = options.max_length(len(source))
    if model.context_length:
        most = model.context_length - 1  # so that all of it can be read again, after the beginning of the sentence
        if len(prefix) >= most:
            raise UsageError(f"prefix: {len(prefix)} tokens; the model writes {most} at most")
        longest = min(longest, most)
    return SearchRequest(longest, BOS_ID, list(prefix), seed=request_seed(options.seed, source))


@torch.inference_mode()
def prefill(search: Search[Any], model: AnyModel, sources: Sequence[Ids], requests: Sequence[SearchRequest]) -> None:
    """Reads sources and adds their translations, as `make_request` made them, to the search."""
    tokens_BS, mask_BS = pad_sources(sources, model.device)
    state = model.start(tokens_BS, mask_BS)
    if search.options.coverage_beta and model.cross_attention_sites:
        state = CoverageState(state, mask_BS, torch.zeros(mask_BS.shape, device=mask_BS.device))
    search.add(requests, state)


@torch.inference_mode()
def translate_ids(
    model: AnyModel,
    sources: Sequence[Ids],
    options: SearchOptions,
    *,
    batch_size: int = 64,
    prefixes: Sequence[Ids] | None = None,
    done: Callable[[int], None] = lambda count: None,
) -> list[list[Hypothesis]]:
    """The n best hypotheses of every source, in the order of the sources.

    Args:
        sources: token ids without specials. prefixes: what each translation must begin with.
        batch_size: sources searched together; it does not change the results.
        done: called with the number of sentences finished so far.
    """
    results: list[list[Hypothesis]] = [[] for _ in sources]
    finished = 0
    for indices in by_length([len(ids) for ids in sources], batch_size):
        search = new_search(model, options)
        begun = [prefixes[index] if prefixes else () for index in indices]
        requests = [
            make_request(model, sources[index], options, one) for index, one in zip(indices, begun, strict=True)
        ]
        prefill(search, model, [sources[index] for index in indices], requests)
        search.run()
        for index, request in zip(indices, requests, strict=True):
            results[index] = request.finished
        finished += len(indices)
        done(finished)
    return results


@torch.inference_mode()
def score_ids(model: AnyModel, pairs: Sequence[tuple[Ids, Ids]], *, batch_size: int = 64) -> list[list[float]]:
    """ln p of every target token, end-of-sentence included, given its source and the tokens before it."""
    results: list[list[float]] = [[] for _ in pairs]
    encoded = EncodedPairs.from_lists(pairs)
    for indices in by_length([max(len(source), len(target)) for source, target in pairs], batch_size):
        batch = collate(encoded, torch.tensor(indices).numpy()).to(model.device)
        features = model.features(batch.source_BS, batch.source_mask_BS, batch.target_in_BT, batch.target_mask_BT)
        picked = log_probabilities(model.project(features)).gather(-1, batch.target_out_BT[..., None])[..., 0]
        require_numbers(picked)
        for row, index in enumerate(indices):
            results[index] = picked[row, : len(pairs[index][1]) + 1].tolist()
    return results


@torch.inference_mode()
def attention_ids(model: AnyModel, source: Ids, target: Ids) -> Tensor | None:
    """Where the decoder looked while it wrote `target`: weights (sites, T, S) by one pass with teacher forcing.

    T and S count end-of-sentence. A site is a head of a layer, or the one attention of a recurrent decoder; None for
    a model that does not attend to its source.
    """
    if not model.cross_attention_sites:
        return None
    recorder = Recorder(model.cross_attention_sites)
    tokens_BS, mask_BS = pad_sources([source], model.device)
    inputs_BT = torch.tensor([[BOS_ID, *target]], device=tokens_BS.device)
    model.features(tokens_BS, mask_BS, inputs_BT, ctx=PassContext(recorder=recorder))
    return _sites(recorder)[0].cpu()


@torch.inference_mode()
def coverage_ids(model: AnyModel, pairs: Sequence[tuple[Ids, Ids]], *, batch_size: int = 64) -> list[float]:
    """How much of each source its translation looked at: the mean over source positions of min(Σ_t a_ts, 1).

    The sum that the coverage penalty of Wu et al. 2016, equation 14, takes the logarithm of; attention is averaged over
    heads and layers. 1 for every pair of a model that does not attend to its source.
    """
    results = [1.0] * len(pairs)
    if not model.cross_attention_sites:
        return results
    encoded = EncodedPairs.from_lists(pairs)
    for indices in by_length([max(len(source), len(target)) for source, target in pairs], batch_size):
        batch = collate(encoded, torch.tensor(indices).numpy()).to(model.device)
        recorder = Recorder(model.cross_attention_sites)
        model.features(
            batch.source_BS,
            batch.source_mask_BS,
            batch.target_in_BT,
            batch.target_mask_BT,
            ctx=PassContext(recorder=recorder),
        )
        looked_BTS = _sites(recorder).mean(1)
        covered_BS = (looked_BTS * batch.target_mask_BT[:, :, None]).sum(1).clamp(max=1) * batch.source_mask_BS
        shares = cast("list[float]", (covered_BS.sum(1) / batch.source_mask_BS.sum(1)).tolist())
        for index, share in zip(indices, shares, strict=True):
            results[index] = share
    return results


def _sites(recorder: Recorder) -> Tensor:
    """The weights that were recorded (B, sites, T, S), in fp32: a decoder that runs step by step records one row at a
    time."""
    sites = [torch.cat(steps, -2) for steps in recorder.tensors.values()]
    return torch.cat([site[:, None] if site.dim() == 3 else site for site in sites], 1).float()
