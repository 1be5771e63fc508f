"""A server with every kind of model that the tests of the page share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright import sync_api

from support.browser import Opened
from support.serving import Server, serving_all


@pytest.fixture(scope="session")
def page_server(kinds: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving_all(kinds, tmp_path_factory.mktemp("page")) as server:
        yield server


@pytest.fixture
def page(browser: sync_api.Browser, page_server: Server) -> Iterator[sync_api.Page]:
    """The page in English, light and wide."""
    with Opened(browser, page_server.url) as page:
        yield page
