"""Confidence: the fit, the figures it is judged by, how it is kept in a run, and that every door tells the same."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torchmetrics.functional.classification import binary_auroc, binary_calibration_error

import sightline as package
from sightline import config
from sightline.data.documents import TextSource
from sightline.errors import CheckpointError, UsageError
from sightline.predict.confidence import FILE, PENALTY, cautions, fit, token_features, write_confidence
from sightline.predict.metrics import binned_error, chrf, reliability, roc_area
from sightline.tasks.language.confidence import _parts
from sightline.tasks.translation.decoding import attention_ids, coverage_ids
from sightline.train.manifest import Manifest, replace_files
from sightline.train.run_directory import Run
from support.commands import sightline
from support.serving import post, serving

KINDS = ("transformer", "gru")
TEXTS = ["늙은 개가 집도 그린다.", "개가 집도 그린다. 늙은 개가 간다.", "", "qwz"]


def _drawn(count: int) -> tuple[list[dict[str, float]], np.ndarray, np.ndarray]:
    """Records whose probability to be acceptable (a chrF2 of 50 or more) is a logistic function of two features."""
    draw = np.random.default_rng(3)
    x_NK = draw.normal(size=(count, 2)) * (2.0, 0.1) + (5.0, -1.0)
    told_N = 1 / (1 + np.exp(-(0.8 * (x_NK[:, 0] - 5) - 6.0 * (x_NK[:, 1] + 1) + 1.0)))
    scores_N = np.where(draw.random(count) < told_N, 80.0, 20.0)
    return [{"a": float(a), "b": float(b), "same": 1.0} for a, b in x_NK], scores_N, told_N


def test_the_fit_is_the_least_penalized_cross_entropy() -> None:
    features, scores_N, _ = _drawn(400)
    found = fit(features, scores_N, 50.0, weights="w", signature="s")
    x_NK = np.array([list(one.values()) for one in features])
    z_NK = (x_NK - x_NK.mean(0)) / np.where(x_NK.std(0) > 1e-9, x_NK.std(0), 1)
    good_N = scores_N >= 50

    def loss(weights: np.ndarray) -> float:
        logits_N = z_NK @ weights[:-1] + weights[-1]
        return float(
            np.logaddexp(0, np.where(good_N, -logits_N, logits_N)).sum() + PENALTY / 2 * (weights[:-1] ** 2).sum()
        )

    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-8}).x
    assert [*found.coefficients.values(), found.intercept] == pytest.approx(best.tolist(), abs=1e-4)
    assert found.coefficients["same"] == 0  # what is the same everywhere says nothing
    logit = float(z_NK[7] @ best[:-1] + best[-1])
    assert found.probability({**features[7], "other": 1e9}) == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)


def test_what_is_logistic_is_found() -> None:
    features, scores_N, told_N = _drawn(20_000)
    found = fit(features, scores_N, 50.0, weights="w", signature="s")
    assert np.abs([found.probability(one) for one in features] - told_N).max() < 0.03
    assert found.error < 1.5
    assert found.area == pytest.approx(roc_area(told_N, scores_N >= 50), abs=0.003)
    assert found.share == pytest.approx(100 * float((scores_N >= 50).mean()))


def test_figures_are_torchmetrics() -> None:
    draw = torch.Generator().manual_seed(0)
    told = (torch.rand(700, generator=draw) * 20).round() / 20  # with ties
    true = (torch.rand(700, generator=draw) < told).long()
    assert roc_area(told.numpy(), true.numpy()) == pytest.approx(float(binary_auroc(told, true)), abs=1e-5)
    odd = torch.rand(700, generator=draw)  # no probability on the border of a bin
    for bins in (10, 15):
        expected = 100 * float(binary_calibration_error(odd, true, n_bins=bins))
        assert binned_error(reliability(odd.numpy(), true.numpy(), bins)) == pytest.approx(expected, abs=1e-3)
    assert np.isnan(roc_area(np.array([0.2, 0.4]), np.array([1, 1])))


@pytest.mark.parametrize(
    ("scores", "least"),
    [
        (np.arange(100.0), 20),  # a fifth lies below
        (np.array([10.0] * 50 + [30.0] * 50), 30),  # of many that are lowest something lies above
        (np.array([10.0] * 8 + [100.0] * 92), 100),  # nearly all are right
    ],
)
def test_what_is_acceptable_where_nothing_is_said(scores: np.ndarray, least: float) -> None:
    features = [{"a": float(number % 7)} for number in range(100)]
    assert fit(features, scores, None, weights="w", signature="s").acceptable == least


def test_features_of_a_text() -> None:
    found = token_features([-1.0, -3.0], source=3, finished=False)
    assert found["mean_log_probability"] == -2
    assert (found["least_log_probability"], found["spread_log_probability"], found["unfinished"]) == (-3, 1, 1)
    assert found["log_ratio"] == pytest.approx(np.log(2 / 4))


@pytest.mark.parametrize(
    ("scores", "acceptable", "message"),
    [
        (np.linspace(0, 100, 49), None, "50 records of validation or more; there are 49"),
        (np.full(60, 100.0), None, "0 of 60 validation records lie below a chrF2 of 100.0"),
        (np.linspace(0, 50, 60), 99.0, "0 of 60 validation records lie at or above a chrF2 of 99.0"),
    ],
)
def test_what_cannot_be_fitted(scores: np.ndarray, acceptable: float | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit([{"a": 0.0}] * len(scores), scores, acceptable, weights="w", signature="s")


@pytest.mark.parametrize("kind", KINDS)
def test_coverage_in_batches_is_that_of_each_alone(kind: str, old_run) -> None:
    translator: Any = package.load(old_run(kind))
    sources = [translator.encode_source(one) for one in TEXTS if one]
    pairs = [
        (source, translator.encode_target(text))
        for source, text in zip(sources, ("the old dog", "a", "x y"), strict=True)
    ]
    expected = []
    for source, target in pairs:
        weights = attention_ids(translator.model, source, target)
        assert weights is not None
        expected.append(float(weights.mean(0).sum(0).clamp(max=1).mean()))
    assert coverage_ids(translator.model, pairs) == pytest.approx(expected, abs=1e-5)
    assert coverage_ids(translator.model, pairs, batch_size=1) == pytest.approx(expected, abs=1e-5)


def test_a_run_without_it_says_what_to_do(old_run, capsys) -> None:
    run = old_run("transformer")
    for words in (("--confidence",), ("--abstain", "0.5")):
        assert sightline("translate", run, "--text", TEXTS[0], *words) == 2
        assert f"`sightline calibrate {run}`" in capsys.readouterr().err
    with pytest.raises(UsageError, match="sightline calibrate"):
        package.load(run).translate(TEXTS[0], confidence=True)  # pyright: ignore
    with serving([run]) as server, server.client() as client:
        answer = client.post("/v1/translate", json={"text": TEXTS[0], "confidence": True})
        assert answer.status_code == 400
        assert "sightline calibrate" in answer.json()["error"]["message"]
        assert client.get("/v1/models").json()["data"][0]["acceptable"] is None


def test_a_server_needs_no_new_start(calibratable) -> None:
    """What is fitted while it runs is told from then on; what is fitted for weights that it does not have is not."""
    path = calibratable("transformer")
    with serving([path]) as server, server.client() as client:
        asked = {"text": TEXTS[0], "confidence": True}
        assert client.post("/v1/translate", json=asked).status_code == 400
        run = Run(path)
        run.save_weights({name: one + 0.01 for name, one in run.read_weights().items()})
        package.calibrate(path)
        assert client.post("/v1/translate", json=asked).status_code == 400
        run.save_weights({name: one - 0.01 for name, one in run.read_weights().items()})
        served = next(iter(server.models.by_name.values())).predictor
        fitted = package.calibrate(path).model_copy(update={"weights": served._digest})
        write_confidence(run, fitted)
        assert post(client, "/v1/translate", **asked)["translations"][0]["confidence"] is not None


def test_a_fit_of_little_use_says_so(capsys, calibratable) -> None:
    run = calibratable("transformer")
    assert sightline("calibrate", run, "--acceptable", "39") == 0
    told = capsys.readouterr().err
    assert "caution: a chrF2 of 39.0 is little" in told
    dull = package.load(run).confidence.model_copy(update={"acceptable": 60.0, "area": 0.55})  # pyright: ignore
    assert [one.partition(";")[0] for one in cautions(dull)] == [
        "caution: an area of 0.55 (0.5 is chance) hardly tells acceptable texts from others"
    ]
    assert cautions(dull.model_copy(update={"area": 0.8})) == []


@pytest.mark.parametrize("kind", KINDS)
def test_all_doors_tell_the_same(kind: str, calibratable, tmp_path: Path, capsys) -> None:
    run = calibratable(kind)
    before = Run(run).weights_digest()
    assert sightline("calibrate", run) == 0
    said = capsys.readouterr()
    assert "60 validation records" in said.out
    assert f"next: sightline translate {run} FILE --confidence" in said.err
    assert Run(run).weights_digest() == before

    translator: Any = package.load(run)
    assert translator.confidence.acceptable > 0
    found = translator.translate(TEXTS, confidence=True)
    sure = [one.confidence for one in found]
    assert sure[2] is None
    assert all(0 <= one <= 1 for one in sure if one is not None)
    assert sure[1] == min(one.confidence for one in found[1].sentences)
    # what else is computed beside it changes nothing
    assert translator.translate(TEXTS[1], confidence=True).confidence == pytest.approx(sure[1], abs=1e-5)
    assert [one.text for one in translator.translate(TEXTS)] == [one.text for one in found]
    assert translator.translate(TEXTS[0]).confidence is None

    (tmp_path / "texts").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    assert sightline("translate", run, tmp_path / "texts", "--confidence", "--json") == 0
    lines = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert lines[2]["confidence"] is None
    assert [one["confidence"] for one in lines if one["confidence"] is not None] == pytest.approx(
        [one for one in sure if one is not None], abs=1e-5
    )
    with serving([run]) as server, server.client() as client:
        answers = post(client, "/v1/translate", text=TEXTS, confidence=True)["translations"]
        assert [one["confidence"] for one in answers if "confidence" in one] == pytest.approx(
            [one for one in sure if one is not None], abs=1e-5
        )
        assert [one["confidence"] for one in answers[1]["sentences"]] == pytest.approx(
            [one.confidence for one in found[1].sentences], abs=1e-5
        )
        assert "confidence" not in post(client, "/v1/translate", text=TEXTS[0])["translations"][0]
        assert client.get("/v1/models").json()["data"][0]["acceptable"] == translator.confidence.acceptable


def test_abstaining(calibratable, tmp_path: Path, capsys) -> None:
    run = calibratable("transformer")
    assert sightline("calibrate", run) == 0
    found = package.load(run).translate(TEXTS, confidence=True)  # pyright: ignore
    least = (found[0].confidence + found[3].confidence) / 2
    told = [one.text if one.confidence is not None and one.confidence >= least else "" for one in found]
    assert sum(map(bool, told)) in (1, 2)  # some and not all
    (tmp_path / "texts").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    capsys.readouterr()
    words = ("translate", run, tmp_path / "texts", "--abstain", f"{least:.12f}")
    assert sightline(*words) == 0
    said = capsys.readouterr()
    assert said.out.split("\n")[:-1] == told
    left = sum(one.confidence is not None and one.confidence < least for one in found)
    assert f"{left} of 4 translations" in said.err
    assert sightline(*words, "--output", tmp_path / "out.csv") == 0
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["translation"] for row in rows] == told
    assert float(rows[0]["confidence"]) == pytest.approx(found[0].confidence, abs=1e-5)
    capsys.readouterr()
    assert sightline(*words, "--json") == 0
    marked = [json.loads(one)["abstained"] for one in capsys.readouterr().out.splitlines()]
    assert sum(marked) == left
    assert sightline("translate", run, "--text", "x", "--abstain", "1.5") == 2


def test_evaluate_says_how_good_it_is(calibratable, capsys) -> None:
    """On a set where a third of the references are spoiled: figures from the records themselves."""
    run = calibratable("transformer")
    package.calibrate(run)
    fitted: Any = package.load(run)
    (report,) = package.evaluate(run, "held.ko", "held.en")
    sources, references = (Path(name).read_text(encoding="utf-8").splitlines() for name in ("held.ko", "held.en"))
    found = fitted.translate(sources, split=False, confidence=True)
    told_N = np.array([one.confidence for one in found])
    scores_N = np.array([chrf([one.text], [right]).score for one, right in zip(found, references, strict=True)])
    figures: Any = report.as_dict()["confidence"]
    good_N = scores_N >= fitted.confidence.acceptable
    assert figures["share"] == pytest.approx(100 * good_N.mean())
    assert figures["calibration_error"] == pytest.approx(binned_error(reliability(told_N, good_N)), abs=0.05)
    worst_N = scores_N < np.quantile(scores_N, 0.2)
    assert figures["roc_area_worst_fifth"] == pytest.approx(1 - roc_area(told_N, worst_N), abs=1e-3)
    assert sightline("evaluate", run, "held.ko", "held.en", "--details", "--report", "held.html") == 0
    said = capsys.readouterr().out
    assert f"ROC area {figures['roc_area_worst_fifth']:.3f} for the worst fifth" in said
    assert "how often a translation is acceptable" in said
    assert "a translation is acceptable with a mean probability of" in Path("held.html").read_text(encoding="utf-8")


def test_it_is_kept_as_all_of_a_run(calibratable, tmp_path: Path, capsys) -> None:
    """Proved by the manifest, packed, gone with other weights; nothing else of a run of the first format changes."""
    path = calibratable("transformer")
    run = Run(path)
    others = {one: one.read_bytes() for one in path.rglob("*") if one.is_file() and one.name != "manifest.json"}
    fitted = package.calibrate(path, acceptable=40)
    assert fitted.acceptable == 40
    assert all(one.read_bytes() == content for one, content in others.items())
    assert package.load(path).confidence == fitted
    assert package.load(path).run.format == run.format

    assert sightline("pack", path, tmp_path / "packed.zip") == 0
    assert sightline("unpack", tmp_path / "packed.zip", "--run", tmp_path / "other") == 0
    assert package.load(tmp_path / "other").confidence == fitted

    text = (path / FILE).read_text()
    (path / FILE).write_text(text.replace("40.0", "41.0"))
    with pytest.raises(CheckpointError, match=FILE):
        package.load(path)
    (path / FILE).write_text(text)
    proved = Manifest.read(path, config.FORMAT)
    for wrong in (
        text.replace('"coverage"', '"other"', 1),  # of one of the three tables
        text.replace('"scales": {', '"scales": {"x": 0,'),
        text.replace('"coverage"', '"other"'),
        "[]",
    ):
        replace_files(path, {FILE: [wrong.encode()]}, proved, proved.notes, proved.format)
        with pytest.raises(CheckpointError, match=FILE):
            package.load(path).translate(TEXTS[0], confidence=True)  # pyright: ignore
    replace_files(path, {FILE: [text.encode()]}, proved, proved.notes, proved.format)
    run.save_weights(run.read_weights())
    assert package.load(path).confidence is None  # until it is fitted to them
    again = package.calibrate(path, acceptable=40)
    assert again == fitted.model_copy(update={"weights": run.weights_digest()})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--acceptable", "0"), "--acceptable: a chrF2 above 0"),
        (("--acceptable", "101"), "100 at most"),
        ((), "50 records"),
    ],
)
def test_refusals(words: tuple[str, ...], message: str, old_run, capsys) -> None:
    run = old_run("transformer")
    assert sightline("calibrate", run, *words) == 2
    assert message in capsys.readouterr().err
    assert not (run / FILE).exists()


def test_a_task_that_writes_no_text(old_run, capsys) -> None:
    assert sightline("calibrate", old_run("tagger")) == 2
    assert "confidence is of what runs of translation or language write" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["gpt", "ngram"])
def test_what_a_language_model_writes(kind: str, calibratable, tmp_path: Path, capsys) -> None:
    """Every door tells the same; the text is what it is without."""
    run = calibratable(kind)
    assert sightline("calibrate", run) == 0
    said = capsys.readouterr()
    assert re.search(r"as \d+ % of \d+ validation records have", said.out)
    assert f"next: sightline generate {run} FILE --confidence" in said.err
    model: Any = package.load(run)
    asked: dict[str, Any] = {"max_tokens": 6, "strategy": "beam", "beam": 2, "n": 2}
    one = model.generate("the old", confidence=True, **asked)
    assert one.text == model.generate("the old", **asked).text
    sure = [one.confidence, *(other.confidence for other in one.alternatives)]
    assert all(0 <= value <= 1 for value in sure)
    (tmp_path / "prompts").write_text("the old\na dog sees\n", encoding="utf-8")
    words = ("generate", run, tmp_path / "prompts", "--max-tokens", "6", "--beam", "2", "-n", "2", "--confidence")
    assert sightline(*words, "--json") == 0
    told = [json.loads(line)["confidence"] for line in capsys.readouterr().out.splitlines()]
    assert told[:2] == pytest.approx(sure, abs=1e-5)
    assert sightline(*words) == 0
    assert capsys.readouterr().out.startswith(f"{sure[0]:.2f}\tthe old{one.text}")
    assert sightline(*words, "--output", tmp_path / "out.jsonl") == 0
    first = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["confidence"] == pytest.approx(sure[0], abs=1e-5)
    with serving([run]) as server, server.client() as client:
        answer = post(client, "/v1/generate", prompt="the old", confidence=True, stream=False, **asked)
        assert answer["confidence"] == pytest.approx(sure[0], abs=1e-5)
        assert "confidence" not in post(client, "/v1/generate", prompt="the old", stream=False, **asked)


def test_parts_of_a_text_without_documents(calibratable) -> None:
    """32 tokens are given and 32 follow, none of them twice."""
    run = calibratable("gpt")
    model: Any = package.load(run)
    Path("held.txt").write_text("the old dog sees a house " * 300, encoding="utf-8")
    source = TextSource(source="held.txt", documents="running")
    model.settings = model.settings.model_copy(
        update={"data": model.settings.data.model_copy(update={"validation": (source,)})}
    )
    parts = list(_parts(model))
    begun = len(model.begin_ids)
    ids = [token for read, follows in parts for token in [*read[begun:], *follows]]
    assert ids == model.tokenizer.encode("the old dog sees a house " * 300)[: len(ids)]
    assert {len(follows) for _, follows in parts[:-1]} == {32}
