"""What notebooks show, in a real browser: by hover, several in a page, shown late, without scripts, of hostile text."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from playwright import sync_api

from sightline.predict.reading import Side
from sightline.runs.summary import RunSummary
from sightline.sight import html
from sightline.sight.curves import Curve, learning_curves
from sightline.tasks.classification.predictor import Prediction
from sightline.tasks.report import Figures
from sightline.tasks.translation.results import Attention, Translation
from sightline.train.history import Line
from sightline.train.metric import Metric
from support.outputs import Opened, needs_browser

HOSTILE = "</script><script>window.hit=1</script><img src=x onerror=window.hit=1>\"'\u202e/*DATA*/ /*ID*/"
WEIGHTS = np.array([[[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]], [[0.1, 0.8, 0.1], [0.4, 0.4, 0.2], [0, 0, 1]]])
METRICS = [
    *(Line("train", at, {"loss": 4.0 - at / 50}) for at in range(10, 110, 10)),
    *(Line("validation", at, {"loss": 4.2 - at / 60, "bleu": at / 10}) for at in (50, 100)),
    Line("validation", 100, {"loss": math.nan}),
]


def curves_of(lines: list[Line], metric: str) -> list[Curve]:
    return learning_curves(
        RunSummary("r", Path("r"), "trained", metric=Metric(metric, True), history=tuple(lines)).curve()
    )


def translation(first: str = "나는") -> Translation:
    looked = Attention(WEIGHTS, Side.of([first, "간다", "</s>"]), Side.of(["I", "go", "</s>"]))
    other = Translation(first, f"I went {first}", ("I", "went"), -1.0, -1.0, (-0.5, -0.5, 0.0), True)
    return Translation(f"{first} 간다", "I go", ("I", "go"), -0.3, -0.3, (-0.1, -0.2, 0.0), True, (other,), looked)


def outputs(text: str = "나는") -> list[str]:
    """One of everything."""
    one = translation(text)
    assert one.attention is not None
    probabilities = {text: 0.7, **{f"class {number}": 0.3 / 20 for number in range(20)}}
    scores = Figures(text, 10, "records", {"accuracy": 0.5}, 1.0, {"accuracy": Metric("accuracy", True)})
    return [
        one._repr_html_(),
        html.translation(one, None),
        one.attention._repr_html_(),
        html.matrix([html.Matrix(text, np.array([[0.5, -1.5], [np.nan, 2]]), 2.0)], [text, "b"], ["c", text], digits=2),
        html.record([(f"decoder.{text}", "batch 1 × width 4", "-1 … 1, mean 0"), ("encoder", "source 3", "none")]),
        Prediction((text,), text, probabilities)._repr_html_(),
        scores._repr_html_(),
        html.run(f"runs/{text}", "100 updates", [text], curves_of(METRICS, "bleu")),
        html.picture(lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>") and None, text),
    ]


@needs_browser
def test_a_translation_says_where_it_looked(browser: sync_api.Browser) -> None:
    with Opened(browser, [translation()._repr_html_(), translation("너는")._repr_html_()]) as page:
        for cell, word in (("#cell-0", "나는"), ("#cell-1", "너는")):
            told = page.locator(f"{cell} .told")
            rest = told.inner_text()
            assert rest == "Point at a token of the target."
            assert not page.locator(f"{cell} .still").is_visible()
            page.hover(f"{cell} .token[data-row='0']")
            # the mean of two heads: 0.4, 0.5, 0.1
            assert told.inner_text() == f"I: probability 0.905; looked at 간다 50 %, {word} 40 %, </s> 10 %"
            shade = f"getComputedStyle(document.querySelector(\"{cell} [data-column='1']\")).backgroundColor"
            assert page.evaluate(shade) == "rgba(31, 95, 168, 0.5)"
            page.focus(f"{cell} .token[data-row='2']")
            assert told.inner_text().endswith("looked at </s> 100 %")
        # the other output is as it was
        page.hover("#cell-1 .token[data-row='1']")
        page.mouse.move(0, 0)
        page.locator("#cell-1 .token[data-row='2']").blur()
        assert "Point at" in page.locator("#cell-1 .told").inner_text()


@needs_browser
def test_matrices_curves_and_records(browser: sync_api.Browser) -> None:
    with Opened(browser, outputs()) as page:
        cell = page.locator("#cell-2 td[data-cell='0,1']")
        assert cell.inner_text() == "50"
        cell.hover()
        assert page.inner_text("#cell-2 .told") == "I ← 간다: 0.500"
        page.select_option("#cell-2 select", label="head 2 of 2")
        assert cell.inner_text() == "80"
        signed = page.locator("#cell-3 td")
        assert signed.all_inner_texts() == ["0.50", "-1.50", "–", "2.00"]
        page.locator("#cell-7 svg").first.hover(position={"x": 630, "y": 100})
        assert page.inner_text("#cell-7 .told") == "training loss 2 at update 100; validation loss 2.533 at update 100"
        page.fill("#cell-4 input", "enc")
        assert page.locator("#cell-4 tbody tr:visible").count() == 1
        assert page.locator("#cell-5 tbody tr").count() == 12


@needs_browser
def test_outputs_that_a_notebook_puts_in_late(browser: sync_api.Browser) -> None:
    """As JupyterLab does: the markup first, its scripts made anew; here before the markup is in the page at all, and
    shown twice."""
    with Opened(browser, []) as page:
        page.evaluate(
            """(part) => {
                for (const [late, before] of [[200, true], [300, false]]) {
                    const host = document.createElement("section");
                    host.innerHTML = part;
                    for (const old of host.querySelectorAll("script")) {
                        const fresh = document.createElement("script");
                        fresh.textContent = old.textContent;
                        if (before) document.head.append(fresh); else old.replaceWith(fresh);
                    }
                    setTimeout(() => document.body.append(host), late);
                }
            }""",
            translation()._repr_html_(),
        )
        page.wait_for_selector(".sightline[data-live] >> nth=1")
        page.locator(".token[data-row='1']").nth(1).hover()
        assert "looked at 간다 60 %" in page.locator(".told").nth(1).inner_text()


@needs_browser
def test_without_scripts_there_are_tables_and_pictures(browser: sync_api.Browser) -> None:
    with Opened(browser, outputs(), java_script_enabled=False) as page:
        assert page.locator("#cell-0 .still").inner_text().split("\n")[1].split("\t")[:2] == ["I", "90 %"]
        assert "간다 50 %, 나는 40 %" in page.inner_text("#cell-0 .still")
        assert page.locator("#cell-2 td[data-cell='0,1']").inner_text() == "50"
        assert not page.locator("#cell-2 select").is_visible()
        assert page.locator("#cell-7 polyline").count() == 3
        assert page.locator("#cell-4 tbody tr:visible").count() == 2


@needs_browser
def test_hostile_text_stays_text(browser: sync_api.Browser) -> None:
    with Opened(browser, outputs(HOSTILE)) as page:
        assert page.evaluate("window.hit === undefined && document.images.length === 1")
        page.hover("#cell-0 .token[data-row='0']")
        assert HOSTILE[:30] in page.inner_text("#cell-0 .told")
        assert page.locator("#cell-6 b").inner_text() == HOSTILE


def test_every_output_stands_alone() -> None:
    ids = [re.findall(r'<div class="sightline" id="(sightline-\w+)"', part) for part in outputs() + outputs()]
    assert all(len(found) == 1 for found in ids)
    assert len({found[0] for found in ids}) == len(ids)
    for part in outputs():
        assert not re.findall(r'(?:src|href)="(?!data:)|@import|url\(', part)
        assert part.count("<script>") == 1


def test_large_outputs_stay_small() -> None:
    names = [f"w{number}" for number in range(120)]
    weights = np.full((64, 120, 120), 1 / 120)
    found = Attention(weights, Side.of(names), Side.of(names))._repr_html_()
    assert "<select>" not in found
    assert len(found) < 3_000_000
    assert html.record([(f"name {number}", "", "") for number in range(1000)]).count("<tr>") == html.MOST_ROWS + 1
    empty = Translation("", "", (), 0.0, 0.0, (), True)
    assert "target" in empty._repr_html_()
    cut = replace(translation(), token_log_probabilities=(-0.1, -0.2), finished=False)
    assert cut._repr_html_().count('data-row="') == 2


def test_curves_of_what_there_is(tmp_path: Path) -> None:
    assert curves_of([], "bleu") == []
    (only,) = curves_of([Line("train", 3, {"loss": 1.0})], "loss")
    assert "<polyline" in only.svg()
