"""Set-up of every test: threads, a cache of its own, and the trained runs of `support/runs.py`."""

from __future__ import annotations

import pytest
import torch

pytest_plugins = ["support.runs"]

# Small tensors: a second thread only waits, most of all on a machine that does other things too.
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _short_probes() -> None:
    """A dry run times one update: tests do not ask how fast this machine is."""
    from sightline.train import probe

    probe.SECONDS = 0.0


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    import os

    os.environ["SIGHTLINE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
