"""From features to the vocabulary: one softmax over all tokens, or an adaptive one whose rare tokens lie in clusters.

Shapes: N rows, D features, V vocabulary, K clusters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from sightline.nn.ops import linear_cross_entropy, project


class Clusters(nn.Module):
    """What an adaptive softmax has beside the vocabulary's rows: a row for each cluster of rarer tokens.

    The likeliest tokens, those before the first of `cutoffs`, and the clusters share one softmax; inside a cluster
    there is another (Grave et al. 2017, section 4, here with the full width in every cluster so that the rows can be
    those of the embeddings). What is rare costs something only where it occurs, so training is several times cheaper
    where the vocabulary is most of the work. Ids must be in order of frequency, as those of whole words are.

    Raises ValueError for cutoffs that do not rise inside the vocabulary.
    """

    def __init__(self, width: int, cutoffs: Sequence[int], vocab_size: int) -> None:
        super().__init__()
        bounds = [0, *cutoffs, vocab_size]
        self.sizes = [high - low for low, high in pairwise(bounds)]
        if min(self.sizes) < 1:
            raise ValueError(f"cutoffs {list(cutoffs)} must rise between 0 and the vocabulary's {vocab_size} tokens")
        self.weight = nn.Parameter(torch.zeros(len(cutoffs), width))
        # as if all tokens were as likely
        self.bias = nn.Parameter(torch.tensor([math.log(size) for size in self.sizes[1:]]))


def make_clusters(width: int, cutoffs: Sequence[int], vocab_size: int) -> Clusters | None:
    """The clusters of an adaptive softmax, or None without cutoffs: one softmax over all."""
    return Clusters(width, cutoffs, vocab_size) if cutoffs else None


def output_loss(
    features_ND: Tensor, weight_VD: Tensor, bias_V: Tensor, targets_N: Tensor, clusters: Clusters | None
) -> Tensor:
    """Cross-entropy (nats) of the targets, summed over the rows."""
    if clusters is None:
        return linear_cross_entropy(features_ND, weight_VD, bias_V, targets_N)[0]
    weights, biases = torch.split(weight_VD, clusters.sizes), torch.split(bias_V, clusters.sizes)
    starts = list(accumulate(clusters.sizes))[:-1]
    cluster_N = torch.bucketize(targets_N, torch.tensor(starts, device=targets_N.device), right=True)  # 0: none
    first_N = torch.where(cluster_N == 0, targets_N, clusters.sizes[0] - 1 + cluster_N)
    head = torch.cat([weights[0], clusters.weight]), torch.cat([biases[0], clusters.bias])
    loss = linear_cross_entropy(features_ND, *head, first_N)[0]
    for number, (weight, bias, start) in enumerate(zip(weights[1:], biases[1:], starts, strict=True), 1):
        rows = (cluster_N == number).nonzero()[:, 0]
        if len(rows):
            loss = loss + linear_cross_entropy(features_ND[rows], weight, bias, targets_N[rows] - start)[0]
    return loss


def output_logits(features: Tensor, weight_VD: Tensor, bias_V: Tensor, clusters: Clusters | None) -> Tensor:
    """Features (…, D) → logits (…, V) in fp32; of an adaptive softmax they are log-probabilities."""
    if clusters is None:
        return project(features, weight_VD, bias_V)
    weights, biases = torch.split(weight_VD, clusters.sizes), torch.split(bias_V, clusters.sizes)
    head = project(features, torch.cat([weights[0], clusters.weight]), torch.cat([biases[0], clusters.bias]))
    head = head.log_softmax(-1)
    parts = [head[..., : clusters.sizes[0]]]
    for number, (weight, bias) in enumerate(zip(weights[1:], biases[1:], strict=True)):
        inside = project(features, weight, bias).log_softmax(-1)
        parts.append(inside + head[..., clusters.sizes[0] + number, None])
    return torch.cat(parts, -1)
