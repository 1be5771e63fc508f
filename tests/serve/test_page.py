"""The served page in a real browser: every kind of model, every control, by keyboard, narrow, dark, attacked."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python import sync_playwright as axe
from PIL import Image
from playwright import sync_api

from sightline.runs.loading import load
from support.commands import sightline
from support.serving import Server, serving

CHROMIUM = os.environ.get("SIGHTLINE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium: install Debian's, or name another in SIGHTLINE_CHROMIUM"
)
TEXT = "ein haus rot blau"
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
HOSTILE = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror=window.hit=1>",
    "<svg/onload=window.hit=1>",
    "</textarea><script>window.hit=1</script>",
    '"><b onmouseover=window.hit=1>x</b>',
    "' autofocus onfocus=window.hit=1 x='",
    "javascript:window.hit=1",
    "{{constructor.constructor('window.hit=1')()}}",
    "${window.hit=1}",
    "<style>body{display:none}</style>",
    "<iframe srcdoc='<script>parent.hit=1</script>'>",
    "<a href='javascript:window.hit=1'>x</a>",
    "&lt;script&gt;window.hit=1&lt;/script&gt;",
    "\u202eevil\u202c \u2066rtl\u2069",
    "\u202e\u202e\u202e<b>x</b>",
    "\u0000\u0001\u0007\u001b[31m",
    "\u200b\u200d\ufeff\U000e0041",
    "Z̷̢̛̼̎a̷̡̛l̴̢͝g̷̨̛o̵͜͝",
    "שלום עולם مرحبا بالعالم 나는 학생입니다",
    "x" * 100_000,
]


@pytest.fixture(scope="module")
def served(kinds: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    for name, path in kinds.items():
        (folder / name).symlink_to(path)
    with serving([folder / name for name in kinds]) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: sync_api.Browser, served: Server) -> Iterator[sync_api.Page]:
    """A page that must not say anything on its console, nor ask anything of another host."""
    with Opened(browser, served.url) as page:
        yield page


class Opened:
    def __init__(self, browser: sync_api.Browser, url: str, **more) -> None:
        self.context = browser.new_context(accept_downloads=True, **more)
        self.page = self.context.new_page()
        self.url, self.said = url, []
        self.page.set_default_timeout(15_000)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda asked: self.elsewhere(asked.url))
        self.page.on(
            "response", lambda answer: answer.status < 400 or self.said.append(f"{answer.status} {answer.url}")
        )

    def elsewhere(self, address: str) -> None:
        if not address.startswith((self.url, "data:", "blob:")):
            self.said.append(f"asked {address}")

    def __enter__(self) -> sync_api.Page:
        self.page.goto(self.url)
        return self.page

    def __exit__(self, kind, *_) -> None:
        self.context.close()
        assert kind is not None or self.said == []


def until(page: sync_api.Page, expression: str, arg: object = None, seconds: float = 15.0) -> None:
    """Waits for something to be true in the page; Playwright's own way would need `eval`, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def done(page: sync_api.Page) -> None:
    until(page, "/^done/.test(document.getElementById('status').textContent)")


def use(page: sync_api.Page, model: str) -> None:
    page.select_option("#model", model)
    page.wait_for_selector(f"section[aria-label='{model}']")


def ask(page: sync_api.Page, text: str) -> None:
    page.wait_for_timeout(50)
    page.evaluate("document.getElementById('status').textContent = ''")
    page.fill("#inputs textarea", text)
    page.click("#run")
    done(page)


def looked(page: sync_api.Page, model: str) -> sync_api.Locator:
    grid = page.locator(f"section[aria-label='{model}'] table.grid").first
    grid.wait_for()
    return grid


def test_type_and_see_the_translation(page: sync_api.Page) -> None:
    use(page, "transformer")
    ask(page, TEXT)
    tokens = page.locator(".output .token")
    tokens.first.wait_for()
    assert re.search(r", \d+\.\d %$", tokens.first.get_attribute("aria-label") or "")
    # without a click, a while after the last key
    page.evaluate("document.getElementById('status').textContent = ''")
    page.locator("#inputs textarea").press_sequentially(" alt hund")
    done(page)
    page.wait_for_selector(".line .token >> text=hund")


