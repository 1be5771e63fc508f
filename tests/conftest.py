"""Set-up of every test: threads, a cache of its own, and the trained runs of `support/runs.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest_plugins = ["support.runs"]

# Small tensors: a second thread only waits, most of all on a machine that does other things too.
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _short_probes() -> None:
    """A dry run times one update: tests do not ask how fast this machine is."""
    from sightline.train import probe

    probe.SECONDS = 0.0


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests of a process, which can have one of Playwright's loops alone."""
    from playwright import sync_api

    from support.browser import ARGUMENTS, CHROMIUM

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    import os

    os.environ["SIGHTLINE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
