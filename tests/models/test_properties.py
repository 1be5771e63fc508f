"""What must hold of every encoder–decoder, whatever its configuration."""

import copy
import math

import pytest
import torch

from sightline.models import Seq2SeqSizes, TransformerSizes
from sightline.nn.context import PassContext, Recorder
from sightline.nn.ops import linear_cross_entropy
from support.model_cases import (
    BATCH,
    SOURCE,
    SOURCE_LENGTHS,
    SOURCE_MASK,
    TARGET,
    TARGET_LENGTHS,
    TARGET_MASK,
    VOCAB,
    close,
    logits,
    make,
    name,
    seq2seq_cases,
    transformer_cases,
)
from support.model_cases import one_thread as one_thread

Sizes = Seq2SeqSizes | TransformerSizes
every_model = pytest.mark.parametrize("sizes", [*seq2seq_cases(), *transformer_cases()], ids=name)


@every_model
def test_steps_agree_with_the_full_pass_through_any_reordering(sizes: Sizes) -> None:
    """Rows are repeated, dropped and permuted on the way; each goes on as the row it came from."""
    model = make(sizes)
    expected = logits(model)
    state, rows = model.start(SOURCE, SOURCE_MASK), torch.arange(4)
    moves = [[0, 1, 2, 3], [3, 1, 1, 0, 2], [4, 0, 0], [0, 1, 2], [2, 2]]
    for position, index in enumerate(torch.tensor(move) for move in moves):
        before = state
        state, rows = state.reorder(index), rows[index]
        found, after = model.step(TARGET[rows, position], state)
        close(found, expected[rows, position])
        again, _ = model.step(TARGET[rows, position], before.reorder(index))  # a state is a value: nothing was spent
        assert torch.equal(found, again)
        state = after


@every_model
def test_joined_states_go_on_as_they_would_alone(sizes: Sizes) -> None:
    """Rows of three sources, of other lengths and after pasts of other lengths, two of which joined before."""
    model = make(sizes)
    expected = logits(model)
    lengths = SOURCE_MASK.sum(1).tolist()

    def alone(row: int, steps: int):
        """The state of a row after so many tokens, its source without padding."""
        state = model.start(SOURCE[row : row + 1, : lengths[row]], SOURCE_MASK[row : row + 1, : lengths[row]])
        for position in range(steps):
            _, state = model.step(TARGET[row : row + 1, position], state)
        return state

    steps = {3: 1, 0: 3, 2: 0}
    state = alone(3, 1).concatenate(alone(0, 3))
    state = state.concatenate(alone(2, 0))
    rows, position = torch.tensor(list(steps)), torch.tensor(list(steps.values()))
    for _ in range(2):
        found, state = model.step(TARGET[rows, position], state)
        close(found, expected[rows, position])
        position = position + 1
    keep = torch.tensor([0, 2])  # the row that was furthest leaves; another takes its place
    state = state.reorder(keep).concatenate(alone(1, 1))
    rows, position = torch.cat([rows[keep], torch.tensor([1])]), torch.cat([position[keep], torch.tensor([1])])
    found, _ = model.step(TARGET[rows, position], state)
    close(found, expected[rows, position])


@every_model
def test_recording_changes_nothing_and_weights_are_distributions(sizes: Sizes) -> None:
    model, recorder = make(sizes), Recorder(["*"])
    features = model.features(*BATCH)
    close(model.features(*BATCH, ctx=PassContext(recorder=recorder)), features)
    attentions = {key: torch.cat(one, -2) for key, one in recorder.tensors.items() if key.endswith(".weights")}
    if sizes.kind == "transformer":
        kinds = [f"{side}.{n}.{kind}" for side, n, kind in _attentions(sizes)]
        assert sorted(attentions) == sorted(f"{kind}.weights" for kind in kinds)
    else:
        assert list(attentions) == ([] if sizes.attention == "none" else ["decoder.attention.weights"])
        assert "encoder.0.forwards.hidden_state" in recorder.tensors
        assert "decoder.layers.0.hidden_state" in recorder.tensors
    for key, weights in attentions.items():
        close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        if "decoder" in key and "self_attention" in key:
            assert (weights.triu(1) == 0).all()
        else:
            mask = SOURCE_MASK.view(4, *[1] * (weights.dim() - 2), 6)
            assert weights.masked_select(~mask).eq(0).all()
            assert weights.shape[-2:] == (5 if "decoder" in key else 6, 6)


def _attentions(sizes: TransformerSizes) -> list[tuple[str, int, str]]:
    decoders = range(sizes.num_decoder_layers or sizes.num_layers)
    encoder = [("encoder", number, "self_attention") for number in range(sizes.num_layers)]
    return encoder + [
        ("decoder", number, kind) for number in decoders for kind in ("self_attention", "cross_attention")
    ]


@every_model
def test_padding_and_neighbours_change_nothing(sizes: Sizes) -> None:
    model = make(sizes)
    together = logits(model)
    other_padding = torch.where(SOURCE_MASK, SOURCE, (SOURCE + 7) % VOCAB)
    other_ends = torch.where(TARGET_MASK, TARGET, (TARGET + 3) % VOCAB)
    elsewhere = logits(model, other_padding, SOURCE_MASK, other_ends, TARGET_MASK)
    for row, (source, target) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS, strict=True)):
        here = slice(row, row + 1)
        alone = logits(model, SOURCE[here, :source], SOURCE_MASK[here, :source], TARGET[here, :target], None)
        close(together[here, :target], alone)
        close(elsewhere[here, :target], alone)


@every_model
def test_randomness_comes_from_the_generator_alone(sizes: Sizes) -> None:
    model = make(sizes)
    state = copy.deepcopy(model.state_dict())

    def training_pass(seed: int) -> torch.Tensor:
        model.load_state_dict(state)
        return model.features(*BATCH, ctx=PassContext(torch.Generator().manual_seed(seed)))

    assert torch.equal(model.features(*BATCH), model.features(*BATCH))
    before = torch.get_rng_state()
    first = training_pass(1)
    assert torch.equal(first, training_pass(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, training_pass(2))
    assert not torch.equal(first, model.features(*BATCH))


@every_model
def test_every_weight_learns(sizes: Sizes) -> None:
    model = make(sizes)
    features = model.features(*BATCH, ctx=PassContext(torch.Generator().manual_seed(0)))[TARGET_MASK]
    loss, _ = linear_cross_entropy(features, model.output_weight, model.output_bias, TARGET[TARGET_MASK], 0.1)
    loss.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@every_model
def test_bf16_is_near_fp32(sizes: Sizes) -> None:
    model = make(sizes)
    expected = logits(model)
    found = logits(model.bfloat16())
    assert found.dtype == torch.float32  # logits are, whatever the model is in
    assert not torch.equal(found, expected)
    error = (found - expected).norm() / expected.norm()
    assert error < 0.05


@pytest.mark.parametrize("sizes", [*seq2seq_cases()[:56:9], *transformer_cases()[::5]], ids=name)
def test_a_step_down_the_gradient_lowers_the_loss(sizes: Sizes) -> None:
    model = make(sizes)
    losses = []
    for _ in range(2):
        features = model.features(*BATCH).flatten(0, 1)
        loss, nll = linear_cross_entropy(features, model.output_weight, model.output_bias, TARGET.flatten())
        assert math.isfinite(nll.item())
        losses.append(loss.item())
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 1e-4 * parameter.grad
    assert losses[1] < losses[0]
