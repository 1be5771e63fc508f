"""The served page in a real browser: opening it, waiting for it, asking it."""

from __future__ import annotations

import os
import re
import shutil
import time

import pytest
from playwright import sync_api

CHROMIUM = os.environ.get("SIGHTLINE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium: install Debian's, or name another in SIGHTLINE_CHROMIUM"
)
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
STATE = "document.getElementById('columns').dataset.state"


class Opened:
    """A page that must not say anything on its console, nor ask anything of another host."""

    def __init__(self, browser: sync_api.Browser, url: str, **more) -> None:
        self.context = browser.new_context(accept_downloads=True, **{"reduced_motion": "reduce", **more})
        self.page = self.context.new_page()
        self.url, self.said = url, []
        self.page.set_default_timeout(30_000)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda asked: self.elsewhere(asked.url))
        self.page.on(
            "response", lambda answer: answer.status < 400 or self.said.append(f"{answer.status} {answer.url}")
        )

    def elsewhere(self, address: str) -> None:
        if not address.startswith((self.url, "data:", "blob:")):
            self.said.append(f"asked {address}")

    def expect(self, pattern: str) -> None:
        """Forgets what was said that matches, as refusals that a test provokes."""
        self.said = [one for one in self.said if not re.search(pattern, one)]

    def __enter__(self) -> sync_api.Page:
        self.page.goto(self.url)
        return self.page

    def __exit__(self, kind, *_) -> None:
        self.context.close()
        assert kind is not None or self.said == []


def until(page: sync_api.Page, expression: str, arg: object = None, seconds: float = 60.0) -> None:
    """Waits for something to be true in the page; Playwright's own way would need `eval`, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def begin_anew(page: sync_api.Page) -> None:
    """Forgets that the page is done, before something is done on it."""
    page.evaluate(f"{STATE} = ''")


def done(page: sync_api.Page, state: str = "done") -> None:
    """Waits for the answers, and for what is asked of the tab that is open."""
    until(page, f"(state) => {STATE} === state", state)
    settled(page)


def settled(page: sync_api.Page) -> None:
    until(page, "!document.querySelector('[aria-busy=true]')")


def use(page: sync_api.Page, model: str) -> None:
    page.select_option("#model", model)
    page.wait_for_selector(f"section[aria-label='{model}']")


def ask(page: sync_api.Page, text: str) -> None:
    page.wait_for_timeout(50)
    begin_anew(page)
    page.fill("#inputs textarea", text)
    page.click("#run")
    done(page)


def tab(page: sync_api.Page, name: str) -> sync_api.Locator:
    """Opens a tab of the first model; its panel."""
    page.locator(f"[role=tab][data-name={name}]").first.click()
    settled(page)
    return page.locator("[role=tabpanel]:visible").first


def matrix(page: sync_api.Page, model: str) -> sync_api.Locator:
    """The attention of a model as a matrix."""
    section = page.locator(f"section[aria-label='{model}']")
    grid = section.locator("[role=tabpanel]:visible table.grid").first
    if not grid.count():
        section.get_by_role("radio", name="Matrix").check(force=True)
    grid.wait_for()
    return grid
