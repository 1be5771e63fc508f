"""`sightline look` and `align` at their edges: what is compared, empty texts, odd spaces, wrong gold, one JSON."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import sightline as package
from sightline.data.tokenizer import Tokenizer
from sightline.errors import UsageError
from sightline.models import GPT, GPTSizes
from sightline.nn.context import PassContext
from sightline.sight import heads
from sightline.sight.alignment import alignment_error
from sightline.sight.drawings import timeline_picture
from sightline.sight.internals import residual
from sightline.sight.page import write_page
from sightline.sight.pictures import attention_picture
from sightline.sight.reading import Reading, Side, agreement, look, occlusion
from sightline.sight.record import axes_of
from sightline.sight.terminal import numbers_text
from sightline.sight.views import ViewOptions, heads_view
from support.commands import sightline
from support.configs import MODELS

TEXT = "ein haus rot blau"


@pytest.fixture(scope="module")
def korean(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that says it translates from Korean into English."""
    run = tmp_path_factory.mktemp("korean") / "run"
    names = ["data.source_language=Korean", "data.target_language=English"]
    assert sightline("train", config_file, "--run", run, *MODELS["seq2seq"], *names) == 0
    return run


def test_what_always_stays_is_not_compared(runs: dict[str, Path], capsys) -> None:
    """The end of a source is never taken out, however much is looked at it."""
    draws = np.array([[1.0, 2.0, 3.0, np.nan]])
    assert agreement(np.array([[0.1, 0.2, 0.3, 0.0]]), draws) == pytest.approx(1)
    assert agreement(np.array([[0.1, 0.2, 0.3, 0.4]]), draws) == pytest.approx(1)
    assert sightline("look", runs["transformer"], TEXT, "--check") == 0
    table = capsys.readouterr().out.split("Nats that")[1].splitlines()
    assert table[1].split()[-1] == "</s>"
    assert all(line.split()[-1] == "–" for line in table[2:-1])


def of_outputs(model: Any, *texts: Any) -> tuple[np.ndarray | None, Any]:
    seen = look(model.reading(*texts), "*.weights")
    return heads.output_weights(seen, heads.default_site(seen)), seen


def test_which_rows_say_the_outputs(kinds: dict[str, Path], classifiers: dict[str, Path]) -> None:
    """[MASK]'s of a BERT, the class token's of a classifier, the extract token's of a GPT, of images the first."""
    load: Any = package.load
    rows, seen = of_outputs(load(kinds["bert"]), "red [MASK] house [MASK]")
    places = [place for place, token in enumerate(seen.reading.sides["position"].tokens) if token == "[MASK]"]
    assert rows is not None
    np.testing.assert_array_equal(rows, heads.weights_of(seen, heads.default_site(seen))[places])
    for kind, texts, place in (
        ("classifier", ("red dog", "old dog"), None),
        ("vit", load(kinds["vit"]).first_example(), 0),
        ("tagger", ("the red dog sees",), slice(1, -1)),
        ("gpt", ("a red house",), slice(None)),
        ("transformer", (TEXT,), slice(None)),
    ):
        model = load(kinds[kind])
        rows, seen = of_outputs(model, *texts)
        if place is None:
            place = 0 if model.settings.model.kind == "bert" else -1
        assert rows is not None
        whole = heads.weights_of(seen, heads.default_site(seen))[place]
        np.testing.assert_array_equal(rows, whole.reshape(rows.shape))
        drops = occlusion(seen.reading)
        expected = []
        for number, (row, drop) in enumerate(zip(rows, drops, strict=True)):
            there = np.isfinite(drop)
            if seen.reading.causal:
                there &= np.arange(len(drop)) <= number
            if there.sum() > 1:
                expected.append(spearmanr(row[there], drop[there]).statistic)
        found = agreement(rows, drops, causal=seen.reading.causal)
        assert found == pytest.approx(np.mean(expected), nan_ok=not expected)


def test_an_encoder_says_no_outputs(runs: dict[str, Path]) -> None:
    """Not even where source and target are of one length."""
    model: Any = package.load(runs["transformer"])
    seen = look(model.reading("ein haus", target="a house"), "*.weights")
    assert len(seen.reading.sides["source"]) == len(seen.reading.outputs)
    assert heads.output_weights(seen, heads.find(seen, "encoder.0.self_attention")) is None
    assert heads.output_weights(seen, heads.find(seen, "decoder.0.self_attention")) is None
    assert heads.output_weights(seen, heads.find(seen, "decoder.0.cross_attention:1")) is not None


