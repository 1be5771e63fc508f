"""Every view of `sightline look`: its numbers computed again from the tensors of one pass, and how it is drawn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.cells import cell_len
from scipy.stats import entropy

import sightline as package
from sightline.cli.look import NAMES
from sightline.sight.kinds import VIEWS
from sightline.sight.measures import gradients
from sightline.sight.reading import Look, look
from sightline.sight.views import ViewOptions
from support.commands import sightline

TEXT = "ein haus rot blau"
INPUTS = {
    "transformer": [TEXT],
    "seq2seq": [TEXT],
    "gpt": ["a red house sees"],
    "recurrent": ["a red house sees"],
    "window": ["a red house sees"],
    "bert": ["a [MASK] sees the dog"],
    "classifier": ["red dog", "old dog"],
    "tagger": ["blau ein hund alt"],
    "answerer": ["which animal?", "red sees a dog blue old"],
}
# The attention that is shown where none is named.
DEFAULT = {
    "transformer": "decoder.0.cross_attention",
    "seq2seq": "decoder.attention",
    "gpt": "blocks.0.self_attention",
    "bert": "blocks.1.self_attention",
    "classifier": "blocks.0.self_attention",
    "tagger": "blocks.1.self_attention",
    "answerer": "blocks.1.self_attention",
    "vit": "blocks.1.self_attention",
}
TRANSFORMERS = tuple(kind for kind in DEFAULT if kind != "seq2seq")


def softmax(energies: np.ndarray, mask: np.ndarray) -> np.ndarray:
    powers = np.where(mask, np.exp(energies - energies.max()), 0)
    return powers / powers.sum(-1, keepdims=True)


def weights_of(seen: Look, site: str) -> np.ndarray:
    """Attention weights from energies and mask, the mean over the heads."""
    weights = softmax(seen[f"{site}.energies"].numpy(), seen[f"{site}.mask"].numpy().astype(bool))
    return weights.mean(0) if weights.ndim == 3 else weights


def attention(kind: str, model: Any, seen: Look, found: Any) -> None:
    site = DEFAULT[kind]
    rows, columns = seen.axes(f"{site}.weights")[-2:]
    assert found["site"] == site
    assert (found["rows"], found["columns"]) == (
        list(seen.reading.sides[rows].tokens),
        list(seen.reading.sides[columns].tokens),
    )
    np.testing.assert_allclose(found["weights"], weights_of(seen, site), atol=1e-5)


def masks(kind: str, model: Any, seen: Look, found: Any) -> None:
    shape = (len(found["rows"]), len(found["columns"]))
    everything = np.ones(shape, dtype=bool)
    np.testing.assert_array_equal(found["mask"], np.tril(everything) if kind in ("gpt", "classifier") else everything)


def heads(kind: str, model: Any, seen: Look, found: Any) -> None:
    assert {one["head"].partition(":")[0] for one in found} == {
        name.removesuffix(".weights") for name in seen.names if name.endswith(".weights")
    }
    for one in found:
        site, _, head = one["head"].partition(":")
        weights = softmax(seen[f"{site}.energies"].numpy(), seen[f"{site}.mask"].numpy().astype(bool))
        weights = weights[int(head)] if head else weights
        assert one["entropy"] == pytest.approx(entropy(weights, axis=1).mean(), abs=1e-4)
        rows, columns = weights.shape
        straight = np.linspace(0, columns - 1, rows) if rows > 1 else np.zeros(1)
        away = np.abs(np.arange(columns)[None] - straight[:, None])
        assert one["distance"] == pytest.approx((weights * away).sum() / rows, abs=1e-4)
        # at half a column the grid decides by its rounding
        assert one["diagonality"] == pytest.approx((weights * (away <= 1 + 1e-9)).sum() / rows, abs=1e-4)
    effects = [one["effect"] for one in found]
    assert effects == sorted(effects, reverse=True)


def alignment(kind: str, model: Any, seen: Look, found: Any) -> None:
    assert found["site"] == DEFAULT[kind]
    source, target = (seen.reading.sides[side] for side in ("source", "target"))
    assert (found["source"], found["target"]) == (list(source.names), list(target.names))
    assert source.names == (*TEXT.split(), "</s>")
    token_weights = weights_of(seen, DEFAULT[kind])
    weights = np.zeros((len(target.names), len(source.names)))
    for row, target_word in enumerate(target.words):
        for column, source_word in enumerate(source.words):
            weights[target_word, source_word] += token_weights[row, column] / target.words.count(target_word)
    words = weights[:-1, :-1]  # without the ends
    shares = words / np.sqrt(words.sum(0).clip(1e-3) * words.sum(1, keepdims=True).clip(1e-3))
    strong = {(int(s), int(t)) for t, s in np.argwhere(shares >= 0.35)}
    weaker = {(int(s), int(t)) for t, s in np.argwhere(shares >= 0.25)}
    links = {(s, t) for s, t in found["links"]}
    assert strong <= links <= strong | weaker
    for s, t in links - strong:
        assert {(s - 1, t), (s + 1, t), (s, t - 1), (s, t + 1)} & links


def gates(kind: str, model: Any, seen: Look, found: Any) -> None:
    if kind == "seq2seq":  # those of the decoder
        expected = {f"decoder.layers.0.{gate}_gate" for gate in ("reset", "update")}
    else:
        expected = {f"layers.{layer}.{gate}_gate" for layer in (0, 1) for gate in ("forget", "input", "output")}
    assert set(found) == {"tokens", *expected}
    for name in set(found) - {"tokens"}:
        np.testing.assert_allclose(found[name], seen[name].numpy().mean(1), atol=1e-6)


def belt(kind: str, model: Any, seen: Look, found: Any) -> None:
    state, gate, new = (seen[f"layers.1.{name}"].numpy() for name in ("cell_state", "input_gate", "candidate"))
    forget = seen["layers.1.forget_gate"].numpy()
    before = np.vstack([np.zeros_like(state[:1]), state[:-1]])
    np.testing.assert_allclose(found["kept |f·c|"], np.abs(forget * before).mean(1), atol=1e-6)
    np.testing.assert_allclose(found["added |i·g|"], np.abs(gate * new).mean(1), atol=1e-6)
    np.testing.assert_allclose(found["on the belt |c|"], np.abs(state).mean(1), atol=1e-6)


def states(kind: str, model: Any, seen: Look, found: Any) -> None:
    layer = {"seq2seq": "decoder.layers.0", "recurrent": "layers.1"}[kind]
    assert found["layer"] == layer
    hidden = seen[f"{layer}.hidden_state"].numpy()
    np.testing.assert_allclose(found["hidden_state"], hidden, atol=1e-6)
    np.testing.assert_allclose(found["mean |h|"], [np.mean([abs(h) for h in row]) for row in hidden], atol=1e-6)
    assert found["saturated (|h| > 0.9)"] == [np.mean([abs(h) > 0.9 for h in row]) for row in hidden]


def positions(kind: str, model: Any, seen: Look, found: Any) -> None:
    table = np.array(found["table"])
    if kind == "transformer":  # Vaswani et al. 2017, section 3.5
        p, i = np.arange(64)[:, None], np.arange(8)[None]
        phase = p / 10_000 ** (2 * i / 16)
        np.testing.assert_allclose(table[:, 0::2], np.sin(phase), atol=1e-5)
        np.testing.assert_allclose(table[:, 1::2], np.cos(phase), atol=1e-5)
        return
    (learned,) = (one for name, one in model.model.named_parameters() if "positions" in name)
    np.testing.assert_array_equal(table, learned.detach().numpy()[:64])
    recorded = seen["positions"].numpy()
    np.testing.assert_allclose(table[: len(recorded)], recorded[: len(table)], atol=1e-5)


def residual(kind: str, model: Any, seen: Look, found: Any) -> None:
    prefix = "decoder." if kind == "transformer" else ""
    names = [name for name in seen.names if name.startswith(prefix) and name.endswith("residual")]
    assert set(names) < set(found)
    for name in set(found) - {"tokens"}:
        np.testing.assert_allclose(found[name], np.sqrt((seen[name].numpy() ** 2).sum(1)), rtol=1e-5)


def norms(kind: str, model: Any, seen: Look, found: Any) -> None:
    blocks = [name for name in found if name not in ("tokens", "means")]
    assert len(blocks) >= 2
    for name in blocks:
        values = seen[name].numpy()
        means = values.sum(1) / values.shape[1]
        np.testing.assert_allclose(found["means"][name], means, atol=1e-5)
        spread = np.sqrt(((values - means[:, None]) ** 2).sum(1) / values.shape[1])
        np.testing.assert_allclose(found[name], spread, rtol=1e-4, atol=1e-6)


def of_gradients(kind: str, model: Any, seen: Look, found: Any) -> None:
    values = gradients(seen.reading).norms_OS  # by finite differences elsewhere
    np.testing.assert_allclose(found["norms"], values, rtol=1e-3, atol=1e-7)
    if kind in ("gpt", "recurrent", "window"):
        count = len(values)
        expected = [np.mean([values[t, t - d] for t in range(d, count)]) for d in range(count)]
    else:
        expected = values.mean(0)
    np.testing.assert_allclose(found["‖gradient‖"], expected, rtol=1e-3, atol=1e-7)


@torch.inference_mode()
def of_steps(kind: str, model: Any, seen: Look, found: Any) -> None:
    assert [one["token"] for one in found["steps"]] == list(seen.reading.outputs)
    for one, value in zip(found["steps"], seen.log_probabilities, strict=True):
        assert one["log_probability"] == pytest.approx(value, abs=1e-4)
        chances = [likely["log_probability"] for likely in one["likeliest"]]
        assert len(chances) == 5
        assert chances == sorted(chances, reverse=True)
        same = [likely for likely in one["likeliest"] if likely["token"] == one["token"]]
        assert all(likely["log_probability"] == pytest.approx(value, abs=1e-3) for likely in same)
        assert same or value <= chances[-1] + 1e-4
    rows = list(seen.reading.output_positions)
    if kind in DEFAULT:
        assert found["site"] == DEFAULT[kind]
        np.testing.assert_allclose(found["weights"], weights_of(seen, DEFAULT[kind])[rows], atol=1e-5)
        assert np.shape(found["context"])[0] == len(rows)
    if kind in ("seq2seq", "recurrent"):
        name = [one for one in seen.names if one.endswith("hidden_state") and not one.startswith("encoder")][-1]
        np.testing.assert_allclose(found["state"], seen[name].numpy()[rows], atol=1e-6)
    if kind == "seq2seq":  # of one head the weights are the softmax of the energies
        np.testing.assert_allclose(found["energies"], seen[f"{DEFAULT[kind]}.energies"].numpy(), atol=1e-5)


@torch.inference_mode()
def lens(kind: str, model: Any, seen: Look, found: Any) -> None:
    probabilities = np.array(found["probabilities"])
    assert found["inputs"] == list(seen.reading.sides["position"].tokens)
    blocks = [name for name in seen.names if name.endswith("residual")]
    assert probabilities.shape == (1 + len(blocks), len(found["inputs"]))
    for row, name in zip(range(1, len(blocks) + 1), blocks, strict=True):
        logits = model.read_out(seen.record[name])[0].double().numpy()
        powers = np.exp(logits - logits.max(1, keepdims=True))
        best = logits.argmax(1)
        assert found["tokens"][row] == model.tokenizer.tokens(best.tolist())
        expected = powers[np.arange(len(best)), best] / powers.sum(1)
        np.testing.assert_allclose(probabilities[row], expected, rtol=1e-4)


def patches(kind: str, model: Any, seen: Look, found: Any) -> None:
    names = [name for name in seen.names if name.endswith("self_attention.weights")]
    expected = np.stack([seen[name].numpy()[:, 0, 1:].reshape(2, 4, 4) for name in names])
    np.testing.assert_allclose(found["weights"], expected, atol=1e-5)
    flow = np.eye(17)
    for name in names:  # Abnar & Zuidema 2020, eq. 1
        flow = (seen[name].numpy().mean(0) + np.eye(17)) / 2 @ flow
    np.testing.assert_allclose(found["rollout"], (flow[0, 1:] / flow[0, 1:].sum()).reshape(4, 4), atol=1e-5)


EXPECTED: dict[str, tuple[Callable[[str, Any, Look, Any], None], tuple[str, ...]]] = {
    "attention": (attention, tuple(DEFAULT)),
    "heads": (heads, tuple(DEFAULT)),
    "masks": (masks, tuple(DEFAULT)),
    "alignment": (alignment, ("transformer", "seq2seq")),
    "gates": (gates, ("seq2seq", "recurrent")),
    "belt": (belt, ("recurrent",)),
    "states": (states, ("seq2seq", "recurrent")),
    "positions": (positions, TRANSFORMERS),
    "residual": (residual, TRANSFORMERS),
    "norms": (norms, TRANSFORMERS),
    "gradients": (of_gradients, (*DEFAULT, "recurrent", "window")),
    "steps": (of_steps, ("transformer", "seq2seq", "gpt", "recurrent", "window")),
    "lens": (lens, ("gpt", "bert")),
    "patches": (patches, ("vit",)),
}
CASES = [(view, kind) for view, (_, kinds) in EXPECTED.items() for kind in kinds]


@pytest.fixture(scope="module")
def inputs(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each kind of model reads."""
    file = tmp_path_factory.mktemp("images") / "image.png"
    Image.fromarray(np.load(texts / "test.npz")["images"][0]).save(file)
    return {**INPUTS, "vit": [str(file)]}


