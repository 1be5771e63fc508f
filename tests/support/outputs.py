"""A browser that shows what notebooks do."""

from __future__ import annotations

from playwright import sync_api

from support.browser import needs_browser

__all__ = ["Opened", "needs_browser"]


class Opened:
    """A page with outputs that must say nothing on its console, and ask nothing of any host."""

    def __init__(self, browser: sync_api.Browser, parts: list[str], **more) -> None:
        self.context = browser.new_context(**more)
        self.page, self.parts, self.said = self.context.new_page(), parts, []
        self.page.set_default_timeout(10_000)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda asked: asked.url.startswith(("data:", "about:")) or self.said.append(asked.url))

    def __enter__(self) -> sync_api.Page:
        cells = "".join(f'<section id="cell-{number}">{part}</section>' for number, part in enumerate(self.parts))
        self.page.set_content(f"<!doctype html><meta charset=utf-8><body>{cells}")
        return self.page

    def __exit__(self, kind, *_) -> None:
        self.context.close()
        assert kind is not None or self.said == []