def test_a_word_shows_where_it_looked(page: sync_api.Page) -> None:
    use(page, "transformer")
    ask(page, TEXT)
    looked(page, "transformer")
    page.locator(".output .token").first.hover()
    shades = page.locator(".line .token").evaluate_all("all => all.map((one) => one.style.background)")
    assert len(shades) == 5
    assert len(set(shades)) > 1
    # one row of the matrix tells its numbers
    page.locator("table.grid td[role=gridcell]").nth(1).hover()
    assert re.search(r"← .+: -?\d\.\d{3}$", page.locator(".told").inner_text())


def test_alternatives_go_another_way(page: sync_api.Page) -> None:
    use(page, "gpt")
    page.get_by_label("Tokens", exact=True).fill("8")
    ask(page, "red dog")
    tokens = page.locator(".output .token")
    other = page.locator(".alternatives button:enabled", has_text=re.compile(r"[a-z]{2}"))
    number = 0
    while not other.count():
        tokens.nth(number).click()
        number += 1
    before = "".join(tokens.nth(place).inner_text() for place in range(number - 1))
    chosen = other.last.inner_text().split()[0]
    other.last.click()
    # what was chosen is read as a part of the text, and what is written goes on from it
    begun = "".join(f"reddog{before}{chosen}".split())
    read = "[...document.querySelectorAll('.line .token')].map((one) => one.textContent).join('')"
    until(page, f"(begun) => {read}.replace(/\\s/g, '').includes(begun)", begun)


def test_heads_sites_and_what_mattered(page: sync_api.Page) -> None:
    use(page, "transformer")
    ask(page, TEXT)
    grid = looked(page, "transformer")
    section = page.locator("section[aria-label=transformer]")
    whole = grid.inner_html()
    section.get_by_label("head", exact=True).select_option("1")
    until(page, "(before) => document.querySelector('table.grid').innerHTML !== before", whole)
    section.get_by_label("attention", exact=True).select_option("encoder.0.self_attention")
    until(page, "document.querySelector('table.grid').ariaLabel.includes('encoder.0.self_attention')")
    section.get_by_text("Check what mattered").click()
    page.wait_for_selector("text=How many nats each output loses")
    section.get_by_text("Compare heads").click()
    page.wait_for_selector("table.heads")
    page.locator("table.heads button").nth(3).click()
    until(page, "/:1$/.test(document.querySelector('table.grid').ariaLabel)")


def test_two_models_on_the_same_sentence_and_a_link_that_restores_them(browser, served: Server) -> None:
    with Opened(browser, served.url) as page:
        use(page, "transformer")
        page.select_option("#other", "seq2seq")
        ask(page, TEXT)
        looked(page, "transformer")
        looked(page, "seq2seq")
        assert page.locator("#columns section").count() == 2
        page.locator("section[aria-label=transformer]").get_by_label("head", exact=True).select_option("1")
        until(page, "/:1$/.test(document.querySelector('table.grid').ariaLabel)")
        address = page.evaluate("location.href")
    with Opened(browser, served.url) as page:
        page.goto("about:blank")
        page.goto(address)
        done(page)
        assert page.locator("#columns section").count() == 2
        assert page.input_value("#inputs textarea") == TEXT
        until(page, "/:1$/.test(document.querySelector('table.grid').ariaLabel)")
    for broken in ("#%", "#%7B", "#null", "#[]", '#{"models":5,"values":3,"chosen":{"0":1}}', '#{"chosen":[1,null]}'):
        with Opened(browser, served.url) as page:
            page.goto("about:blank")
            page.goto(served.url + "/" + broken)
            done(page)


def test_rows_of_the_source_are_no_outputs(page: sync_api.Page) -> None:
    """What the encoder looks at has no row for a token that is written."""
    use(page, "transformer")
    ask(page, TEXT)
    looked(page, "transformer")
    shaded = "(one) => one.style.background && !one.style.background.endsWith(' 0.000)')"
    lit = f"[...document.querySelectorAll('.line .token')].filter({shaded}).length"
    page.locator(".output .token").first.hover()
    assert page.evaluate(lit) > 0
    page.locator("section[aria-label=transformer]").get_by_label("attention", exact=True).select_option(
        "encoder.0.self_attention"
    )
    until(page, "document.querySelector('table.grid').ariaLabel.includes('encoder.0.self_attention')")
    page.locator(".output .token").nth(1).hover()
    assert page.evaluate(lit) == 0
    page.locator("table.grid td[role=gridcell]").nth(1).hover()
    assert page.locator(".output .looked-from").count() == 0