def test_a_choice_is_as_long_as_itself(classifiers: dict[str, Path]) -> None:
    model: Any = package.load(classifiers["choice"])
    long, short = "a red old house and a red dog", "dog"
    for texts in (("a red dog", long, short), ("a red dog", short, long)):
        reading = model.reading(*texts)
        seen = look(reading, "*.weights")
        assert {seen[name].shape[-1] for name in seen.names} == {len(reading.sides["position"])}
        chosen = max(model.predict([texts])[0].probabilities.values())
        assert np.exp(seen.log_probabilities[0]) == pytest.approx(chosen, abs=1e-4)


@pytest.mark.parametrize(("kind", "text"), [("transformer", TEXT), ("bert", "a [MASK] sees"), ("vit", None)])
def test_one_json_of_a_check(kind: str, text: str | None, kinds: dict[str, Path], capsys) -> None:
    assert sightline("look", kinds[kind], *([text] if text else []), "--check", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"view", "occlusion", "outputs", "positions", "taken", "agreement"}
    assert np.array(found["occlusion"]).shape == (len(found["outputs"]), len(found["positions"]))
    assert found["view"]["weights"]


def test_nothing_is_read_and_nothing_breaks(runs: dict[str, Path], capsys) -> None:
    assert sightline("look", runs["transformer"], "", "--target", "a house", "--check") == 0
    told = capsys.readouterr().out
    assert "nan" not in told
    assert "No rank correlation" in told


def test_small_numbers_keep_their_digits() -> None:
    _, row = numbers_text(np.array([[0.00123, 0.0, np.nan, -2.0, 3e-9]]), list("abcde"), ["x"]).splitlines()
    assert row.split() == ["x", "0.00123", "0.00", "–", "-2.00", "3e-09"]


@pytest.mark.parametrize("kind", ["unigram", "bpe", "word"])
def test_spaces_make_no_words(kind: str) -> None:
    lines = ["the red dog sees a house", "a dog  sees   the house ", "  red"]
    tokenizer = Tokenizer.train(lines, kind=kind, vocab_size=300)
    for text in ("the red dog", "the  red dog", " the red   dog", "   the red dog  ", "the red dog "):
        side = Side.of_ids(tokenizer, tokenizer.encode(text), after=["</s>"])
        assert side.names == ("the", "red", "dog", "</s>"), text
        assert sorted(set(side.words)) == [0, 1, 2, 3]
    assert Side.of_ids(tokenizer, tokenizer.encode("  ")).names in ((), ("",))


def test_dollars_are_no_formula(tmp_path: Path) -> None:
    for text in ("$x$", "$\\frac$", "costs $5 and $6", "a_$b$"):
        attention_picture(np.eye(1), [text], [text], tmp_path / "x.svg", text)
        assert text in (tmp_path / "x.svg").read_text(encoding="utf-8")
    timeline_picture({"$n$": np.array([1e-5, 0.1])}, ["$a$", "b"], tmp_path / "x.svg", ylabel="y", logarithmic=True)
    drawn = (tmp_path / "x.svg").read_text(encoding="utf-8")
    assert "mathdefault" not in drawn
    assert "$a$" in drawn


def test_a_page_says_what_it_leaves_out(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = package.load(runs["transformer"])
    seen = look(model.reading(TEXT), "*.weights")
    monkeypatch.setattr("sightline.sight.page.MOST", 1500)
    monkeypatch.setattr("sightline.sight.page.OCCLUDED", 0)
    write_page(seen, tmp_path / "x.html", "x")
    text = (tmp_path / "x.html").read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0]
    data = json.loads(text)
    everything = len(heads.sites(seen)) + len(seen.names)
    assert f"{everything - len(data['matrices'])} of {everything} matrices are left out" in data["about"]
    assert "last choice" not in data["about"]


def test_a_page_is_of_attention(kinds: dict[str, Path], tmp_path: Path, capsys) -> None:
    for kind, what in (("recurrent", "states"), ("vit", "patches"), ("gpt", "lens")):
        assert sightline("look", kinds[kind], "--what", what, "--picture", tmp_path / "x.html") == 2
        assert f"a page holds attention, not {what}" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()


