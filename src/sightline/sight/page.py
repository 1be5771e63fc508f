"""One HTML file that needs nothing else: a reading with every head's attention, or a document with a drawing."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from sightline.errors import SightlineError
from sightline.sight.heads import Site, sites
from sightline.sight.pictures import svg_element
from sightline.sight.reading import Look
from sightline.sight.terminal import full_shade
from sightline.sight.views import attention_view, json_numbers, occlusion_view

MOST = 700_000  # bytes of numbers; what comes first is kept
OCCLUDED = 128  # positions: each takes a pass


def write_page(seen: Look, path: Path, title: str) -> None:
    """Writes a page of everything that was recorded as attention; see `page_text`.

    Raises SightlineError where the file cannot be written.
    """
    _write(path, page_text(seen, title, OCCLUDED))


def page_text(seen: Look, title: str, occluded: int) -> str:
    """A page of everything that was recorded as attention, the means of heads first. It says how many did not fit.

    Args:
        occluded: of no longer inputs it is shown as well what the outputs lose without each position.
    """
    reading = seen.reading
    matrices: list[dict[str, object]] = []
    room = MOST
    ordered = _ordered(seen)
    for site in ordered:
        view = attention_view(seen, site.label)
        one = _matrix(site.label, view.weights, view.rows.tokens, view.columns.tokens)
        room -= len(json.dumps(one))
        if room < 0:
            break
        matrices.append(one)
    about = "Rows are queries, columns are keys."
    if left := len(ordered) - len(matrices):
        about += f" {left:,} of {len(ordered):,} matrices are left out, as a page holds {MOST // 1000} kB of numbers."
    if reading.outputs and len(reading.sides[reading.input_axis]) <= occluded:
        checked = occlusion_view(reading)
        unit = f"{checked.unit} lost" if checked.unit else "lost"
        name = f"{unit} when a position is {checked.occlusion}"
        matrices.append(_matrix(name, checked.losses, checked.outputs, checked.positions, signed=True))
        about += " The last choice shows what the output depends on."
    data = {
        "title": title,
        "about": about,
        "outputs": reading.outputs,
        "log_probabilities": [round(one, 5) for one in seen.log_probabilities],
        "probabilities": reading.unit == "nats",
        "matrices": matrices,
    }
    # "<" is nowhere in the data as such, so no text of a user or a model can end the script
    shown = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    page = (resources.files("sightline") / "sight/page.html").read_text(encoding="utf-8")
    return page.replace("/*DATA*/", shown)


_DOCUMENT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.05rem; margin-top: 2rem; }}
pre {{ font: 13px/1.5 ui-monospace, monospace; overflow-x: auto; }}
figure {{ margin: 1rem 0; background: #fff; padding: .5rem; border-radius: 6px; }}
svg {{ width: 100%; height: auto; }}
</style>
<h1>{title}</h1>
{parts}
</html>
"""


def write_document(path: Path, title: str, parts: Sequence[str], draw: Callable[[Path], None] | None) -> None:
    """Writes parts that are HTML under a title, and after the first of them what `draw` writes as an SVG file.

    Raises SightlineError where the file cannot be written.
    """
    figure = [] if draw is None else [f"<figure>{svg_element(draw)}</figure>"]
    whole = "\n".join([*parts[:1], *figure, *parts[1:]])
    _write(path, _DOCUMENT.format(title=html.escape(title), parts=whole))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SightlineError(f"{path}: cannot be written ({error.strerror})") from None


def _ordered(seen: Look) -> list[Site]:
    """Means over heads, attention to a source and later layers first; then every head."""
    names = [name for name in reversed(seen.names) if name.endswith(".weights")]
    names.sort(key=lambda name: name not in seen.reading.cross_attention_sites)
    heads = [site for name in names for site in sites(seen) if site.name == name and site.head is not None]
    return [*map(Site, names), *heads]


def _matrix(
    name: str, values: np.ndarray, rows: tuple[str, ...], columns: tuple[str, ...], signed: bool = False
) -> dict[str, object]:
    """A matrix as the page's script reads it; `scale` is the value that it shades darkest."""
    return {
        "name": name,
        "rows": rows,
        "columns": columns,
        "values": json_numbers(values, 3),
        "signed": signed,
        "scale": float(np.nanmax(np.abs(values), initial=1e-9)) if signed else full_shade(values),
    }
