"""Token ids in one language to token ids in another, for many sentences at once; scoring of given translations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sightline.data.batches import collate
from sightline.data.encoded import EncodedPairs
from sightline.decode import Hypothesis, Search, SearchOptions, Sentence, log_probabilities
from sightline.decode.choosing import own_seed
from sightline.errors import UsageError
from sightline.nn.forward import Forward, Recorder
from sightline.nn.state import joined, rows
from sightline.special_tokens import BOS_ID, EOS_ID, PAD_ID

BOS, EOS, PAD = BOS_ID, EOS_ID, PAD_ID
Ids = Sequence[int]
# where decoders record how they attend to their source
CROSS_ATTENTION = ("decoder.*.cross_attention.weights", "decoder.attention.weights")


def _device_of(model: Any) -> torch.device:
    return model.output_bias.device


def attends(model: Any) -> bool:
    """Whether the decoder attends to its source."""
    return getattr(model.sizes, "attention", "") != "none"


@dataclass(frozen=True)
class Covered:
    """A decoder's state with how much attention each source position has had so far (B, S)."""

    state: Any
    mask_BS: Tensor
    coverage_BS: Tensor

    def reorder(self, index: Tensor) -> Covered:
        return Covered(self.state.reorder(index), rows(self.mask_BS, index), rows(self.coverage_BS, index))

    def join(self, other: Covered) -> Covered:
        masks, coverages = ([getattr(one, name) for one in (self, other)] for name in ("mask_BS", "coverage_BS"))
        return Covered(self.state.join(other.state), joined(masks, 1), joined(coverages, 1))

    def penalty(self) -> Tensor:
        """Σ_s ln min(Σ_t a_ts, 1) (Wu et al. 2016, eq. 14, without its β); (B,), at most 0."""
        share = self.coverage_BS.clamp(1e-10, 1.0).log()
        return (share * self.mask_BS).sum(1)


def covering(model: Any) -> Callable[[Tensor, Covered], tuple[Tensor, Covered]]:
    """The model's step, which also adds up its attention, averaged over heads and layers."""

    def step(tokens_B: Tensor, covered: Covered) -> tuple[Tensor, Covered]:
        recorder = Recorder(CROSS_ATTENTION)
        logits_BV, state = model.step(tokens_B, covered.state, Forward(recorder=recorder))
        sites = [
            weights[:, None] if weights.dim() == 3 else weights
            for steps in recorder.tensors.values()
            for weights in steps
        ]
        looked_BS = torch.cat(sites, 1).float().mean(1)[:, 0]
        return logits_BV, Covered(state, covered.mask_BS, covered.coverage_BS + looked_BS)

    return step


def padded_sources(sources: Sequence[Ids], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens (B, S), each row ended by end-of-sentence and padded, and the mask of real tokens (B, S)."""
    longest = max(len(ids) for ids in sources) + 1
    tokens_BS = torch.full((len(sources), longest), PAD)
    for row, ids in enumerate(sources):
        tokens_BS[row, : len(ids) + 1] = torch.tensor([*ids, EOS])
    lengths = torch.tensor([len(ids) + 1 for ids in sources])
    return tokens_BS.to(device), (torch.arange(longest)[None, :] < lengths[:, None]).to(device)


def by_length(lengths: Sequence[int], rows: int) -> list[list[int]]:
    """Indices in batches of `rows` of like length, the longest first so that memory runs out at once or never."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    return [order[start : start + rows] for start in range(0, len(order), rows)]


def open_search(model: Any, options: SearchOptions) -> Search:
    """A search that sources can be admitted to."""
    covered = options.coverage_beta and attends(model)
    return Search(
        covering(model) if covered else model.step,
        options,
        eos_id=EOS,
        forbidden=(PAD, BOS),
        coverage_penalty=Covered.penalty if attends(model) else None,
        device=_device_of(model),
    )


def to_search(model: Any, source: Ids, options: SearchOptions, prefix: Ids = ()) -> Sentence:
    """A translation of a source, with the seed and the longest output of these options.

    Raises UsageError for a prefix longer than the model has positions for.
    """
    longest = options.max_length(len(source))
    if model.context:
        most = model.context - 1  # so that all of it can be read again, after the beginning of the sentence
        if len(prefix) >= most:
            raise UsageError(f"prefix: {len(prefix)} tokens; the model writes {most} at most")
        longest = min(longest, most)
    return Sentence(longest, BOS, list(prefix), seed=own_seed(options.seed, source))


@torch.inference_mode()
def admit(search: Search, model: Any, sources: Sequence[Ids], sentences: Sequence[Sentence]) -> None:
    """Reads sources and adds their translations, as `to_search` made them, to the search."""
    tokens_BS, mask_BS = padded_sources(sources, _device_of(model))
    state = model.start(tokens_BS, mask_BS)
    if search.options.coverage_beta and attends(model):
        state = Covered(state, mask_BS, torch.zeros(mask_BS.shape, device=mask_BS.device))
    search.add(sentences, state)


@torch.inference_mode()
def translate_ids(
    model: Any,
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
        batch_size: sentences searched together; it does not change the results.
        done: called with the number of sentences finished so far.
    """
    results: list[list[Hypothesis]] = [[] for _ in sources]
    finished = 0
    for indices in by_length([len(ids) for ids in sources], batch_size):
        search = open_search(model, options)
        begun = [prefixes[index] if prefixes else () for index in indices]
        sentences = [to_search(model, sources[index], options, one) for index, one in zip(indices, begun, strict=True)]
        admit(search, model, [sources[index] for index in indices], sentences)
        search.run()
        for index, sentence in zip(indices, sentences, strict=True):
            results[index] = sentence.finished
        finished += len(indices)
        done(finished)
    return results


@torch.inference_mode()
def score_ids(model: Any, pairs: Sequence[tuple[Ids, Ids]], *, batch_size: int = 64) -> list[list[float]]:
    """ln p of every target token, end-of-sentence included, given its source and the tokens before it."""
    results: list[list[float]] = [[] for _ in pairs]
    encoded = EncodedPairs.of(pairs)
    for indices in by_length([max(len(source), len(target)) for source, target in pairs], batch_size):
        batch = collate(encoded, torch.tensor(indices).numpy()).to(_device_of(model))
        features = model.features(batch.source_BS, batch.source_mask_BS, batch.target_in_BT, batch.target_mask_BT)
        picked = log_probabilities(model.project(features)).gather(-1, batch.target_out_BT[..., None])[..., 0]
        for row, index in enumerate(indices):
            results[index] = picked[row, : len(pairs[index][1]) + 1].tolist()
    return results


@torch.inference_mode()
def attention_ids(model: Any, source: Ids, target: Ids) -> Tensor | None:
    """Where the decoder looked while it wrote `target`: weights (sites, T, S) by one pass with teacher forcing.

    T and S count end-of-sentence. A site is a head of a layer, or the one attention of a recurrent decoder; None for
    a model that does not attend to its source.
    """
    recorder = Recorder(CROSS_ATTENTION)
    tokens_BS, mask_BS = padded_sources([source], _device_of(model))
    inputs_BT = torch.tensor([[BOS, *target]], device=tokens_BS.device)
    model.features(tokens_BS, mask_BS, inputs_BT, None, Forward(recorder=recorder))
    if not recorder.tensors:
        return None
    # a decoder that runs step by step records one row at a time
    sites = [torch.cat(steps, -2)[0] for steps in recorder.tensors.values()]
    return torch.cat([site if site.dim() == 3 else site[None] for site in sites]).float().cpu()