def test_what_to_look_at_instead(kinds: dict[str, Path], capsys) -> None:
    for kind, says in (("window", "look at its gradients instead"), ("recurrent", "its states or gradients instead")):
        assert sightline("look", kinds[kind]) == 2
        assert says in capsys.readouterr().err
    for kind in ("gpt", "bert", "vit"):
        assert sightline("look", kinds[kind], "--what", "alignment") == 2
        assert "alignments are between a text and its translation" in capsys.readouterr().err


def test_masks_as_applied(kinds: dict[str, Path], capsys) -> None:
    assert sightline("look", kinds["gpt"], "a red house sees", "--what", "masks", "--json") == 0
    mask = np.array(json.loads(capsys.readouterr().out)["mask"])
    np.testing.assert_array_equal(mask, np.tril(np.ones_like(mask)))


def test_what_a_recurrent_decoder_begins_with_and_asks(runs: dict[str, Path]) -> None:
    model: Any = package.load(runs["seq2seq"])
    seen = look(model.reading(TEXT))
    assert seen.axes("decoder.layers.0.start_hidden") == ("width",)
    assert seen.axes("decoder.attention.queries") == ("target", "width")
    assert seen.axes("decoder.attention.keys") == seen.axes("decoder.attention.values") == ("source", "width")
    # Bahdanau's first query is the state that the decoder begins with
    np.testing.assert_array_equal(seen["decoder.attention.queries"][0], seen["decoder.layers.0.start_hidden"])
    weights, values = seen["decoder.attention.weights"], seen["decoder.attention.values"]
    np.testing.assert_allclose(weights @ values, seen["decoder.attention.context"], atol=1e-5)


def test_the_embedded_corpus_is_for_those_who_learned_it(runs, korean: Path, capsys) -> None:
    assert sightline("align", runs["seq2seq"]) == 2
    assert "did not learn from the embedded corpus" in capsys.readouterr().err
    assert sightline("align", korean, "--first", 2, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["alignment_error"] for one in found["sites"]] == sorted(
        one["alignment_error"] for one in found["sites"]
    )
    assert found["sites"][0]["site"] == found["site"]


def test_gold_is_checked(runs: dict[str, Path], texts: Path, tmp_path: Path, capsys) -> None:
    count = len((texts / "test.de").read_text().splitlines())
    words = ["align", runs["transformer"], texts / "test.de", texts / "test.en", "--gold", tmp_path / "gold"]
    (tmp_path / "gold").write_text("0-0\n" * (count - 1) + "0-99\n")
    assert sightline(*words) == 1
    assert f"gold:{count}: 0-99 is outside this pair of" in capsys.readouterr().err
    (tmp_path / "gold").write_text("\n" * count)
    assert sightline(*words) == 1
    assert "no line has a link" in capsys.readouterr().err
    assert alignment_error([frozenset()], [frozenset()]) == 0
    assert alignment_error([frozenset()], [frozenset({(0, 0)})]) == 1


def test_only_translations_are_aligned(kinds: dict[str, Path], texts: Path, capsys) -> None:
    for kind, task in (("gpt", "language"), ("bert", "masked_language"), ("vit", "image_classification")):
        assert sightline("align", kinds[kind], texts / "test.de", texts / "test.en") == 2
        assert f"alignments are between a text and its translation; this is a run of {task}" in capsys.readouterr().err


def test_where_a_named_head_is_read(runs: dict[str, Path], texts: Path, capsys) -> None:
    words = ["align", runs["transformer"], texts / "test.de", texts / "test.en", "--first", 3, "--json"]
    found = {}
    for shift in (0, 1):
        assert sightline(*words, "--site", "decoder.0.cross_attention:1", "--shift", shift) == 0
        found[shift] = json.loads(capsys.readouterr().out)
        assert found[shift]["shift"] == shift
    assert found[0]["links"] != found[1]["links"]
    assert sightline(*words, "--shift", 1) == 2
    assert sightline(*words, "--share", 0.3) == 2


