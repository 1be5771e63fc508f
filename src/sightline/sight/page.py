"""A reading as one HTML file that needs nothing else: what the model says, every head's attention, occlusion."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from sightline.errors import SightlineError
from sightline.sight.heads import Site, sites, weights_of
from sightline.sight.reading import Look, occlusion

MOST = 700_000  # bytes of numbers; what comes first is kept
OCCLUDED = 128  # positions: each takes a pass


def write_page(seen: Look, path: Path, title: str, *, probabilities: bool = True) -> None:
    """Writes a page of everything that was recorded as attention, the means of heads first; how many did not fit it
    says itself.

    Args:
        probabilities: whether the outputs are log-probabilities.

    Raises SightlineError where the file cannot be written.
    """
    reading = seen.reading
    matrices: list[dict[str, Any]] = []
    room = MOST
    ordered = _ordered(seen)
    for site in ordered:
        rows, columns = (reading.sides[axis].tokens for axis in seen.axes(site.name)[-2:])
        one = _matrix(site.label, weights_of(seen, site), rows, columns)
        room -= len(json.dumps(one))
        if room < 0:
            break
        matrices.append(one)
    about = "Rows are who looks, columns what is looked at."
    if left := len(ordered) - len(matrices):
        about += f" {left:,} of {len(ordered):,} matrices are left out, as a page holds {MOST // 1000} kB of numbers."
    read = reading.sides[reading.input_axis]
    if reading.outputs and len(read) <= OCCLUDED:
        name = f"nats lost when a position is {reading.occlusion}"
        matrices.append(_matrix(name, occlusion(reading), reading.outputs, read.tokens, signed=True))
        about += " The last choice shows what the output really hangs on."
    data = {
        "title": title,
        "about": about,
        "outputs": reading.outputs,
        "log_probabilities": [round(one, 5) for one in seen.log_probabilities],
        "probabilities": probabilities,
        "matrices": matrices,
    }
    # "<" is nowhere in the data as such, so no text of a user or a model can end the script
    shown = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    page = (resources.files("sightline") / "sight/page.html").read_text(encoding="utf-8")
    try:
        path.write_text(page.replace("/*DATA*/", shown), encoding="utf-8")
    except OSError as error:
        raise SightlineError(f"{path}: cannot be written ({error.strerror})") from None


def _ordered(seen: Look) -> list[Site]:
    """Means over heads, attention to a source and later layers first; then every head."""
    names = [name for name in reversed(seen.names) if name.endswith(".weights")]
    names.sort(key=lambda name: not ("cross" in name or name.startswith("decoder.attention")))
    heads = [site for name in names for site in sites(seen) if site.name == name and site.head is not None]
    return [*map(Site, names), *heads]


def _matrix(name: str, values: np.ndarray, rows: Any, columns: Any, signed: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "rows": rows,
        "columns": columns,
        # JSON has no NaN, which is where a position was not taken out
        "values": np.where(np.isnan(values), np.array(None), np.round(values.astype(float), 3)).tolist(),
        "signed": signed,
    }
