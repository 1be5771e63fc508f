"""The tabs of the served page in a real browser: what each shows is what the server says, in both languages, any width
and theme; and the pictures of it in docs/pictures."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python import sync_playwright as axe
from PIL import Image

from support.browser import Opened, ask, begin_anew, done, matrix, needs_browser, settled, tab, until, use
from support.commands import sightline
from support.serving import TEXT, Server, post, serving

pytestmark = needs_browser
PICTURES = os.environ.get("SIGHTLINE_PICTURES")  # a folder to write the pictures of the docs to, as docs/pictures
PICTURED = os.environ.get("SIGHTLINE_PICTURED", "")  # the runs on them, by default those of the tests


def numbers(texts: list[str]) -> list[float]:
    return [float(one) for one in texts]


def test_words_are_joined_by_their_weights(page, page_server: Server) -> None:
    use(page, "transformer")
    ask(page, TEXT)
    target = page.locator(".output").inner_text()
    with page_server.client() as client:
        found = post(client, "/v1/attention", model="transformer", text=TEXT, target=target)
    weights = np.array(found.get("by_word") or found["weights"])
    full = weights.max() if weights.max() < 0.5 else 1.0
    shares = np.array([np.sort(row)[::-1][:12] for row in weights / full])
    lines = page.locator(".links path")
    widths = numbers(lines.evaluate_all("all => all.map((one) => one.getAttribute('stroke-width'))"))
    assert len(widths) == (shares >= 0.04).sum()
    assert max(widths) == pytest.approx(12 * shares.max(), abs=0.05)
    # a token lights up the words that it looked at
    page.locator(".output .token").first.hover()
    shades = page.locator(".line .word").evaluate_all("all => all.map((one) => one.style.background)")
    assert len(shades) == 5
    assert len(set(shades)) > 1
    assert page.locator(".links path.on").count() == (shares[0] >= 0.04).sum()
    # a word tells its numbers
    page.locator(".line .word").nth(1).hover()
    assert re.search(r"^haus → .+ \d\.\d", page.locator(".told:visible").inner_text())


def test_even_attention_is_no_blank_matrix(page) -> None:
    begin_anew(page)
    use(page, "seq2seq")
    ask(page, TEXT)
    grid = matrix(page, "seq2seq")
    depth = "all => Math.max(...all.map((one) => Number(/([\\d.]+)\\)$/.exec(one.style.backgroundColor)?.[1] ?? 1)))"
    cells = grid.locator("td[role=gridcell]")
    assert cells.evaluate_all(depth) > 0.9
    legend = page.locator(".panel:visible .legend").first
    assert re.search(r"attention\s+0\.00\s+0\.2", legend.inner_text())
    page.get_by_role("radio", name="0 to 1").check(force=True)
    assert page.locator("table.grid td[role=gridcell]").evaluate_all(depth) < 0.5
    assert "1.00" in page.locator(".panel:visible .legend").first.inner_text()
    # the width there is
    page.set_viewport_size({"width": 700, "height": 800})
    panel = page.locator(".panel:visible").bounding_box()
    box = page.locator("table.grid").bounding_box()
    assert panel is not None
    assert box is not None
    assert box["width"] > 0.6 * panel["width"]


def test_what_a_mask_hides_does_not_look_like_a_weight(page) -> None:
    begin_anew(page)
    use(page, "gpt")
    ask(page, "red dog old house")
    grid = matrix(page, "gpt")
    rows = grid.locator("tbody tr").evaluate_all(
        "all => all.map((row) => [...row.cells].slice(1).map((one) => one.className))"
    )
    for number, row in enumerate(rows):
        assert "masked" not in row[: number + 1]
        assert set(row[number + 1 :]) <= {"masked"}
    assert "may not be looked at" in page.locator(".panel:visible").inner_text()
    # of whole words: what a part of may be seen is marked, and what nothing of may be is hidden
    whole = page.evaluate(
        "import('/static/attention.js').then(({ maskByWord }) => maskByWord({ mask: [[1, 0, 0], [1, 1, 0], [1, 1, 1]],"
        " rows: { words: [0, 0, 1], names: ['a', 'b'] }, columns: { words: [0, 0, 1], names: ['a', 'b'] } }))"
    )
    assert whole == [[0.5, 0], [1, 1]]


def test_rows_of_the_source_are_no_outputs(page) -> None:
    """What the encoder looks at has no row for a token that is written."""
    use(page, "transformer")
    ask(page, TEXT)
    page.locator(".output .token").first.hover()
    assert page.locator(".links path.on").count() > 0
    page.get_by_label("attention", exact=True).first.select_option("encoder.0.self_attention")
    settled(page)
    page.locator(".output .token").nth(1).hover()
    assert page.locator(".links path.on").count() == 0
    page.locator(".words:not(.line) .word").nth(1).hover()
    assert page.locator(".output .looked-from").count() == 0


def test_a_slider_over_checkpoints(page) -> None:
    use(page, "transformer")
    ask(page, TEXT)
    before = matrix(page, "transformer").inner_html()
    slider = page.get_by_label("training checkpoint")
    slider.focus()
    slider.press("Home")
    page.wait_for_selector("text=after 2 updates")
    until(page, "(before) => document.querySelector('table.grid').innerHTML !== before", before)
    slider.press("End")
    page.wait_for_selector("text=as trained")
    settled(page)
    cells = "all => all.map((one) => one.ariaLabel)"
    assert len(page.locator("table.grid td").evaluate_all(cells)) > 1


def test_heads_by_what_is_lost_without_them(page) -> None:
    use(page, "transformer")
    ask(page, TEXT)
    panel = tab(page, "heads")
    effects = [float(re.findall(r"-?\d+\.\d+", one)[-1]) for one in panel.locator(".thumb-note").all_inner_texts()]
    assert len(effects) == 6
    assert effects == sorted(effects, reverse=True)
    panel.get_by_role("radio", name="entropy").check(force=True)
    panel.locator(".thumb").nth(3).click()
    settled(page)
    assert page.locator("[role=tab][aria-selected=true]").first.inner_text() == "Attention"
    assert page.get_by_label("head", exact=True).input_value() != ""


INSIDE = {
    "seq2seq": ["Gates", "Hidden state", "Gradients", "Mask"],
    "transformer": ["Gradients", "Positions", "Mask", "Residual stream", "Norms"],
    "recurrent": ["Gates", "The cell as a conveyor belt", "Hidden state", "Gradients"],
    "gpt": ["Gradients", "Positions", "Mask", "Residual stream", "Norms", "Logit lens"],
}


def test_inside_shows_what_a_model_has(page) -> None:
    for model, expected in INSIDE.items():
        begin_anew(page)
        use(page, model)
        done(page)
        panel = tab(page, "inside")
        assert panel.locator("h3").all_inner_texts() == expected
        assert panel.locator(".legend").count() >= len(expected)
    # a curve is read with the arrow keys; another layer is chosen in place
    begin_anew(page)
    use(page, "recurrent")
    done(page)
    panel = tab(page, "inside")
    chart = panel.locator("svg.chart").first
    chart.focus()
    chart.press("ArrowRight")
    assert re.search(r"layers\.0\.input_gate \d\.\d", panel.locator(".told").first.inner_text())
    panel.get_by_label("Hidden state: where").select_option("layers.0")
    page.wait_for_selector(".legend >> text=layers.0")


def test_a_step_at_a_time(page, page_server: Server) -> None:
    begin_anew(page)
    use(page, "seq2seq")
    ask(page, TEXT)
    with page_server.client() as client:
        target = page.locator(".output").inner_text()
        found = post(client, "/v1/look", model="seq2seq", text=TEXT, target=target, what="steps")["views"]["steps"]
    panel = tab(page, "steps")
    at = panel.locator("output")
    assert at.inner_text() == f"step 1 of {len(found['steps'])}"
    shown = panel.locator(".rod-number:not(.soft)").all_inner_texts()
    assert numbers(shown) == pytest.approx(found["weights"][0], abs=0.006)
    assert panel.locator(".rod-number.soft").count() == len(found["positions"])  # the energies of its one head
    assert panel.get_by_role("button", name="one step back").is_disabled()
    panel.get_by_role("button", name="Play").focus()
    page.keyboard.press("ArrowRight")
    assert at.inner_text().startswith("step 2 of")
    page.keyboard.press("ArrowLeft")
    panel.get_by_role("button", name="Play").click()
    assert panel.get_by_role("button", name="Pause").is_visible()
    until(page, "(one) => one", panel.get_by_role("button", name="Play").is_visible() or True)
    panel.get_by_role("button", name=re.compile("Pause|Play")).click()
    panel.get_by_label("step", exact=True).press("Home")
    assert panel.locator(".candidate").count() == 5
    # one of the likeliest is gone on from, and marked as forced
    before = page.locator(".output").inner_text()
    other = panel.locator("button.candidate:not(.chosen)").first
    other.click()
    page.wait_for_selector(".output .forced")
    settled(page)
    assert page.locator(".output").inner_text() != before
    assert tab(page, "steps").locator(".piece.forced").count() == 1


def test_a_fixed_context_shows_its_bottleneck(browser, config_file: Path, tmp_path: Path) -> None:
    keys = ["model.kind=seq2seq", "model.width=16", "model.embedding_width=16", "model.attention=none"]
    assert sightline("train", config_file, "--run", tmp_path / "fixed", *keys) == 0
    with serving([tmp_path / "fixed"]) as server, Opened(browser, server.url) as page:
        done(page)
        panel = page.locator("[role=tabpanel]:visible")
        assert "one fixed vector, so there is no attention to see" in panel.inner_text()
        vector = panel.locator("svg.cells").first.inner_html()
        panel.get_by_role("button", name="one step on").click()
        assert panel.locator("svg.cells").first.inner_html() == vector
        assert "no attention to compare with" in tab(page, "mattered").inner_text()


def test_what_mattered_stands_beside_attention(page, page_server: Server) -> None:
    begin_anew(page)
    use(page, "seq2seq")
    ask(page, TEXT)
    with page_server.client() as client:
        target = page.locator(".output").inner_text()
        found = post(client, "/v1/attention", model="seq2seq", text=TEXT, target=target, check=True)
    panel = tab(page, "mattered")
    assert f"{found['agreement']:.2f}" in panel.locator(".verdict").inner_text()
    lost = panel.locator(".rod-number.soft").all_inner_texts()
    assert lost[-1] == "–"  # the end of the source always stays
    assert numbers(lost[:-1]) == pytest.approx(found["occlusion"]["values"][0][:-1], abs=0.006)
    assert numbers(panel.locator(".rod-number:not(.soft)").all_inner_texts()) == pytest.approx(
        found["output_weights"][0], abs=0.006
    )
    panel.get_by_label("output", exact=True).select_option("1")
    assert panel.locator(".rod").count() == len(found["read"]["tokens"])


def test_what_is_shown_can_be_kept(browser, page, tmp_path: Path) -> None:
    use(page, "transformer")
    ask(page, TEXT)
    panel = tab(page, "save")
    found = {}
    for kind in ("SVG", "PNG", "JSON", "HTML"):
        with page.expect_download() as waiting:
            panel.get_by_label(f"save as {kind}").click()
        found[kind] = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(found[kind])
    picture = found["SVG"].read_text(encoding="utf-8")
    assert "haus" in picture
    assert "<path" in picture
    with Image.open(found["PNG"]) as picture:
        assert picture.width > 200
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 3
    assert json.loads(found["JSON"].read_text(encoding="utf-8"))["weights"]
    html = found["HTML"].read_text(encoding="utf-8")
    assert "http:" not in html
    assert "https:" not in html
    assert len(html) < 1_000_000
    # the page that was saved is one that is read anywhere
    for width, scheme in ((360, "dark"), (1280, "light")):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        saved = context.new_page()
        saved.goto(found["HTML"].as_uri())
        assert saved.locator("#site option").count() > 6  # every head
        assert saved.locator("td").count()
        assert saved.evaluate("document.documentElement.scrollWidth") <= width
        report = axe.Axe().run(saved)
        assert report.violations_count == 0, report.generate_report()
        context.close()


def test_both_languages_say_the_same_things(page) -> None:
    tables = page.evaluate("import('/static/strings.js').then((one) => one.TABLES)")
    assert tables["ko"].keys() == tables["en"].keys()
    holes = {
        code: {name: sorted(set(re.findall(r"\{\d\}", text))) for name, text in table.items()}
        for code, table in tables.items()
    }
    assert holes["ko"] == holes["en"]
    assert not [
        name for name, text in tables["ko"].items() if text == tables["en"][name] and re.search("[a-z]{3}", text)
    ]
    # every name in the code has its words, and each label of a model's fields
    folder = Path(__file__).parents[2] / "src" / "sightline" / "serve" / "page"
    code = "".join(one.read_text(encoding="utf-8") for one in folder.glob("*.js") if one.name != "strings.js")
    named = set(re.findall(r"""\bt\("([^"]+)\"""", code))
    named |= set(re.findall(r'data-(?:text|label)="([^"]+)"', (folder / "index.html").read_text(encoding="utf-8")))
    assert named - tables["en"].keys() == set()
    labels = page.evaluate("import('/static/strings.js').then((one) => one.LABELS)")
    models = page.evaluate("fetch('/v1/models').then((one) => one.json())")["data"]
    shown = {one["label"] for model in models for kind in ("inputs", "options") for one in model["page"][kind]}
    assert shown - labels["ko"].keys() == set()


def test_the_page_speaks_the_readers_language_or_the_chosen_one(browser, page_server: Server) -> None:
    with Opened(browser, page_server.url, locale="ko-KR") as page:
        done(page)
        assert page.evaluate("document.documentElement.lang") == "ko"
        assert page.locator("[role=tab]").first.inner_text() == "어텐션"
        typed = page.input_value("#inputs textarea")
        begin_anew(page)
        page.get_by_role("radio", name="English").check(force=True)
        done(page)
        assert page.locator("[role=tab]").first.inner_text() == "Attention"
        assert page.input_value("#inputs textarea") == typed
        page.reload()
        done(page)
        assert page.evaluate("document.documentElement.lang") == "en"


def test_the_theme_is_kept(page) -> None:
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    until(page, "document.documentElement.dataset.theme === 'dark'")


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_narrow_dark_and_read_aloud(browser, page_server: Server, width: int, scheme: str) -> None:
    """No text beside the screen, and nothing that axe would complain of, in any tab and on the API's page."""

    def check(page) -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()

    with Opened(browser, page_server.url, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        use(page, "transformer")
        page.select_option("#other", "seq2seq")
        ask(page, TEXT)
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        page.locator(".output .token").first.click()
        check(page)
        for name in ("heads", "inside", "steps", "mattered", "save"):
            tab(page, name)
            check(page)
        tab(page, "attention")
        matrix(page, "transformer")
        check(page)
        page.fill("#inputs textarea", "")
        done(page, "blank")
        check(page)
        page.goto(f"{page_server.url}/docs")
        page.wait_for_selector("text=POST /v1/translate")
        page.evaluate("(scheme) => { document.documentElement.dataset.theme = scheme; }", scheme)
        check(page)


# The pictures of the docs: what is opened, and how large.
SHOTS = {
    "page": ((1280, 930), "light", {"tab": "attention"}),
    "page-heads": ((1280, 900), "light", {"tab": "heads"}),
    "page-steps": ((1280, 1100), "light", {"tab": "steps"}),
    "page-mattered": ((1280, 860), "dark", {"tab": "mattered"}),
    "page-narrow": ((360, 960), "light", {"tab": "attention"}),
}


@pytest.mark.skipif(PICTURES is None, reason="pictures of the docs are written where SIGHTLINE_PICTURES names a folder")
@pytest.mark.parametrize("name", SHOTS)
def test_pictures_of_the_docs(name: str, browser, page_server: Server) -> None:
    """`SIGHTLINE_PICTURES=docs/pictures SIGHTLINE_PICTURED=runs/demo-gru:runs/demo-transformer pytest -k pictures`"""
    (width, height), scheme, chosen = SHOTS[name]
    runs = [Path(one) for one in PICTURED.split(":") if one]
    names = [one.name for one in runs] or ["transformer", "seq2seq"]
    names = names if name == "page" else names[-1:] if name == "page-heads" else names[:1]
    kept = {"models": names, "chosen": [chosen, chosen]}
    served = runs or [page_server.models.by_name[one].predictor.run.path for one in names]
    size = {"width": width, "height": height}
    with serving(served) as server, Opened(browser, server.url, viewport=size, color_scheme=scheme) as page:
        page.goto("about:blank")
        page.goto(f"{server.url}/#{json.dumps(kept)}")
        done(page)
        page.screenshot(path=Path(PICTURES or "") / f"{name}.png")