@pytest.mark.parametrize(
    ("kind", "view", "shown", "others"),
    [
        ("seq2seq", "gates", "decoder.layers.0.update_gate", "encoder"),
        ("seq2seq", "states", "decoder.layers.0", "encoder.0.forwards, encoder.0.backwards"),
        ("transformer", "residual", "decoder.0.residual", "encoder"),
        ("transformer", "norms", "decoder.0.self_norm_input", "encoder"),
        ("transformer", "attention", "decoder.0.cross_attention", "encoder.0.self_attention, decoder.0.self_attention"),
        ("transformer", "masks", "decoder.0.cross_attention", "encoder.0.self_attention, decoder.0.self_attention"),
        ("recurrent", "states", "layers.1", "layers.0"),
    ],
)
def test_a_view_says_what_else_there_is(
    kind: str, view: str, shown: str, others: str, kinds: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a translation every view begins with the side that is written, and names the other one."""
    text = "a red house" if kind == "recurrent" else TEXT
    words = ["look", kinds[kind], text, "--what", view]
    assert sightline(*words) == 0
    told = capsys.readouterr()
    assert f"also: --site {others}\n" in told.err
    assert sightline(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert shown in (*found, found.get("layer"), found.get("site"))
    other = others.split(", ")[-1]
    assert sightline(*words, "--site", other, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    names = [found.get("layer"), found.get("site"), *found]
    assert any(str(name).startswith(other) for name in names)
    assert shown not in names


def test_a_site_is_whole_parts_of_a_name() -> None:
    """blocks.1 is not blocks.10 as well, and half a name is none."""
    gpt = GPT(50, GPTSizes(d_model=8, num_layers=11, num_heads=2, d_ff=8))
    tokens = torch.tensor([[3, 4, 5]])

    def run(ctx: PassContext) -> torch.Tensor:
        return gpt.decode(tokens, gpt.start(1), ctx=ctx)[0][0, :, 0]

    reading = Reading({"position": Side.of("abc")}, run, ("x", "y", "z"), lambda place: None, "position", "masked")
    model: Any = SimpleNamespace(model=gpt)
    assert list(residual(model, reading, ViewOptions("blocks.1")).lines) == ["blocks.1.residual"]
    assert list(residual(model, reading, ViewOptions("blocks.10.residual")).lines) == ["blocks.10.residual"]
    assert len(residual(model, reading, ViewOptions()).lines) == 12
    with pytest.raises(UsageError, match=r'no residual stream "locks\.1"; did you mean "blocks\.1'):
        residual(model, reading, ViewOptions("locks.1"))


def test_numbers_that_are_no_probabilities_have_no_unit(classifiers: dict[str, Path], tmp_path: Path, capsys) -> None:
    """A similarity is lost in its own scale, not in nats."""
    words = ["look", classifiers["similarity"], "a red dog", "old dog"]
    assert sightline(*words, "--check", "--picture", tmp_path / "x.html") == 0
    told = capsys.readouterr().out
    assert "What each output loses when a position is" in told
    assert "ats that each" not in told
    data = json.loads((tmp_path / "x.html").read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0])
    assert data["probabilities"] is False
    assert data["matrices"][-1]["name"].startswith("lost when")
    assert sightline(*words, "--what", "heads") == 0
    assert "effect: what the outputs lose" in capsys.readouterr().out
    assert sightline("look", classifiers["single"], "a red dog", "--check") == 0
    assert "Nats that each output loses when a position is" in capsys.readouterr().out


@pytest.mark.parametrize(("by", "says"), [("entropi", 'did you mean "entropy"'), ("alignment_error", "as gold")])
def test_heads_are_ranked_by_what_there_is(by: str, says: str) -> None:
    anything: Any = None
    with pytest.raises(UsageError, match=says):
        heads_view(anything, anything, ViewOptions(by=by))


def test_axes_of_attention_by_any_name() -> None:
    """A user's model says which attention is to a source; those of our models have their names."""
    name = "decoder.0.reads.weights"
    assert axes_of(name, 4) == ("batch", "head", "target", "past")
    assert axes_of(name, 4, ["decoder.0.reads"]) == ("batch", "head", "target", "source")
    assert axes_of("decoder.0.reads.keys", 4, ["decoder.0.reads"]) == ("batch", "head", "source", "width")
    assert axes_of("decoder.attention.energies", 3)[1:] == ("target", "source")
