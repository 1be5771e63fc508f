"""Language models: cached and whole, padded and alone, generated and scored; against PyTorch's own and by hand."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sightline.data.windows import collate_windows
from sightline.decode import SearchOptions
from sightline.models import (
    GPT,
    GPTSizes,
    RecurrentLM,
    RecurrentSizes,
    WindowLM,
    WindowSizes,
)
from sightline.nn.context import PassContext, Recorder
from sightline.tasks.language.decoding import (
    generate_ids,
    make_request,
    new_search,
    prefill,
    prefill_state,
    score_ids,
    step_function,
)
from support.language_cases import RECURRENT_SIZES, SIZES, VOCAB, make
from support.model_cases import one_thread as one_thread

each_model = pytest.mark.parametrize("name", SIZES)


def logits(model: Any, tokens: list[int]) -> Tensor:
    """(T, V) of one row, in one pass."""
    features, _ = model.decode(torch.tensor([tokens]), model.start(1))
    return model.project(features)[0]


@each_model
@torch.inference_mode()
def test_step_by_step_is_one_pass(name: str) -> None:
    model, tokens = make(name), [2, 5, 6, 3, 9, 9, 4, 11]
    whole = logits(model, tokens)
    assert whole[whole.isfinite()].std() > 0.1
    state, found = model.start(1), []
    for token in tokens:
        one, state = model.step(torch.tensor([token]), state)
        found.append(one[0])
    torch.testing.assert_close(torch.stack(found), whole, atol=2e-5, rtol=1e-4)
    begun = model.decode(torch.tensor([tokens[:3]]), model.start(1))[1]
    rest = model.project(model.decode(torch.tensor([tokens[3:]]), begun)[0])[0]
    torch.testing.assert_close(rest, whole[3:], atol=2e-5, rtol=1e-4)


@each_model
@pytest.mark.parametrize("side", ["left", "right", "between"])
@torch.inference_mode()
def test_padding_changes_nothing(name: str, side: str) -> None:
    model, rows = make(name), [[2, 5, 6, 3, 9, 9, 4], [7], [2, 2, 8]]
    tokens, real = torch.zeros(3, 7, dtype=torch.int64), torch.zeros(3, 7, dtype=torch.bool)
    places = []
    for row, ids in enumerate(rows):
        count = len(ids)
        place = {"left": range(7 - count, 7), "right": range(count), "between": range(0, 2 * count, 2)}[side]
        place = list(place) if max(place) < 7 else list(range(count))
        tokens[row, place], real[row, place] = torch.tensor(ids), True
        places.append(place)
    features, state = model.decode(tokens, model.start(3), real_BT=real)
    following, _ = model.step(torch.tensor([3, 4, 5]), state)
    for row, ids in enumerate(rows):
        alone = logits(model, [*ids, 3 + row])
        torch.testing.assert_close(model.project(features[row, places[row]]), alone[:-1], atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(following[row], alone[-1], atol=2e-5, rtol=1e-4)


PROMPTS = [[2, 5, 6, 7, 8, 4], [5], [4, 9], [6, 6, 6, 2, 3, 4, 5, 8, 9, 10, 3, 4, 5, 6, 7, 8, 9, 3, 3, 4, 5, 6], [7]]


@each_model
@pytest.mark.parametrize("strategy", ["greedy", "beam", "sample"])
def test_the_same_text_however_it_is_searched(name: str, strategy: str) -> None:
    """Batched with padding on either side, or one by one; past the end of the context, too."""
    model = make(name)
    values = {"strategy": "sample" if strategy == "sample" else "beam", "beam": 3 if strategy == "beam" else 1}
    limits = {"max_length_factor": 0, "max_length_offset": 30, "repetition_penalty": 1.2}
    options = SearchOptions.model_validate({**values, **limits})
    together = generate_ids(model, PROMPTS, options)
    alone = [generate_ids(model, [prompt], options)[0] for prompt in PROMPTS]
    longer = [prompt for prompt in PROMPTS if len(prompt) > 1]
    left = new_search(model, options)
    sentences = [make_request(prompt, options) for prompt in longer]
    prefill(left, model, sentences, left=True)
    left.run()
    tokens = [[one.tokens for one in found] for found in together]
    assert tokens == [[one.tokens for one in found] for found in alone]
    longer_ones = [tokens[row] for row, prompt in enumerate(PROMPTS) if len(prompt) > 1]
    assert longer_ones == [[one.tokens for one in sentence.finished] for sentence in sentences]
    assert max(len(found[0]) for found in tokens) > 1 or name == "ngram-1"


@each_model
@torch.inference_mode()
def test_joined_states_go_on_as_they_would_alone(name: str) -> None:
    """Rows that have read more or less, or nothing yet; one leaves, one comes, and one fills its context."""
    model = make(name)
    step = step_function(model)
    rows = [[2, 5, 6, 7, 8, 4, 3, 3, 9, 10, 11, 4, 5, 6, 6, 7, 8, 9, 4, 3], [5], [4, 9, 11], [3, 3, 7, 5, 5]]
    state = (
        prefill_state(model, rows[:1])
        .concatenate(prefill_state(model, [[]]))
        .concatenate(prefill_state(model, rows[2:3]))
    )
    told = []
    for token in (5, 8):
        found, state = step(torch.tensor([token] * 3), state)
        told.append(found)
    state = state.reorder(torch.tensor([2, 1])).concatenate(prefill_state(model, rows[3:]))
    found, _ = step(torch.tensor([6, 6, 6]), state)

    def alone(ids: list[int]) -> Tensor:
        state = prefill_state(model, [[]])
        for token in ids:
            found, state = step(torch.tensor([token]), state)
        return found[0]

    close = partial(torch.testing.assert_close, atol=2e-5, rtol=1e-4)
    if model.context_length is None:
        close(told[1][0], alone([*rows[0], 5, 8]))
    close(told[1][1], alone([5, 8]))
    close(told[0][2], alone([*rows[2], 5]))
    close(found[0], alone([*rows[2], 5, 8, 6]))
    close(found[1], alone([5, 8, 6]))
    close(found[2], alone([*rows[3], 6]))


@each_model
def test_greedy_without_a_cache(name: str) -> None:
    model = make(name)
    options = SearchOptions.model_validate({"beam": 1, "max_length_factor": 0, "max_length_offset": 10})
    tokens = [2, 5]
    while len(tokens) < 12:
        with torch.no_grad():
            scores = logits(model, tokens)[-1].clone()
        scores[:2] = -math.inf
        tokens.append(int(scores.argmax()))
        if tokens[-1] == 2:
            break
    found = generate_ids(model, [[2, 5]], options)[0][0]
    assert list(found.tokens) == [token for token in tokens[2:] if token != 2]


@each_model
def test_scores_of_what_was_written(name: str) -> None:
    model = make(name)
    options = SearchOptions.model_validate({"beam": 1, "max_length_factor": 0, "max_length_offset": 12})
    found = generate_ids(model, PROMPTS[:3], options)
    written = [
        [*prompt, *best[0].tokens, *[2] * best[0].finished] for prompt, best in zip(PROMPTS[:3], found, strict=True)
    ]
    for prompt, best, ids, scored in zip(PROMPTS[:3], found, written, score_ids(model, written), strict=True):
        each = best[0].token_log_probabilities
        with torch.inference_mode():
            exact = torch.log_softmax(logits(model, ids[:-1]), -1)
        places = range(len(ids) - 1)
        assert scored == pytest.approx([float(exact[place, ids[place + 1]]) for place in places], abs=1e-4)
        assert len(scored) == len(prompt) - 1 + len(each)


def test_a_limited_context_is_scored_in_overlapping_windows() -> None:
    model, tokens = make("gpt-rotary"), np.random.default_rng(1).integers(2, VOCAB, 50).tolist()
    (exact,) = score_ids(model, [tokens], stride=1)
    for place in (5, 19, 20, 33, 48):  # each sees the 20 tokens before it, or all where there are fewer
        seen = tokens[max(0, place + 1 - 20) : place + 1]
        with torch.inference_mode():
            log_p = torch.log_softmax(logits(model, seen)[-1], -1)
        assert exact[place] == pytest.approx(float(log_p[tokens[place + 1]]), abs=1e-4)
    (coarse,) = score_ids(model, [tokens])
    assert coarse[:19] == pytest.approx(exact[:19], abs=1e-4)
    assert len(coarse) == 49


def test_documents_kept_apart_are_passes_of_their_own() -> None:
    for name in ("gpt-2", "gpt-rotary", "gpt-waves"):
        model = make(name)
        stream = np.array([5, 6, 2, 7, 8, 9, 2, 3, 4])
        batch = collate_windows(stream, np.array([[0, 8]]), separator=2)
        with torch.inference_mode():
            features, _ = model.decode(batch.tokens_BT, model.start(1), document_BT=batch.document_BT)
            found = model.project(features)[0]
            parts = [logits(model, part) for part in ([5, 6], [2, 7, 8, 9], [2, 3])]
        torch.testing.assert_close(found, torch.cat(parts), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_recurrent_is_torchs(cell: str) -> None:
    model = make(f"recurrent-{cell}-tanh")
    sizes = model.sizes
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
    tokens = torch.tensor([[2, 5, 6, 3], [9, 9, 4, 11]])
    x = torch.nn.functional.embedding(tokens, model.embedding)
    for layer in model.layers:
        theirs = kind(layer.weight_input.shape[1], layer.width, batch_first=True)
        for name, weight in zip(
            ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), layer.weights, strict=True
        ):
            getattr(theirs, name).data = weight.data
        x, _ = theirs(x)
    expected = x @ model.output_weight.t() + model.output_bias
    features, _ = model.decode(tokens, model.start(2))
    assert expected.shape[-1] == VOCAB
    assert sizes.num_layers == len(model.layers)
    torch.testing.assert_close(model.project(features), expected, atol=1e-5, rtol=1e-5)


def test_a_window_by_hand() -> None:
    model = WindowLM(VOCAB, WindowSizes(window=2, embedding_width=1, width=1, dropout=0.0, tied=False))
    model.embedding.data = torch.arange(VOCAB, dtype=torch.float32)[:, None] / 10
    model.hidden.weight.data, model.hidden.bias.data = torch.tensor([[2.0, 3.0]]), torch.tensor([-1.0])  # pyright: ignore
    model.output_weight.data = torch.ones(VOCAB, 1)
    model.output_bias.data = torch.arange(VOCAB, dtype=torch.float32)
    found = logits(model, [5, 4]).detach()
    # before the first token stands the end of what came before, token 2
    assert found[0, 3].item() == pytest.approx(math.tanh(2 * 0.2 + 3 * 0.5 - 1) + 3)
    assert found[1, 0].item() == pytest.approx(math.tanh(2 * 0.5 + 3 * 0.4 - 1))


def test_gpt_2_starts_as_its_paper_says() -> None:
    torch.manual_seed(0)
    model = GPT(500, GPTSizes(d_model=128, num_layers=8, num_heads=4, d_ff=512))  # pyright: ignore
    model.requires_grad_(False)
    block: Any = model.blocks[3]
    assert float(block.feed_forward.inner.weight.std()) == pytest.approx(0.02, rel=0.03)
    assert float(block.feed_forward.outer.weight.std()) == pytest.approx(0.02 / 4, rel=0.03)
    assert float(block.self_attention.output.weight.std()) == pytest.approx(0.02 / 4, rel=0.05)


def test_variational_dropout_drops_the_same_units_at_every_step() -> None:
    sizes = RecurrentSizes(**RECURRENT_SIZES, variational=True, input_dropout=0.5, dropout=0.0)  # pyright: ignore
    model = RecurrentLM(VOCAB, sizes)
    x = torch.ones(3, 5, 8)
    dropped = model._dropout(x, 0.5, PassContext(generator=torch.Generator().manual_seed(0)))
    assert (dropped == dropped[:, :1]).all()
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped[0] != dropped[1]).any()


def test_weight_dropout_changes_training_passes_alone() -> None:
    sizes = RecurrentSizes(**RECURRENT_SIZES, weight_dropout=0.5, input_dropout=0.0, dropout=0.0)  # pyright: ignore
    model = RecurrentLM(VOCAB, sizes)
    tokens = torch.tensor([[3, 4, 5]])

    def features(ctx: PassContext) -> Tensor:
        return model.decode(tokens, model.start(1), ctx=ctx)[0]

    assert torch.equal(features(PassContext()), features(PassContext()))
    trained = [features(PassContext(generator=torch.Generator().manual_seed(seed))) for seed in (1, 1, 2)]
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])
    # the first step starts from zeros, where the matrix from state to state tells nothing yet in the first layer
    assert not torch.equal(trained[0][:, -1], features(PassContext())[:, -1])


@pytest.mark.parametrize("name", ["gpt-2", "recurrent-lstm-tanh", "recurrent-gru-tanh"])
@torch.inference_mode()
def test_looking_inside_changes_nothing(name: str) -> None:
    model, tokens = make(name), torch.tensor([[2, 5, 6, 3, 9]])
    recorder = Recorder(["*"])
    seen, _ = model.decode(tokens, model.start(1), ctx=PassContext(recorder=recorder))
    torch.testing.assert_close(seen, model.decode(tokens, model.start(1))[0], atol=1e-5, rtol=1e-4)
    expected = {"gpt-2": "blocks.1.self_attention.weights", "recurrent-lstm-tanh": "layers.1.forget_gate"}
    assert expected.get(name, "layers.0.reset_gate") in recorder.tensors


def test_what_adds_to_no_residual_begins_as_all_matrices() -> None:
    torch.manual_seed(0)
    block = GPT(10, GPTSizes(d_model=64, num_layers=8, num_heads=2, d_ff=64, residual=False)).blocks[0]
    assert float(block.feed_forward.outer.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


def test_documents_are_kept_apart_at_the_beginning_and_without_padding_alone() -> None:
    model = GPT(10, GPTSizes(d_model=8, num_layers=1, num_heads=2, d_ff=8, max_length=8))
    tokens, documents = torch.tensor([[4, 5, 6]]), torch.tensor([[0, 0, 1]])
    _, after = model.decode(tokens, model.start(1), document_BT=documents)
    with pytest.raises(ValueError, match="document_BT"):
        model.decode(tokens, after, document_BT=documents)
    with pytest.raises(ValueError, match="document_BT"):
        model.decode(tokens, model.start(1), document_BT=documents, real_BT=tokens > 4)
