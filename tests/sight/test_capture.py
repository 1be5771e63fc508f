"""Looking inside: what is recorded changes nothing, is what the model used, and is called by its right names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sightline as package
from sightline.errors import UsageError
from sightline.nn.context import PassContext
from sightline.sight.reading import Reading, agreement, look, occlusion
from sightline.tasks.translation.decoding import translate_ids
from support.data import WORDS

TEXT = "ein haus rot blau"
ENGLISH = "a red house sees the dog"


@pytest.fixture(scope="module")
def readings(runs, language_runs, bert, classifiers, tagger, answerer, vit, texts: Path) -> dict[str, Reading]:
    """One reading of every kind of run."""
    load: Any = package.load
    images = np.load(texts / "test.npz")["images"]
    return {
        **{name: load(runs[name]).reading(TEXT) for name in runs},
        **{name: load(language_runs[name]).reading(ENGLISH) for name in language_runs if name != "ngram"},
        "bert": load(bert).reading("red [MASK] house"),
        "single": load(classifiers["single"]).reading("a red dog"),
        "choice": load(classifiers["choice"]).reading("a red dog", "old house", "a dog"),
        "similarity": load(classifiers["similarity"]).reading("a red dog", "old dog"),
        "tagger": load(tagger).reading("blau ein hund alt"),
        "answerer": load(answerer).reading("which animal?", "red sees a dog blue old"),
        "vit": load(vit).reading(images[0]),
    }


KINDS = ("transformer", "seq2seq", "gpt", "recurrent", "window", "bert", "single", "choice", "similarity", "tagger",
         "answerer", "vit")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_looking_changes_nothing(kind: str, readings: dict[str, Reading]) -> None:
    reading = readings[kind]
    with torch.inference_mode():
        plain = reading.run(PassContext())
    seen = look(reading)
    assert len(seen.log_probabilities) == len(reading.outputs) == len(plain)
    np.testing.assert_allclose(seen.log_probabilities, plain, atol=1e-5)
    assert seen.names
    for name in seen.names:
        tensor, axes = seen[name], seen.axes(name)
        assert tensor.dim() == len(axes), name
        for size, axis in zip(tensor.shape, axes, strict=True):
            if axis in reading.sides:
                assert size == len(reading.sides[axis]), (name, axis)
        if name.endswith(".weights"):
            rows = tensor.sum(-1)
            torch.testing.assert_close(rows, torch.ones_like(rows), atol=1e-5, rtol=0)
            mask = seen[name.replace(".weights", ".mask")].bool()
            assert bool((tensor.masked_select(~mask.expand_as(tensor)) == 0).all())


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_asked_for_is_recorded(kind: str, readings: dict[str, Reading]) -> None:
    everything = look(readings[kind])
    name = everything.names[-1]
    one = look(readings[kind], name)
    assert one.names == [name]
    assert set(one.record.offered) >= {name}
    torch.testing.assert_close(one[name], everything[name], atol=1e-5, rtol=1e-4)
    with pytest.raises(UsageError, match=f'nothing was recorded as "x{name}"; did you mean "{name}"'):
        everything[f"x{name}"]


EXPECTED = {
    "transformer": ("encoder.0.self_attention.weights", "decoder.0.cross_attention.energies", "decoder.0.residual",
                    "decoder.0.self_attention.queries", "encoder.embedding", "decoder.0.feed_forward_norm"),
    "seq2seq": ("encoder.0.backwards.reset_gate", "decoder.attention.weights", "decoder.layers.0.update_gate",
                "decoder.layers.0.hidden_state", "encoder.embedding"),
    "gpt": ("blocks.0.self_attention.weights", "blocks.0.self_norm", "embedding", "output"),
    "recurrent": ("layers.0.cell_state", "layers.0.forget_gate", "layers.0.input_gate", "layers.0.output_gate"),
    "bert": ("blocks.1.self_attention.context", "blocks.1.self_attention.values"),
    "vit": ("blocks.0.self_attention.mask", "blocks.0.residual"),
}  # fmt: skip


@pytest.mark.parametrize("kind", EXPECTED)
def test_names(kind: str, readings: dict[str, Reading]) -> None:
    names = look(readings[kind]).names
    for name in EXPECTED[kind]:
        assert name in names


def test_capture_of_whatever_a_run_does(runs: dict[str, Path], language_runs: dict[str, Path]) -> None:
    load: Any = package.load
    translator, other = load(runs["transformer"]), load(language_runs["gpt"])
    plain = translator.translate(TEXT, beam=1)
    with package.capture(translator, "decoder.*.cross_attention.weights", "encoder.embedding") as record:
        found = translator.translate(TEXT, beam=1)
        other.generate("a", max_tokens=3)  # another model, which nobody looks at
    assert found == plain
    assert record.names == ["encoder.embedding", "decoder.0.cross_attention.weights"]
    weights = record["decoder.0.cross_attention.weights"]
    assert record.axes("decoder.0.cross_attention.weights") == ("batch", "head", "target", "source")
    # step by step as in one pass with the translation given
    source, options = translator.encode_source(TEXT), translator.settings.search.with_changes(beam=1)
    ids = translate_ids(translator.model, [source], options)[0][0].tokens
    once = translator.attention(source, ids)
    length = min(weights.shape[2], len(ids) + 1)
    torch.testing.assert_close(weights[0, :, :length], torch.from_numpy(once.weights)[:, :length], atol=1e-5, rtol=1e-4)
    translator.translate(TEXT)
    assert len(record.steps("decoder.0.cross_attention.weights")) == weights.shape[2]  # the block has ended


def test_steps_of_growing_length_are_joined(language_runs: dict[str, Path]) -> None:
    model: Any = package.load(language_runs["gpt"])
    with package.capture(model, "*.weights") as record:
        model.generate("a red", max_tokens=4, strategy="beam", beam=1)
    name = record.names[0]
    steps, whole = record.steps(name), record[name]
    assert whole.shape[-2] == sum(step.shape[-2] for step in steps)
    assert whole.shape[-1] == max(step.shape[-1] for step in steps)
    torch.testing.assert_close(whole.sum(-1), torch.ones(whole.shape[:-1]))


def test_gradients_on_request(language_runs: dict[str, Path]) -> None:
    run: Any = package.load(language_runs["recurrent"])
    model, tokens = run.model, torch.tensor([run.tokenizer.encode(ENGLISH)])
    with package.capture(model, "*.hidden_state", "embedding", gradients=True) as record:
        features, _ = model.decode(tokens, model.start(1))
    features[0, -1].sum().backward()
    hidden = record.gradient("layers.0.hidden_state")
    assert hidden.shape == record["layers.0.hidden_state"].shape
    # the last state is what was summed, and all before it reach it through the layer
    assert bool((hidden[0].abs().sum(-1) > 0).all())
    assert record.gradient("embedding").shape == (1, tokens.shape[1], 16)
    model.zero_grad()
    with package.capture(model, "embedding") as record:
        model.decode(tokens, model.start(1))
    with pytest.raises(UsageError, match="has no gradient"):
        record.gradient("embedding")


def test_an_n_gram_model_has_no_internals(language_runs: dict[str, Path]) -> None:
    model: Any = package.load(language_runs["ngram"])
    with pytest.raises(UsageError, match="no internals"), package.capture(model):
        pass
    with pytest.raises(UsageError, match="no internals"):
        model.reading("a")


@pytest.mark.parametrize("kind", KINDS)
def test_occlusion(kind: str, readings: dict[str, Reading]) -> None:
    reading = readings[kind]
    drops = occlusion(reading)
    assert drops.shape == (len(reading.outputs), len(reading.sides[reading.input_axis]))
    stays = np.array([reading.without(place) is None for place in range(drops.shape[1])])
    assert (np.isnan(drops) == stays).all()
    assert stays.any() == (kind not in ("gpt", "recurrent", "window"))  # ends, and tokens that are no text
    drops = drops[:, ~stays]
    if kind not in ("window",):  # which may look at a few tokens only
        assert np.abs(drops).max() > 0
    if kind in ("gpt", "recurrent"):
        # nothing depends on what comes after it
        later = np.triu(np.ones(drops.shape, dtype=bool), 1)
        np.testing.assert_allclose(drops[later], 0, atol=1e-5)


def test_occlusion_finds_what_matters(tagger: Path, classifiers: dict[str, Path]) -> None:
    model: Any = package.load(classifiers["single"])
    reading = model.reading("red old dog blue")
    drops = occlusion(reading)[0]
    assert reading.sides["position"].tokens[int(np.nanargmax(drops))].strip("▁") == "dog"


def test_agreement() -> None:
    assert agreement(np.array([[0.1, 0.2, 0.7]]), np.array([[1.0, 2.0, 3.0]])) == pytest.approx(1)
    assert agreement(np.array([[0.1, 0.2, 0.7], [1, 1, 1]]), np.array([[3.0, 2, 1], [1, 2, 3]])) == pytest.approx(-1)
    assert np.isnan(agreement(np.array([[1.0]]), np.array([[1.0]])))


def test_words(runs: dict[str, Path]) -> None:
    model: Any = package.load(runs["seq2seq"])
    reading = model.reading(TEXT, target=" ".join(WORDS[word] for word in TEXT.split()))
    seen = look(reading, "decoder.attention.weights")
    by_word = seen.by_word("decoder.attention.weights")
    assert by_word.shape == (5, 5)  # four words and an end on either side
    assert reading.sides["source"].names == (*TEXT.split(), "</s>")
    np.testing.assert_allclose(by_word.sum(-1), 1, atol=1e-5)
    assert reading.sides["past"].names[0] == "<s>"


def test_several_passes_are_no_whole(runs: dict[str, Path]) -> None:
    model: Any = package.load(runs["seq2seq"])
    with package.capture(model, "encoder.output", "*.backwards.hidden_state") as record:
        model.translate(["ein haus", "ein haus rot blau alt"])
    with pytest.raises(UsageError, match="order they were read"):
        record["encoder.0.backwards.hidden_state"]
    with package.capture(model, "encoder.output") as record:
        model.translate("ein haus")
        model.translate("ein haus")
    with pytest.raises(UsageError, match="several passes"):
        record["encoder.output"]
    assert len(record.steps("encoder.output")) == 2


def test_agreement_of_what_an_output_can_see() -> None:
    draw = np.random.default_rng(0)
    causal = np.tril(np.ones((40, 40)))
    one, other = (np.abs(draw.normal(size=(40, 40))) * causal for _ in range(2))
    assert abs(agreement(one, other, causal=True)) < 0.2
    assert agreement(one, other) > 0.3  # the future, empty in both, would agree


def test_gradients_by_frozen_weights(bert: Path, labelled_files, tmp_path: Path) -> None:
    from support.commands import sightline

    text = labelled_files["single"].read_text(encoding="utf-8")
    begin, end = text.index("[tokenizer]"), text.index("[training]")
    (tmp_path / "fine.toml").write_text(text[:begin] + text[end:], encoding="utf-8")
    words = ["train", tmp_path / "fine.toml", "--run", tmp_path / "run", f"pretrained={bert}", "tuning.weights=head",
             "training.max_updates=2"]  # fmt: skip
    assert sightline(*words) == 0
    assert sightline("look", tmp_path / "run", "red dog", "--what", "gradients") == 0