@pytest.fixture(scope="module")
def seen(kinds: dict[str, Path], inputs: dict[str, list[str]]) -> Callable[[str], tuple[Any, Look]]:
    """A model by its kind, and all that is recorded while it reads its input."""
    found: dict[str, tuple[Any, Look]] = {}

    def of(kind: str) -> tuple[Any, Look]:
        if kind not in found:
            model: Any = package.load(kinds[kind])
            found[kind] = model, look(model.reading(*inputs[kind]))
        return found[kind]

    return of


def test_the_views_are_those_that_the_help_names() -> None:
    assert tuple(VIEWS) == NAMES == tuple(EXPECTED)


@pytest.mark.parametrize(("view", "kind"), CASES)
def test_the_numbers_of_every_view(view: str, kind: str, seen: Callable[[str], tuple[Any, Look]]) -> None:
    model, found = seen(kind)
    data = VIEWS[view].show(model, found.reading, ViewOptions()).view.data()
    check, _ = EXPECTED[view]
    check(kind, model, found, json.loads(json.dumps(data, allow_nan=False)))


@pytest.mark.parametrize("view", EXPECTED)
def test_every_view_is_printed_and_drawn(
    view: str, kinds: dict[str, Path], inputs: dict[str, list[str]], seen: Any, tmp_path: Path, capsys
) -> None:
    """By the command line; the JSON is the view's, and no line is wider than the terminal."""
    kind = EXPECTED[view][1][0]
    words = ["look", kinds[kind], *inputs[kind], "--what", view]
    assert sightline(*words, "--json", "--picture", tmp_path / "x.svg") == 0
    model, found = seen(kind)
    data = VIEWS[view].show(model, found.reading, ViewOptions()).view.data()
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(data))
    assert (tmp_path / "x.svg").read_text(encoding="utf-8").startswith("<?xml")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COLUMNS", "70")
        assert sightline(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert view == "heads" or max(map(cell_len, lines)) <= 70


@pytest.mark.parametrize(("view", "kind"), CASES)
def test_nothing_is_clipped(view: str, kind: str, seen: Any, tmp_path: Path, drawn: list[Any]) -> None:
    """All text of a picture lies inside it."""
    model, found = seen(kind)
    VIEWS[view].show(model, found.reading, ViewOptions()).draw(tmp_path / "x.svg")
    (figure,) = drawn
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    edges = (box.x0, box.y0, width - box.x1, height - box.y1)
    assert min(edges) > -0.02, edges
