"""Workers side by side make the gradient that one worker makes of the whole batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sightline.data.batches import collate
from sightline.data.encoded import EncodedPairs
from sightline.models import make_encoder_decoder
from sightline.models.seq2seq import Seq2SeqSizes
from sightline.models.transformer import TransformerSizes
from sightline.nn.context import INFERENCE, PassContext
from sightline.train.optim import MasterOptimizer
from sightline.train.workers import Workers, shared_copy

SIZES = {
    "transformer": TransformerSizes(d_model=16, num_layers=1, num_heads=2, d_ff=32, dropout=0.0),
    "batch norm": TransformerSizes(d_model=16, num_layers=1, num_heads=2, d_ff=32, dropout=0.0, norm="batch"),
    "seq2seq": Seq2SeqSizes(width=16, embedding_width=12, dropout=0.0, tied="all"),
}


class Task:
    """A model's cross-entropy on given pairs, with or without training passes."""

    def __init__(self, model: Any, trains: bool = True) -> None:
        self.model, self.trains = model, trains

    def split(self, batch: Any, parts: int) -> list[Any]:
        return batch.split(parts)

    def replica(self, model: Any) -> Task:
        return Task(model, self.trains)

    def loss(self, batch: Any, generator: torch.Generator) -> Any:
        ctx = PassContext(generator=generator) if self.trains else INFERENCE
        loss, _ = self.model(
            batch.source_BS,
            batch.source_mask_BS,
            batch.target_in_BT,
            batch.target_out_BT,
            batch.target_mask_BT,
            ctx=ctx,
        )
        return loss, batch.num_target_tokens, {}


def make(name: str, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    return make_encoder_decoder(20, 20, SIZES[name]).to(dtype)


def batch(rows: int = 7) -> Any:
    draw = torch.Generator().manual_seed(1)
    lengths = [(2 + row % 4, 3 + row % 3) for row in range(rows)]
    pairs = [[torch.randint(3, 20, (n,), generator=draw).tolist() for n in both] for both in lengths]
    return collate(EncodedPairs.from_lists([(a, b) for a, b in pairs]), torch.arange(rows).numpy())


def gradients(task: Any, threads: int, given: Any) -> tuple[dict[str, torch.Tensor], int]:
    optimizer = MasterOptimizer(task.model, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.0)
    with Workers(task, threads) as workers:
        pieces = workers.gradients(given, torch.Generator().manual_seed(3), optimizer.collect_gradients)
    found = {name: master.grad.clone() for name, master in optimizer.masters.items() if master.grad is not None}
    return found, sum(count for _, count, _ in pieces)


@pytest.mark.parametrize("name", ["transformer", "seq2seq"])
@pytest.mark.parametrize("threads", [2, 3])
def test_sum_of_the_pieces_is_the_whole(name: str, threads: int) -> None:
    whole, tokens = gradients(Task(make(name), trains=False), 1, batch())
    parts, counted = gradients(Task(make(name), trains=False), threads, batch())
    assert counted == tokens == batch().num_target_tokens
    assert parts.keys() == whole.keys()
    for key, grad in whole.items():
        torch.testing.assert_close(parts[key], grad, atol=1e-5, rtol=1e-4)


def test_pieces_of_bf16_are_summed_in_fp32() -> None:
    whole, _ = gradients(Task(make("transformer"), trains=False), 1, batch())
    parts, _ = gradients(Task(make("transformer", torch.bfloat16), trains=False), 2, batch())
    for key, grad in whole.items():
        assert parts[key].dtype is torch.float32
        assert float((parts[key] - grad).norm() / grad.norm().clamp(min=1e-3)) < 0.1, key


def test_fewer_rows_than_workers() -> None:
    whole, _ = gradients(Task(make("seq2seq"), trains=False), 1, batch(1))
    parts, _ = gradients(Task(make("seq2seq"), trains=False), 3, batch(1))
    for key, grad in whole.items():
        torch.testing.assert_close(parts[key], grad, atol=1e-6, rtol=1e-4)


def test_running_statistics_are_the_mean_of_the_workers() -> None:
    task = Task(make("batch norm"))
    gradients(task, 2, batch())
    separate = []
    for piece in batch().split(2):
        alone = Task(make("batch norm"))
        alone.loss(piece, torch.Generator().manual_seed(0))
        separate.append(alone.model.encoder[0].self_norm.running_mean)
    torch.testing.assert_close(task.model.encoder[0].self_norm.running_mean, torch.stack(separate).mean(0))


def test_running_statistics_of_workers_without_a_piece() -> None:
    """Batches of fewer rows than workers, then a whole one: as of a run that was stopped before it and went on."""

    def statistics(task: Any) -> dict[str, torch.Tensor]:
        return {name: one.clone() for name, one in task.model.named_buffers()}

    def update(task: Any, workers: Any, given: Any) -> None:
        workers.gradients(given, torch.Generator().manual_seed(3), task.model.zero_grad)

    through, first, second = (Task(make("batch norm")) for _ in range(3))
    with Workers(through, 3) as workers:
        update(through, workers, batch(1))
        update(through, workers, batch())
    with Workers(first, 3) as workers:
        update(first, workers, batch(1))
    second.model.load_state_dict(first.model.state_dict())
    with Workers(second, 3) as workers:
        update(second, workers, batch())
    for name, one in statistics(through).items():
        assert torch.equal(one, statistics(second)[name]), name


def test_copies_share_weights_but_not_gradients_and_threads_are_restored() -> None:
    model = make("transformer")
    copy = shared_copy(model)
    with torch.no_grad():
        model.output_bias.fill_(3.0)
    assert float(copy.output_bias[0].detach()) == 3.0
    before = torch.get_num_threads()
    with Workers(Task(model), 2):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
