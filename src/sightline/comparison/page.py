"""A comparison as one HTML file that needs nothing else and prints well."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from sightline.comparison import charts, words
from sightline.comparison.comparison import Comparison, Example, SetTable
from sightline.sight.tables import html_figure, html_list, html_page, html_table
from sightline.train import storage

LOOKED_AT = 2  # examples of each set whose attention is shown


def write_page(comparison: Comparison, path: Path) -> None:
    """Writes the page whole or not at all. Raises SightlineError where it cannot be written."""
    storage.replace_file(path, [page(comparison).encode()])


def page(comparison: Comparison) -> str:
    """The page as text."""
    parts = [f"<h1>{' · '.join(map(escape, comparison.names))}</h1>"]
    parts += [f'<p class="caution">compared although {escape(one)}</p>' for one in comparison.unlike]
    for one in comparison.sets:
        parts += _set(comparison, one)
    parts += ["<section>", html_table(words.costs(comparison))]
    if curves := charts.learning_curves(comparison):
        parts += ["<h3>while they were trained</h3>", html_figure(curves, "the figure of the validation over training")]
    parts += ["</section>", html_list("notes", words.notes(comparison))]
    return html_page(f"{' · '.join(comparison.names)}: compared", parts)


def _set(comparison: Comparison, one: SetTable) -> list[str]:
    first = one.scores[0]
    parts = [f"<section><h2>{escape(one.name)}</h2>", html_list("verdicts", words.verdicts(comparison, first))]
    parts += [html_table(words.quality(comparison, one, score)) for score in one.scores]
    parts.append(
        html_figure(charts.differences(comparison, first), f"differences in {first.metric.title} with intervals")
    )
    if lengths := charts.quality_by_length(comparison, one):
        parts.append(html_table(words.by_length(comparison, one)))
        parts.append(html_figure(lengths, f"{first.metric.title} by the length of the input"))
    if one.examples:
        parts.append(f"<h3>the {one.unit} on which they differ most</h3>")
        for number, example in enumerate(one.examples):
            looked = charts.attention_pictures(comparison, example.input) if number < LOOKED_AT else ()
            parts.append(_example(comparison, example, looked))
    return [*parts, "</section>"]


def _example(comparison: Comparison, example: Example, looked: Sequence[str]) -> str:
    lines = [("input", example.input), *([("reference", example.reference)] if example.reference else [])]
    rows = [f"<dt>{name}</dt><dd dir='auto'>{escape(text)}</dd>" for name, text in lines]
    for name, output, score in zip(comparison.names, example.outputs, example.scores, strict=True):
        told = f'{escape(output)} <span class="score">{score:.1f}</span>'
        rows.append(f"<dt>{escape(name)}</dt><dd dir='auto'>{told}</dd>")
    pictures = [
        f"<div><p>{escape(name)}</p>{html_figure(svg, f'where {name} looked')}</div>"
        for name, svg in zip(comparison.names, looked, strict=False)
        if svg
    ]
    shown = f"<details><summary>where they looked</summary><div class='beside'>{''.join(pictures)}</div></details>"
    return f"<article><dl>{''.join(rows)}</dl>{shown if pictures else ''}</article>"
