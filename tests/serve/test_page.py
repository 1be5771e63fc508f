"""The served page in a real browser: what is asked and answered with every kind of model, by keyboard, attacked."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline import Translator
from sightline.runs.confidence import calibrate
from sightline.runs.loading import load
from support.browser import STATE, Opened, ask, begin_anew, done, matrix, needs_browser, settled, tab, until, use
from support.serving import TEXT, Server, post, serving

pytestmark = needs_browser
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
SELECTED = """() => {
  const range = document.createRange();
  range.selectNodeContents(document.querySelector('.output .tokens'));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  return getSelection().toString();
}"""


def test_type_and_see_the_translation(page, kinds: dict[str, Path]) -> None:
    use(page, "transformer")
    ask(page, TEXT)
    tokens = page.locator(".output .token")
    tokens.first.wait_for()
    assert re.search(r", \d+\.\d %", tokens.first.get_attribute("aria-label") or "")
    # what is seen is the text itself, largest on the page
    assert page.evaluate(SELECTED).strip() == Translator(kinds["transformer"]).translate(TEXT).text.strip()
    size = "(one) => parseFloat(getComputedStyle(document.querySelector(one)).fontSize)"
    assert page.evaluate(size, ".output") > page.evaluate(size, "h1")
    # without a click, a while after the last key; what was said of the text before is gone
    assert page.locator(".measure").inner_text()
    begin_anew(page)
    page.locator("#inputs textarea").press_sequentially(" alt")
    assert page.locator(".measure").inner_text() == ""
    page.locator("#inputs textarea").press_sequentially(" hund")
    done(page)
    page.wait_for_selector(".word >> text=hund")


def test_copying_gives_words_with_spaces(browser, page_server: Server) -> None:
    with Opened(browser, page_server.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        use(page, "gpt")
        ask(page, "red dog")
        shown = page.evaluate(SELECTED)
        assert "</s>" not in shown
        assert len(shown.split()) > 2
        assert shown.startswith("red dog ")
        page.get_by_role("button", name="Copy", exact=True).click()
        page.wait_for_selector("text=Copied")
        assert page.evaluate("navigator.clipboard.readText()") == shown
        # a selection by mouse does not choose a token
        page.locator(".output .token").first.click()
        assert page.locator(".alternatives").count() == 0


def test_blank_text_says_so_and_offers_an_example(browser, runs: dict[str, Path], tmp_path: Path) -> None:
    """Also of a model that keeps no example, as one that was imported."""
    shutil.copytree(runs["seq2seq"], tmp_path / "bare")
    (tmp_path / "bare" / "example.json").unlink()
    with serving([tmp_path / "bare"]) as server, Opened(browser, server.url) as page:
        done(page)
        usual = page.input_value("#inputs textarea")
        assert usual
        page.fill("#inputs textarea", " ")
        done(page, "blank")
        assert page.locator(".field-told").first.inner_text().startswith("Nothing to read yet")
        assert page.locator(".output .empty").is_visible()
        assert page.locator(".output .tokens").count() == 0
        page.locator(".output .example").first.click()
        done(page)
        assert page.input_value("#inputs textarea") == usual
        assert page.locator(".output .token").count()


def test_every_input_has_an_example(page_server: Server) -> None:
    with page_server.client() as client:
        for model in client.get("/v1/models").json()["data"]:
            for one in model["page"]["inputs"]:
                assert one["example"].strip(), model["id"]


def test_what_is_wrong_is_said_at_its_field(browser, page_server: Server) -> None:
    session = Opened(browser, page_server.url)
    with session as page:
        use(page, "transformer")
        done(page)
        page.get_by_text("Options").click()
        beam = page.get_by_label("Beam width")
        beam.fill("99")
        page.click("#run")
        assert page.locator(".field-told.wrong").inner_text() == "From 1 to 16."
        assert beam.get_attribute("aria-invalid") == "true"
        beam.fill("")
        assert page.locator(".field-told.wrong").count() == 0
        page.fill("#inputs textarea", "haus " * 300)  # one sentence
        done(page, "wrong")
        told = page.locator("#inputs .field-told.wrong")
        assert "over the run's limit" in told.inner_text()
        assert page.locator("#status").inner_text() == ""
        ask(page, TEXT)
        assert page.locator(".wrong").count() == 0
        session.expect("400")


def test_a_long_text_is_shown_sentence_by_sentence(browser, page_server: Server) -> None:
    text = "Ein haus. Rot blau.\n\nAlt hund."
    with Opened(browser, page_server.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        use(page, "transformer")
        ask(page, text)
        with page_server.client() as client:
            (whole,) = post(client, "/v1/translate", model="transformer", text=text)["translations"]
        assert page.locator(".source").all_inner_texts() == [one["source"] for one in whole["sentences"]]
        shown = page.locator(".sentence .tokens").evaluate_all("all => all.map((one) => one.textContent)")
        assert shown == [one["text"] for one in whole["sentences"]]
        page.get_by_role("button", name="Copy", exact=True).click()
        page.wait_for_selector("text=Copied")
        assert page.evaluate("navigator.clipboard.readText()") == whole["text"]
        # what is looked at below is the sentence that is chosen
        page.locator(".source").nth(2).click()
        settled(page)
        assert "hund" in "".join(page.locator(".line .word").all_inner_texts())
        # another way in one sentence leaves the others as they are
        page.locator(".sentence").nth(1).locator(".token").first.click()
        page.locator(".alternatives button:enabled").last.click()
        page.wait_for_selector(".sentence:nth-child(2) .forced")
        settled(page)
        again = page.locator(".sentence .tokens").evaluate_all("all => all.map((one) => one.textContent)")
        assert (again[0], again[2]) == (shown[0], shown[2])
        assert again[1] != shown[1]


def test_alternatives_go_another_way(page) -> None:
    use(page, "gpt")
    page.get_by_text("Options").click()
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
    read = "[...document.querySelectorAll('.word')].map((one) => one.textContent).join('')"
    until(page, f"(begun) => {read}.replace(/\\s/g, '').includes(begun)", begun)
    marked = "".join(page.locator(".output .given.forced").inner_text().split())
    assert begun == f"reddog{marked}"


def test_a_beginning_that_was_chosen_is_marked_and_a_link_keeps_it(browser, page_server: Server) -> None:
    with Opened(browser, page_server.url) as page:
        use(page, "transformer")
        ask(page, TEXT)
        page.locator(".output .token").first.click()
        other = page.locator(".alternatives button:enabled").last
        other.wait_for()
        before = page.locator(".output").inner_text()
        assert page.locator(".output .forced").count() == 0
        other.click()
        until(page, "location.hash.includes('begun')")
        page.wait_for_selector(".output .forced")
        settled(page)
        assert "chosen by you" in (page.locator(".output .forced").first.get_attribute("aria-label") or "")
        written = page.locator(".output").inner_text()
        assert written != before
        address = page.evaluate("location.href")
    with Opened(browser, page_server.url) as page:
        page.goto("about:blank")
        page.goto(address)
        done(page)
        assert page.locator(".output").inner_text() == written
        ask(page, TEXT)  # asked anew, it begins as it likes
        assert "begun" not in page.evaluate("location.hash")
        assert page.locator(".output .forced").count() == 0


def test_two_models_on_the_same_sentence_and_a_link_that_restores_them(browser, page_server: Server) -> None:
    with Opened(browser, page_server.url) as page:
        use(page, "transformer")
        page.select_option("#other", "seq2seq")
        ask(page, TEXT)
        matrix(page, "transformer")
        assert page.locator("#columns > section").count() == 2
        # a word lights up in both
        page.locator("section[aria-label=seq2seq] .word").first.hover()
        page.locator("section[aria-label=transformer]").get_by_label("head", exact=True).select_option("1")
        until(page, "/:1$/.test(document.querySelector('table.grid').ariaLabel)")
        address = page.evaluate("location.href")
    with Opened(browser, page_server.url) as page:
        page.goto("about:blank")
        page.goto(address)
        done(page)
        assert page.locator("#columns > section").count() == 2
        assert page.input_value("#inputs textarea") == TEXT
        until(page, "/:1$/.test(document.querySelector('table.grid').ariaLabel)")
    for broken in ("#%", "#%7B", "#null", "#[]", '#{"models":5,"values":3,"chosen":{"0":1}}', '#{"chosen":[1,null]}'):
        with Opened(browser, page_server.url) as page:
            page.goto("about:blank")
            page.goto(page_server.url + "/" + broken)
            done(page)


def test_a_link_is_followed_in_an_open_page(browser, page_server: Server) -> None:
    with Opened(browser, page_server.url) as page:
        use(page, "transformer")
        ask(page, TEXT)
        address = page.evaluate("location.href")
        begin_anew(page)
        use(page, "gpt")
        done(page)
        begin_anew(page)
        page.evaluate("(address) => { location.href = address; }", address)
        page.wait_for_selector("section[aria-label=transformer]")
        done(page)
        assert page.input_value("#inputs textarea") == TEXT
        page.evaluate("location.hash = encodeURIComponent(JSON.stringify({ models: ['elsewhere', 'gpt'] }))")
        until(page, "document.getElementById('status').textContent.includes('elsewhere, which is not served here')")


def test_a_language_model_writes(page) -> None:
    page.set_viewport_size({"width": 800, "height": 800})
    for model in ("recurrent", "ngram", "gpt"):
        begin_anew(page)
        use(page, model)
        done(page)
        if not page.get_by_label("Tokens", exact=True).is_visible():
            page.get_by_text("Options").click()
        page.get_by_label("Tokens", exact=True).fill("12")
        ask(page, "red dog")
        assert page.locator(".output .given").inner_text() == "red dog"
        assert page.locator(".output .token").count() >= 1
    matrix(page, "gpt")


def test_blanks_labels_spans_and_answers(page) -> None:
    begin_anew(page)
    use(page, "bert")
    ask(page, "a [MASK] sees a dog")
    assert page.locator(".bars .bar").count() == 8
    matrix(page, "bert")
    begin_anew(page)
    use(page, "tagger")
    # places in texts count characters, of which JavaScript takes an emoji for two
    cut = "import('/static/dom.js').then((dom) => dom.characters('\\u{1f600}ein haus', 2, 5))"
    assert page.evaluate(cut) == "in "
    ask(page, "the red dog sees")
    assert page.locator(".output").inner_text()
    for model, texts in {"classifier": ["red dog", "old dog"], "answerer": ["which animal ?", "red dog house"]}.items():
        use(page, model)
        done(page)
        begin_anew(page)
        for place, text in enumerate(texts):
            page.locator("#inputs textarea").nth(place).fill(text)
        page.click("#run")
        done(page)
        matrix(page, model)
        assert page.locator(".output").inner_text()


def test_an_image(page, kinds: dict[str, Path], tmp_path: Path) -> None:
    (pixels,) = load(kinds["vit"]).first_example() or []
    Image.fromarray(np.asarray(pixels)[:, :, 0]).save(tmp_path / "one.png")
    begin_anew(page)
    use(page, "vit")
    done(page)  # it begins with an image of its own
    begin_anew(page)
    page.set_input_files("#inputs input[type=file]", tmp_path / "one.png")
    done(page)
    canvas = page.locator("canvas")
    canvas.wait_for()
    before = canvas.evaluate("(one) => one.toDataURL()")
    page.locator("table.grid td[role=gridcell]").nth(1).hover()
    until(page, "(before) => document.querySelector('canvas').toDataURL() !== before", before)


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
            session.expect("401")  # the browser tells of those itself


def test_by_keyboard_alone(page) -> None:
    use(page, "transformer")
    done(page)
    page.focus("#other")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
    page.keyboard.press("Control+A")
    page.keyboard.type(TEXT)
    begin_anew(page)
    page.keyboard.press("Control+Enter")
    done(page)
    reached, unseen = set(), []
    for _ in range(40):
        page.keyboard.press("Tab")
        name, outlined = page.evaluate(
            "(() => { const one = document.activeElement; const switched = one.matches('.switch input'); "
            "const style = getComputedStyle(switched ? one.nextElementSibling : one); "
            "return [one.ariaLabel || one.textContent || one.value, "
            "one === document.body || style.outlineStyle !== 'none']; })()"
        )
        reached.add(name)
        unseen += [] if outlined else [name]
    assert {"attention", "head", "training checkpoint", "Attention", "Copy", "dark colours", "ribbon"} <= reached
    assert not [name for name in unseen if name], "what has the focus is seen"
    # the tabs: arrow keys turn them
    page.locator("[role=tab][aria-selected=true]").focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.name") == "save"
    assert page.locator("[role=tab][tabindex='0']").count() == 1
    page.keyboard.press("Home")
    matrix(page, "transformer")
    page.locator("table.grid td[role=gridcell]").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    told = page.evaluate("document.activeElement.ariaLabel")
    assert told == page.locator(".told:visible").first.inner_text()
    assert page.locator("table.grid td[tabindex='0']").count() == 1


@pytest.mark.parametrize("first", range(0, len(HOSTILE), 5))
def test_hostile_texts_are_only_text(first: int, browser, page_server: Server) -> None:
    session = Opened(browser, page_server.url)
    with session as page:
        for model, template in (("gpt", "{}"), ("bert", "[MASK] {}")):
            use(page, model)
            for text in HOSTILE[first : first + 5]:
                begin_anew(page)
                page.evaluate(
                    "(text) => { const one = document.querySelector('#inputs textarea'); one.value = text; "
                    "one.dispatchEvent(new Event('input')); }",
                    template.format(text),
                )
                page.click("#run")
                until(page, f"['done', 'wrong', 'blank'].includes({STATE})")
                settled(page)
                session.expect("422|400")  # what is too long is refused
                assert page.evaluate("window.hit") is None, text
                markup = page.locator("#columns :is(script, iframe, img, style, b)")
                assert markup.count() == 0, text
                assert page.locator("#run").is_visible()
        # the other tabs draw what was read as well
        for name in ("heads", "inside", "mattered"):
            if page.locator(f"[role=tab][data-name={name}]").is_visible():
                tab(page, name)
        session.expect("422|400")
        assert page.evaluate("window.hit") is None


def test_confidence_is_shown_where_it_was_fitted(browser, calibratable) -> None:
    """That of the least sure sentence, and what it is the probability of; in the reader's language."""
    run = calibratable("transformer")
    fitted = calibrate(run)
    text = "늙은 개가 집도 그린다. 개가 간다."
    sure = Translator(run).translate(text, confidence=True).confidence
    for locale, name in (("en", "confidence"), ("ko", "신뢰도")):
        with serving([run]) as server, Opened(browser, server.url, locale=locale) as page:
            ask(page, text)
            shown = page.locator(".measure")
            shown.get_by_text(name, exact=True).wait_for()
            assert number(fitted.acceptable) in (shown.get_by_text(name, exact=True).get_attribute("title") or "")
            assert float(shown.locator(".figure").first.inner_text()) == pytest.approx(sure, abs=0.006)


def test_confidence_of_what_goes_on(browser, calibratable) -> None:
    run = calibratable("gpt")
    fitted = calibrate(run)
    with serving([run]) as server, Opened(browser, server.url) as page:
        ask(page, "the old dog")
        name = page.locator(".measure").get_by_text("confidence", exact=True)
        name.wait_for()
        assert number(fitted.acceptable) in (name.get_attribute("title") or "")


def number(value: float) -> str:
    """As legends of the page write it."""
    return f"{value:.{1 if value >= 10 else 2}f}"
