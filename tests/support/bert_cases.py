"""A small BERT, batches for it, and sequences drawn at random."""

from __future__ import annotations

import torch

from sightline.interop.bert import WEIGHTS
from sightline.interop.weights import for_layers
from sightline.models import BertSizes

SIZES = BertSizes(d_model=16, num_layers=2, num_heads=2, d_ff=32, max_length=24, dropout=0.0, attention_dropout=0.0)


def random_of(theirs: torch.nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return theirs.eval().state_dict()


@torch.no_grad()
def take(body: torch.nn.Module, theirs: dict[str, torch.Tensor]) -> None:
    for row in for_layers(WEIGHTS, 2):
        # a tagger's and an answerer's lack the pooler
        if not row.optional or row.theirs[0] in theirs:
            body.get_parameter(row.ours).copy_(torch.cat([theirs[name] for name in row.theirs]))


def batch_of_tokens() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens = torch.tensor([[1, 5, 6, 2, 7, 8, 2], [1, 9, 2, 0, 0, 0, 0], [1, 10, 11, 12, 2, 13, 2]])
    segment = torch.tensor([[0, 0, 0, 0, 1, 1, 1], [0] * 7, [0] * 5 + [1, 1]])
    return tokens, tokens > 0, segment