def test_a_link_is_followed_in_an_open_page(browser, served: Server) -> None:
    with Opened(browser, served.url) as page:
        use(page, "transformer")
        ask(page, TEXT)
        address = page.evaluate("location.href")
        use(page, "gpt")
        done(page)
        page.evaluate("(address) => { location.href = address; }", address)
        page.wait_for_selector("section[aria-label=transformer]")
        done(page)
        assert page.input_value("#inputs textarea") == TEXT
        page.evaluate("location.hash = encodeURIComponent(JSON.stringify({ models: ['elsewhere', 'gpt'] }))")
        until(page, "document.getElementById('status').textContent.includes('elsewhere, which is not served here')")


def test_a_link_keeps_what_was_chosen_to_begin_with(browser, served: Server) -> None:
    with Opened(browser, served.url) as page:
        use(page, "transformer")
        ask(page, TEXT)
        page.locator(".output .token").first.click()
        other = page.locator(".alternatives button:enabled").last
        other.wait_for()
        before = page.locator(".output").inner_text()
        other.click()
        page.wait_for_selector(".alternatives:empty", state="attached")
        until(page, "location.hash.includes('begun')")
        written = page.locator(".output").inner_text()
        assert written != before
        address = page.evaluate("location.href")
    with Opened(browser, served.url) as page:
        page.goto("about:blank")
        page.goto(address)
        done(page)
        assert page.locator(".output").inner_text() == written
        ask(page, TEXT)  # asked anew, it begins as it likes
        assert "begun" not in page.evaluate("location.hash")


def test_a_slider_over_checkpoints(page: sync_api.Page) -> None:
    use(page, "transformer")
    ask(page, TEXT)
    before = looked(page, "transformer").inner_html()
    slider = page.get_by_label("training checkpoint")
    slider.focus()
    slider.press("Home")
    page.wait_for_selector("text=after 2 updates")
    until(page, "(before) => document.querySelector('table.grid').innerHTML !== before", before)
    slider.press("End")
    page.wait_for_selector("text=as trained")
    until(page, "(before) => document.querySelector('table.grid').innerHTML === before", before)


def test_what_is_shown_can_be_kept(page: sync_api.Page, tmp_path: Path) -> None:
    use(page, "transformer")
    ask(page, TEXT)
    looked(page, "transformer")
    found = {}
    for kind in ("SVG", "PNG", "JSON", "HTML"):
        with page.expect_download() as waiting:
            page.get_by_label(f"save as {kind}").click()
        found[kind] = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(found[kind])
    assert "haus" in found["SVG"].read_text(encoding="utf-8")
    with Image.open(found["PNG"]) as picture:
        assert picture.width > 200
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 3
    assert json.loads(found["JSON"].read_text(encoding="utf-8"))["weights"]
    html = found["HTML"].read_text(encoding="utf-8")
    assert "<svg" in html
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert len(html) < 1_000_000


def test_a_language_model_writes(page: sync_api.Page) -> None:
    for model in ("gpt", "recurrent", "ngram"):
        use(page, model)
        page.get_by_label("Tokens", exact=True).fill("12")
        ask(page, "red dog")
        assert page.locator(".output .token").count() >= 1
    use(page, "gpt")
    ask(page, "red dog")
    looked(page, "gpt")
    page.locator(".output .token").nth(1).click()
    page.evaluate("document.getElementById('status').textContent = ''")
    page.locator(".alternatives button:enabled").first.click()
    page.wait_for_selector(".alternatives:empty", state="attached")


def test_blanks_labels_spans_and_answers(page: sync_api.Page) -> None:
    use(page, "bert")
    ask(page, "a [MASK] sees a dog")
    assert page.locator(".bars .bar").count() == 8
    looked(page, "bert")
    use(page, "tagger")
    # places in texts count characters, of which JavaScript takes an emoji for two
    cut = "import('/static/dom.js').then((dom) => dom.characters('\\u{1f600}ein haus', 2, 5))"
    assert page.evaluate(cut) == "in "
    ask(page, "the red dog sees")
    assert page.locator(".output").inner_text()
    for model, texts in {"classifier": ["red dog", "old dog"], "answerer": ["which animal ?", "red dog house"]}.items():
        use(page, model)
        for place, text in enumerate(texts):
            page.locator("#inputs textarea").nth(place).fill(text)
        page.evaluate("document.getElementById('status').textContent = ''")
        page.click("#run")
        done(page)
        looked(page, model)
        assert page.locator(".output").inner_text()


