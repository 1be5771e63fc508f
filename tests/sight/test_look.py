"""`sightline look` and `align`: every view of every kind of model, its numbers by hand, and what cannot be seen."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import sightline as package
from sightline.errors import DataError
from sightline.sight import alignment, heads, measures
from sightline.sight.alignment import Aligner, alignment_error, from_pharaoh, to_pharaoh
from sightline.sight.reading import Look, Reading, Side, look, occlusion
from sightline.sight.terminal import grids_text, numbers_text
from support.commands import sightline

TEXT = "ein haus rot blau"


TRANSFORMERS = ("transformer", "gpt", "bert", "classifier", "tagger", "answerer", "vit")
VIEWS = {
    "attention": (*TRANSFORMERS, "seq2seq"),
    "heads": (*TRANSFORMERS, "seq2seq"),
    "masks": (*TRANSFORMERS, "seq2seq"),
    "alignment": ("transformer", "seq2seq"),
    "gates": ("seq2seq", "recurrent"),
    "belt": ("recurrent",),
    "states": ("seq2seq", "recurrent"),
    "positions": ("transformer", "gpt", "bert", "classifier", "tagger", "answerer", "vit"),
    "residual": TRANSFORMERS,
    "norms": TRANSFORMERS,
    "gradients": (*TRANSFORMERS, "seq2seq", "recurrent", "window"),
    "steps": ("transformer", "seq2seq", "gpt", "recurrent", "window"),
    "lens": ("gpt", "bert"),
    "patches": ("vit",),
}


@pytest.mark.parametrize("view", VIEWS)
def test_what_a_model_has_not(view: str, kinds: dict[str, Path], capsys) -> None:
    for kind in set(kinds) - set(VIEWS[view]) - {"vit"}:
        capsys.readouterr()
        code = sightline("look", kinds[kind], "--what", view)
        told = capsys.readouterr().err.strip().splitlines()
        assert code == 2, (view, kind, told)
        assert len(told) == 1, told


def test_names_and_choices(kinds: dict[str, Path], tmp_path: Path, capsys) -> None:
    assert sightline("look", kinds["transformer"], TEXT, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("decoder.0.cross_attention.weights"))
    assert line.split()[1:6] == ["head", "2", "×", "target", line.split()[5]]
    assert line.endswith("source 5")
    words = ["look", kinds["transformer"], TEXT]
    refused = {
        "did you mean \"attention\"": ["--what", "atention"],
        ".svg, .png or .pdf, a page .html": ["--picture", tmp_path / "x.bmp"],
        "no attention \"decoder.0.cros_attention\"": ["--site", "decoder.0.cros_attention"],
        "has 2 heads": ["--site", "decoder.0.cross_attention:2"],
        "positions is of the whole model": ["--site", "x", "--what", "positions"],
        "2 inputs; the model reads 1": ["hund"],
        "the number of a head": ["--site", "decoder.0.cross_attention:x"],
    }  # fmt: skip
    for says, more in refused.items():
        capsys.readouterr()
        assert sightline(*words, *more) == 2
        assert says in capsys.readouterr().err
    assert sightline(*words, "--site", "encoder.0.self_attention:1", "--check", "--target", "a house") == 0
    told = capsys.readouterr().out
    assert told.startswith("encoder.0.self_attention:1\n")
    assert "Nats that each output loses" in told
    assert sightline("look", kinds["gpt"], "a red", "--target", "x") == 2
    assert sightline(*words, "--site", "decoder.0.cross_attention:1", "--check") == 0
    assert "Rank correlation with attention" in capsys.readouterr().out


def fake(weights: np.ndarray) -> Look:
    """A look with one attention of these weights (heads, T, S)."""

    class Record:
        names = ("decoder.0.cross_attention.weights",)

        def __getitem__(self, name: str) -> torch.Tensor:
            return torch.from_numpy(weights)[None]

        def axes(self, name: str) -> tuple[str, ...]:
            return ("batch", "head", "target", "source")

    reading: Any = None
    return Look(reading, Record(), ())  # pyright: ignore


def ranked(run: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert sightline("look", run, TEXT, "--what", "heads", "--json", *words) == 0
    return json.loads(capsys.readouterr().out)


def test_ranking_heads(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run, target = runs["transformer"], ("--target", "ein haus")
    for measure, downwards in (("effect", True), ("entropy", False), ("distance", False), ("diagonality", True)):
        values = [one[measure] for one in ranked(run, capsys, "--by", measure)]
        assert len(values) > 1
        assert values == sorted(values, reverse=downwards)
    rows = ranked(run, capsys, *target, "--gold", "0-0 1-1")
    crossing = [one["alignment_error"] for one in rows if "cross" in one["head"]]
    assert crossing == sorted(crossing) == [one["alignment_error"] for one in rows][: len(crossing)]
    assert len(rows) > len(crossing)
    assert {one["alignment_error"] for one in rows[len(crossing) :]} == {None}
    seen = look(package.load(run).reading(TEXT, target="ein haus"), "*.weights")  # pyright: ignore
    best = Aligner(heads.find(seen, rows[0]["head"]), 0).links(seen)
    assert rows[0]["alignment_error"] == pytest.approx(alignment_error([best], [frozenset([(0, 0), (1, 1)])]))
    by_entropy = ranked(run, capsys, *target, "--gold", "0-0", "--by", "entropy")
    assert [one["entropy"] for one in by_entropy] == sorted(one["entropy"] for one in rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--by", "entropie"), 'there is no "entropie"; did you mean "entropy"?'),
        (("--by", "alignment_error"), "needs the right links"),
        (("--gold", "0-0"), "give that as target"),
        (("--target", "ein haus", "--gold", "0:0"), "is no alignment"),
        (("--target", "ein haus", "--gold", "0-2"), "0-2 is outside this pair of 4 and 2 words"),
    ],
)
def test_rankings_that_cannot_be(
    words: tuple[str, ...], said: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sightline("look", runs["transformer"], TEXT, "--what", "heads", *words) != 0
    assert said in capsys.readouterr().err
    assert sightline("look", runs["transformer"], TEXT, "--what", "masks", "--by", "entropy") == 2


def test_looking_at_a_checkpoint(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run = runs["transformer"]
    updates = package.load(run).run.updates  # pyright: ignore
    found = []
    for update in (updates[0], updates[-1]):
        capsys.readouterr()
        assert sightline("look", run, TEXT, "--checkpoint", update, "--json") == 0
        found.append(json.loads(capsys.readouterr().out)["weights"])
    assert len(updates) > 1
    assert found[0] != found[1]
    assert sightline("look", run, TEXT, "--checkpoint", "99999") == 1
    assert f"kept of updates: {updates[0]:,}" in capsys.readouterr().err


def test_measures_of_heads_by_hand() -> None:
    straight, even = np.eye(4), np.full((4, 4), 0.25)
    assert heads.entropy(straight) == 0
    assert heads.entropy(even) == pytest.approx(np.log(4))
    assert heads.distance(straight) == pytest.approx(0, abs=1e-9)
    assert heads.distance(even) == pytest.approx((6 + 4 + 4 + 6) / 16)
    assert heads.diagonality(straight) == pytest.approx(1)
    assert heads.diagonality(even) == pytest.approx((2 + 3 + 3 + 2) / 16)
    seen = fake(np.stack([straight, even]))
    names, rows = heads.table(seen)
    assert names == ("entropy", "distance", "diagonality")
    assert [site.label for site, _ in rows] == [f"decoder.0.cross_attention:{head}" for head in (0, 1)]
    assert [values["entropy"] for _, values in rows] == pytest.approx([0, np.log(4)])
    assert heads.Site.of("decoder.0.cross_attention:1") == heads.sites(seen)[1]


def test_a_head_that_is_taken_out(runs: dict[str, Path]) -> None:
    """Its effect is what the outputs lose when its rows of the output projection are zero."""
    model: Any = package.load(runs["transformer"])
    reading = model.reading(TEXT)
    site = heads.Site("decoder.0.cross_attention.weights", 1)
    found = heads.effect(reading, site)
    with torch.no_grad():
        before = float(reading.run(heads.PassContext()).sum())
        output = model.model.decoder[0].cross_attention.output
        output.weight[:, 8:] = 0
        assert before - float(reading.run(heads.PassContext()).sum()) == pytest.approx(found, abs=1e-4)


def test_an_lstms_belt(language_runs: dict[str, Path]) -> None:
    model: Any = package.load(language_runs["recurrent"])
    seen = look(model.reading("a red house sees"))
    belt = measures.cell_state_flow(seen, "layers.0")
    name = "layers.0.{}".format
    forget, cell = seen[name("forget_gate")], seen[name("cell_state")]
    kept = torch.cat([torch.zeros(1, cell.shape[1]), forget[1:] * cell[:-1]])
    added = seen[name("input_gate")] * seen[name("candidate")]
    torch.testing.assert_close(kept + added, cell, atol=1e-5, rtol=1e-4)  # the cell's equation
    np.testing.assert_allclose(belt["kept |f·c|"], kept.abs().mean(1), atol=1e-6)
    np.testing.assert_allclose(belt["on the belt |c|"], cell.abs().mean(1), atol=1e-6)


def test_gradients_by_distance(language_runs: dict[str, Path]) -> None:
    model: Any = package.load(language_runs["gpt"])
    reading: Reading = model.reading("a red house sees")
    found = measures.gradients(reading)
    outputs, positions = found.norms_OS.shape
    assert outputs == positions == len(reading.outputs)
    np.testing.assert_allclose(np.triu(found.norms_OS, 1), 0, atol=1e-7)  # nothing comes from later
    curve = found.by_distance()
    assert curve[0] == pytest.approx(np.mean(np.diagonal(found.norms_OS)))
    assert curve[1] == pytest.approx(np.mean(np.diagonal(found.norms_OS, -1)))


@pytest.mark.parametrize(
    ("kind", "first", "text", "more"),
    [("gpt", "blocks.0", "a red house", {}), ("transformer", "encoder.0", "ein haus", {"target": "a house"})],
)
def test_gradients_are_those_of_finite_differences(
    kind: str, first: str, text: str, more: dict[str, str], kinds: dict[str, Path]
) -> None:
    """The norm of the central differences of every output by each feature of each position's embedding."""
    model: Any = package.load(kinds[kind])
    reading = model.reading(text, **more)
    model.model.double()
    found = measures.gradients(reading).norms_OS
    positions, width, step = found.shape[1], model.settings.model.d_model, 5e-3
    change = torch.zeros(1, positions, width, dtype=torch.float64)

    def changed(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (arguments[0] + change, *arguments[1:])

    expected = np.zeros_like(found)
    hook = model.model.get_submodule(first).register_forward_pre_hook(changed)
    with torch.no_grad():
        for position in range(positions):
            slopes = []
            for feature in range(width):
                outputs = []
                for sign in (1, -1):
                    change[0, position, feature] = sign * step
                    outputs.append(reading.run(heads.PassContext()).double())
                change.zero_()
                slopes.append((outputs[0] - outputs[1]) / (2 * step))
            expected[:, position] = torch.stack(slopes).norm(dim=0).numpy()
    hook.remove()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_the_logit_lens_ends_with_what_the_model_says(language_runs: dict[str, Path]) -> None:
    model: Any = package.load(language_runs["gpt"])
    reading = model.reading("a red house sees a")
    lens = measures.logit_lens(model, look(reading))
    assert lens.probabilities.shape == (2, len(reading.outputs))
    ids = [model.model.begin_id, *model.tokenizer.encode("a red house sees a")][:-1]
    with torch.no_grad():
        features, _ = model.model.decode(torch.tensor([ids]), model.model.start(1))
        best = model.model.project(features)[0].softmax(-1).max(-1)
    assert lens.tokens[-1] == model.tokenizer.tokens(best.indices.tolist())
    np.testing.assert_allclose(lens.probabilities[-1], best.values, atol=1e-5)


def test_the_lens_of_a_bert_ends_with_its_candidates(kinds: dict[str, Path]) -> None:
    model: Any = package.load(kinds["bert"])
    reading = model.reading("ein [MASK] rot")
    seen = look(reading)
    lens = measures.logit_lens(model, seen)
    place = reading.sides["position"].tokens.index("[MASK]")
    (candidates,) = model.fill("ein [MASK] rot").blanks
    assert lens.tokens[-1][place] == candidates[0].token
    assert lens.probabilities[-1][place] == pytest.approx(candidates[0].probability, abs=1e-5)
    assert lens.probabilities.shape == (1 + model.settings.model.num_layers, len(reading.sides["position"]))


def test_grids_are_shaded_to_their_largest_number() -> None:
    text = grids_text({"a": np.array([[1.0, 0.5]]), "열": np.array([[4.0, 0.5]])})
    assert text.splitlines() == ["a      열", "██▒▒   ██"]


def test_tables_reckon_with_wide_characters() -> None:
    text = numbers_text(np.array([[1.0, -0.5]]), ["나는", "x"], ["열"])
    head, row = text.splitlines()
    assert head == "      나는      x"
    assert row == "열    1.00  -0.50"


def test_alignment_error_by_hand() -> None:
    gold = [frozenset({(0, 0), (1, 2)}), frozenset({(0, 1)})]
    found = [frozenset({(0, 0), (1, 1)}), frozenset({(0, 1)})]
    assert alignment_error(found, gold) == pytest.approx(1 - 2 * 2 / 6)
    assert alignment_error(gold, gold) == 0
    assert to_pharaoh(gold[0]) == "0-0 1-2"
    assert from_pharaoh("0-0 1-2", "x:1") == gold[0]
    with pytest.raises(DataError, match=r'x:1: "0 0" is no alignment'):
        from_pharaoh("0 0", "x:1")


def test_links_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """나는 학생|입니다 into I am a stu|dent, with the ends."""
    source = Side(("나는", "학생", "입니다", "</s>"), (0, 1, 1, 2), ("나는", "학생입니다", "</s>"))
    target = Side(("I", "am", "a", "stu", "dent", "</s>"), (0, 1, 2, 3, 3, 4), ("I", "am", "a", "student", "</s>"))
    weights_TS = np.array(
        [
            [0.7, 0.1, 0.1, 0.1],
            [0.1, 0.0, 0.5, 0.4],  # both tokens of a source word are one
            [0.0, 0.0, 0.0, 1.0],  # at the end alone: no link
            [0.0, 0.9, 0.1, 0.0],
            [0.5, 0.1, 0.0, 0.4],  # its word has (0.25, 0.55) with the one before it
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
    monkeypatch.setattr(alignment, "weights_of", lambda seen, site: weights_TS)
    seen: Any = SimpleNamespace(reading=SimpleNamespace(sides={"source": source, "target": target}))
    site = heads.Site("decoder.attention.weights")
    # "student" has √(0.25/1.05 · 0.25/0.8) = 0.27 of 나는: enough beside its link to 학생입니다, not enough alone
    assert Aligner(site).links(seen) == {(0, 0), (1, 1), (1, 3), (0, 3)}
    assert Aligner(site, near=0.35).links(seen) == {(0, 0), (1, 1), (1, 3)}
    # read one step later "I" has (0.1, 0.5), "a" (0, 1) and "student" (0.25, 0.05), of (0.35, 1.55) and 0.6, 1 and 0.3
    assert Aligner(site, 1, near=0.35).links(seen) == {(1, 0), (1, 2), (0, 3)}
    assert Aligner(site, 1, share=0.6, near=0.5).links(seen) == {(1, 2), (0, 3)}
    # half of both is what the mean of each row and the next has
    half = Aligner(site, 0.5).links(seen)
    both_TS = np.vstack([(weights_TS[:-1] + weights_TS[1:]) / 2, weights_TS[-1:]])
    with monkeypatch.context() as patched:
        patched.setattr(alignment, "weights_of", lambda seen, site: both_TS)
        assert Aligner(site).links(seen) == half
    # more links from less attention, and gold alignments choose how much
    more = Aligner(site, share=0.25, near=0.15).links(seen)
    assert more > Aligner(site).links(seen)
    chosen, error = Aligner(site).best_thresholds([seen, seen], [more, more])
    assert (chosen.links(seen), error) == (more, 0.0)


def test_align(runs: dict[str, Path], texts: Path, tmp_path: Path, capsys) -> None:
    words = ["align", runs["transformer"], texts / "test.de", texts / "test.en"]
    assert sightline(*words) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert len(lines) == len((texts / "test.de").read_text().splitlines())
    assert "read off decoder.0.cross_attention" in told.err
    # the language is word by word
    pairs = (texts / "test.de").read_text().splitlines()
    gold = tmp_path / "gold"
    gold.write_text("".join(" ".join(f"{n}-{n}" for n in range(len(line.split()))) + "\n" for line in pairs))
    assert sightline(*words, "--gold", gold, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    # half of the pairs chooses, the other half measures
    half = len(pairs) // 2
    right = [{(n, n) for n in range(len(line.split()))} for line in pairs[half:]]
    told = [{tuple(link) for link in links} for links in found["links"][half:]]
    both = sum(len(one & other) for one, other in zip(right, told, strict=True))
    assert found["alignment_error"] == pytest.approx(1 - 2 * both / sum(map(len, [*right, *told])))
    assert sightline(*words, "--site", "decoder.0.cross_attention:1", "--first", 3) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for site in ("decoder.0.cross_attention:x", "decoder.0.cross_attention:9", "decoder.0.cross_attention:-1"):
        assert sightline(*words, "--site", site) == 2
    gold.write_text("0-0\n")
    assert sightline(*words, "--gold", gold) == 1
    assert sightline("align", runs["transformer"], texts / "test.de") == 2


def test_a_fixed_context_has_no_alignment(config_file: Path, texts: Path, tmp_path: Path, capsys) -> None:
    from support.configs import MODELS

    words = ["train", config_file, "--run", tmp_path / "run", *MODELS["seq2seq"], "model.attention=none"]
    assert sightline(*words) == 0
    capsys.readouterr()
    assert sightline("align", tmp_path / "run", texts / "test.de", texts / "test.en") == 2
    assert "fixed context" in capsys.readouterr().err
    assert sightline("look", tmp_path / "run", TEXT) == 2
    assert "attends to nothing" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["transformer", "seq2seq", "gpt", "bert", "classifier", "vit"])
def test_a_page_of_all_heads(kind: str, kinds: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    assert sightline("look", kinds[kind], "--picture", page) == 0
    text = page.read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    assert "http://" not in text
    assert "https://" not in text
    inner = text.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    data = json.loads(inner)
    assert len(data["outputs"]) == len(data["log_probabilities"])
    model: Any = package.load(kinds[kind])
    reading = model.reading(*model.first_example())
    seen = look(reading, "*.weights")
    heads_of = {name: seen[name].numpy() for name in seen.names}
    expected = {name.removesuffix(".weights"): one.mean(0) if one.ndim == 3 else one for name, one in heads_of.items()}
    expected |= {f"{name.removesuffix('.weights')}:{number}": head for name, one in heads_of.items() if one.ndim == 3
                 for number, head in enumerate(one)}  # fmt: skip
    *matrices, losses = data["matrices"]
    assert {matrix["name"] for matrix in matrices} == set(expected)
    for matrix in matrices:
        np.testing.assert_allclose(matrix["values"], expected[matrix["name"]], atol=6e-4)
        assert (len(matrix["rows"]), len(matrix["columns"])) == expected[matrix["name"]].shape
        largest = expected[matrix["name"]].max()
        assert matrix["scale"] == pytest.approx(largest if largest < 0.5 else 1, abs=1e-5)
    assert losses["name"] == f"nats lost when a position is {reading.occlusion}"
    drops = np.array(losses["values"], dtype=float)
    np.testing.assert_allclose(drops, occlusion(reading), atol=6e-4)
    assert losses["scale"] == pytest.approx(np.nanmax(np.abs(drops)), abs=6e-4)
    assert "The last choice shows" in data["about"]


def test_text_cannot_leave_the_page(kinds: dict[str, Path], tmp_path: Path) -> None:
    page, hostile = tmp_path / "x.html", "</script><img src=x onerror=alert(1)> haus"
    assert sightline("look", kinds["seq2seq"], hostile, "--picture", page) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("</script>") == 2
    assert "<img" not in text
    assert json.loads(text.split('id="data">')[1].split("</script>")[0])["title"] == hostile
