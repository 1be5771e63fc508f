"""The same logits and the same beams as transformers' MarianMTModel on the same random weights."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from sightline.decode import SearchOptions
from sightline.models import Transformer, TransformerSizes
from sightline.nn.positions import wave_table
from support.model_cases import close
from support.model_cases import one_thread as one_thread
from support.search_cases import search

transformers = pytest.importorskip("transformers", reason="the reference implementation is transformers")

PAD, START, EOS, VOCAB, WIDTH = 0, 1, 2, 29, 16
# Marian's table is all sines, then all cosines; the paper's has them by turns. One order of columns becomes the other
# when whatever reads or writes the residual stream is permuted alike: ours[j] = Marian's[ORDER[j]].
ORDER = torch.arange(WIDTH).view(2, -1).t().flatten()


def _marian(activation: str) -> Any:
    torch.manual_seed(0)
    config = transformers.MarianConfig(
        vocab_size=VOCAB,
        d_model=WIDTH,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        activation_function=activation,
        scale_embedding=True,
        max_position_embeddings=64,
        pad_token_id=PAD,
        decoder_start_token_id=START,
        eos_token_id=EOS,
        forced_eos_token_id=None,
        init_std=0.3,
    )
    model = transformers.MarianMTModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape)
        model.final_logits_bias.normal_()
    return model


def _attention(mine: Any, theirs: Any) -> Iterator[tuple[Tensor, Tensor]]:
    projections = [getattr(theirs, name) for name in ("q_proj", "k_proj", "v_proj")]
    yield mine.weight, torch.cat([one.weight for one in projections])[:, ORDER]
    yield mine.bias, torch.cat([one.bias for one in projections])
    yield mine.output.weight, theirs.out_proj.weight[ORDER]
    yield mine.output.bias, theirs.out_proj.bias[ORDER]


def _norm(mine: Any, theirs: Any) -> Iterator[tuple[Tensor, Tensor]]:
    yield mine.weight, theirs.weight[ORDER]
    yield mine.bias, theirs.bias[ORDER]


def _block(mine: Any, theirs: Any) -> Iterator[tuple[Tensor, Tensor]]:
    yield from _attention(mine.self_attention, theirs.self_attn)
    yield from _norm(mine.self_norm, theirs.self_attn_layer_norm)
    if mine.cross_attention is not None:
        yield from _attention(mine.cross_attention, theirs.encoder_attn)
        yield from _norm(mine.cross_norm, theirs.encoder_attn_layer_norm)
    yield mine.feed_forward.inner.weight, theirs.fc1.weight[:, ORDER]
    yield mine.feed_forward.inner.bias, theirs.fc1.bias
    yield mine.feed_forward.outer.weight, theirs.fc2.weight[ORDER]
    yield mine.feed_forward.outer.bias, theirs.fc2.bias[ORDER]
    yield from _norm(mine.feed_forward_norm, theirs.final_layer_norm)


@pytest.fixture(scope="module")
def half_taught() -> Any:
    """Marian's after a few updates of learning to copy: its outputs end at many lengths, and seldom rightly."""
    theirs = _marian("relu")
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01)
    tokens, real = _sources(64)
    ended = torch.cat([tokens, torch.zeros_like(tokens[:, :1])], 1).scatter(1, real.sum(1, keepdim=True), EOS)
    labels = torch.where(torch.arange(10) <= real.sum(1, keepdim=True), ended, -100)
    for _ in range(200):
        optimizer.zero_grad()
        theirs(input_ids=tokens, attention_mask=real.long(), labels=labels).loss.backward()
        optimizer.step()
    return theirs.double()  # so that no rounding decides between two hypotheses


def _ours(theirs: Any, activation: Any = "relu") -> Transformer:
    """One of ours with the same weights."""
    sizes = TransformerSizes(
        d_model=WIDTH, num_layers=2, num_decoder_layers=3, num_heads=4, d_ff=24, activation=activation
    )
    mine = Transformer(VOCAB, VOCAB, sizes)
    pairs = [(mine.target_embedding, theirs.model.shared.weight[:, ORDER])]
    pairs.append((mine.output_bias, theirs.final_logits_bias[0]))
    for blocks, layers in ((mine.encoder, theirs.model.encoder.layers), (mine.decoder, theirs.model.decoder.layers)):
        for block, layer in zip(blocks, layers, strict=True):
            pairs.extend(_block(block, layer))
    assert {id(parameter) for parameter, _ in pairs} == {id(parameter) for parameter in mine.parameters()}
    for parameter, value in pairs:
        parameter.data = value.detach().clone()
    return mine


def _sources(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(3, VOCAB, (count, 9), generator=generator)
    lengths = torch.randint(2, 10, (count,), generator=generator)
    lengths[0] = 9
    real = torch.arange(9) < lengths[:, None]
    return torch.where(real, tokens, PAD), real


def test_positions_are_the_same_sinusoids_in_another_order() -> None:
    theirs = _marian("relu")
    for side in (theirs.model.encoder, theirs.model.decoder):
        close(wave_table("sinusoidal", 64, WIDTH), side.embed_positions.weight[:, ORDER])


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_logits(activation: str) -> None:
    theirs = _marian(activation)
    mine = _ours(theirs, activation)
    source, real = _sources(6)
    target = torch.randint(3, VOCAB, (6, 7), generator=torch.Generator().manual_seed(8))
    found = mine.project(mine.features(source, real, target))
    expected = theirs(input_ids=source, attention_mask=real.long(), decoder_input_ids=target).logits
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_beams(beam: int, half_taught: Any) -> None:
    """The whole n-best list: token sequences and scores, the log-probability averaged over the tokens."""
    mine = _ours(half_taught).double()
    source, real = _sources(24)
    longest = 40
    options = SearchOptions(beam=beam, n_best=beam, max_length_factor=0, max_length_offset=longest)
    with torch.inference_mode():
        found = search(
            mine.step,
            mine.start(source, real),
            options,
            source_lengths=real.sum(1).tolist(),
            bos_id=START,
            eos_id=EOS,
            forbidden=(PAD, START),
        )
    expected = half_taught.generate(
        input_ids=source,
        attention_mask=real.long(),
        num_beams=beam,
        num_return_sequences=beam,
        length_penalty=1.0,
        early_stopping="never" if beam > 1 else None,
        max_new_tokens=longest,
        bad_words_ids=[[PAD], [START]],
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
    )
    sequences = expected.sequences.view(24, beam, -1).tolist()
    lengths = []
    for row, hypotheses in enumerate(found):
        # at the length limit transformers ranks what has not ended among what has, and may push some of that out
        ended = [number for number, one in enumerate(sequences[row]) if EOS in one]
        theirs_here = [sequences[row][number][1:] for number in ended]
        ours_here = [one for one in hypotheses if one.finished][: len(ended)]
        assert [list(one.tokens) for one in ours_here] == [one[: one.index(EOS)] for one in theirs_here]
        lengths += [len(one.tokens) for one in ours_here]
        if beam > 1:
            scores = expected.sequences_scores.view(24, beam)[row, ended]
            close(torch.tensor([one.score for one in ours_here]), scores)
    assert len(lengths) > 0.4 * 24 * beam
    assert len(set(lengths)) >= 8