def test_an_image(page: sync_api.Page, kinds: dict[str, Path], tmp_path: Path) -> None:
    (pixels,) = load(kinds["vit"]).first_example() or []
    Image.fromarray(np.asarray(pixels)[:, :, 0]).save(tmp_path / "one.png")
    use(page, "vit")
    page.set_input_files("#inputs input[type=file]", tmp_path / "one.png")
    done(page)
    looked(page, "vit")
    canvas = page.locator("canvas")
    canvas.wait_for()
    before = canvas.evaluate("(one) => one.toDataURL()")
    page.locator("table.grid td[role=gridcell]").nth(1).hover()
    until(page, "(before) => document.querySelector('canvas').toDataURL() !== before", before)


def test_a_fixed_context_says_so(browser, config_file: Path, tmp_path: Path) -> None:
    keys = ["model.kind=seq2seq", "model.width=16", "model.embedding_width=16", "model.attention=none"]
    assert sightline("train", config_file, "--run", tmp_path / "fixed", *keys) == 0
    with serving([tmp_path / "fixed"]) as server, Opened(browser, server.url) as page:
        done(page)
        page.wait_for_selector("text=one fixed vector, so there is no attention to see")


def test_a_token_is_asked_for(browser, kinds: dict[str, Path]) -> None:
    with serving([kinds["gpt"]], token="correct-horse") as server:
        session = Opened(browser, server.url)
        with session as page:
            page.fill("#token", "wrong-horse")
            page.press("#token", "Enter")
            page.wait_for_timeout(300)
            page.fill("#token", "correct-horse")
            page.press("#token", "Enter")
            done(page)
            session.said = [one for one in session.said if "401" not in one]  # the browser tells of those itself


def test_by_keyboard_alone(page: sync_api.Page) -> None:
    use(page, "transformer")
    page.focus("#model")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
    page.keyboard.press("Control+A")
    page.keyboard.type(TEXT)
    page.evaluate("document.getElementById('status').textContent = ''")
    page.keyboard.press("Control+Enter")
    done(page)
    looked(page, "transformer")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent"))
    assert {"attention", "head", "training checkpoint", "save as SVG", "Check what mattered"} <= reached
    page.locator("table.grid td[role=gridcell]").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    told = page.evaluate("document.activeElement.ariaLabel")
    assert told == page.locator(".told").inner_text()
    assert page.locator("table.grid td[tabindex='0']").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_narrow_dark_and_read_aloud(browser, served: Server, scheme: str, width: int) -> None:
    """No text beside the screen, and nothing that axe would complain of, on the page and the API's page."""
    with Opened(browser, served.url, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        use(page, "transformer")
        page.select_option("#other", "seq2seq")
        ask(page, TEXT)
        looked(page, "transformer")
        looked(page, "seq2seq")
        page.locator(".output .token").first.click()
        page.locator("section[aria-label=transformer]").get_by_text("Compare heads").click()
        page.wait_for_selector("table.heads")
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        for _ in range(2):
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            found = axe.Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            page.goto(f"{served.url}/docs")
            page.wait_for_selector("text=POST /v1/translate")
            page.evaluate("(scheme) => { document.documentElement.dataset.theme = scheme; }", scheme)


def test_the_theme_is_kept(page: sync_api.Page) -> None:
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    until(page, "document.documentElement.dataset.theme === 'dark'")


@pytest.mark.parametrize("first", range(0, len(HOSTILE), 5))
def test_hostile_texts_are_only_text(first: int, browser, served: Server) -> None:
    session = Opened(browser, served.url)
    with session as page:
        for model, template in (("gpt", "{}"), ("bert", "[MASK] {}")):
            use(page, model)
            for text in HOSTILE[first : first + 5]:
                page.evaluate("document.getElementById('status').textContent = ''")
                page.evaluate(
                    "(text) => { const one = document.querySelector('#inputs textarea'); one.value = text; "
                    "one.dispatchEvent(new Event('input')); }",
                    template.format(text),
                )
                page.click("#run")
                until(page, "!['', '…'].includes(document.getElementById('status').textContent)")
                page.wait_for_timeout(100)
                # what is too long is refused
                session.said = [one for one in session.said if not re.search("422|400", one)]
                assert page.evaluate("window.hit") is None, text
                markup = page.locator("#columns :is(script, iframe, img, style, b)")
                assert markup.count() == 0, text
                assert page.locator("#run").is_visible()
