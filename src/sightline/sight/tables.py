"""Tables of text and how they are written: Markdown, HTML, and the page of a report that needs no other file, with its
figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources


@dataclass(frozen=True)
class Table:
    """A table: its title, the names of its columns, and its cells; all columns but the first are numbers.

    Attributes:
        texts: the places of columns of prose, which are wrapped and stand at the left.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: tuple[int, ...] = ()

    def is_left(self, place: int) -> bool:
        """Whether a column stands at the left."""
        return place == 0 or place in self.texts


def markdown_table(table: Table) -> str:
    """A table as Markdown, its title above it."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rule = line("---" if table.is_left(place) else "---:" for place in range(len(table.columns)))
    rows = [line(map(markdown_text, row)) for row in (table.columns, *table.rows)]
    return "\n".join([f"**{markdown_text(table.title)}**", "", rows[0], rule, *rows[1:]])


def markdown_text(text: str) -> str:
    """Text of somebody else's as one line that ends no cell and begins no markup."""
    kept = " ".join(text.split())
    for letter in "\\`*_|<>[]#":
        kept = kept.replace(letter, f"\\{letter}")
    return kept


def html_table(table: Table) -> str:
    """A table as HTML that scrolls by itself where it is wider than the page."""
    kinds = [' class="text" dir="auto"' if place in table.texts else "" for place in range(len(table.columns))]
    head = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(table.columns, kinds, strict=True)
    )
    rows = [
        f'<tr><th scope="row"{kinds[0]}>{escape(first)}</th>'
        + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(rest, kinds[1:], strict=True))
        + "</tr>"
        for first, *rest in table.rows
    ]
    body = "".join(rows)
    caption = f"<caption>{escape(table.title)}</caption>"
    return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def html_figure(svg: str, about: str) -> str:
    """A drawing as an element of SVG, which who cannot see it is told `about`."""
    return f'<figure role="img" aria-label="{escape(about)}">{svg}</figure>'


def html_list(kind: str, lines: Sequence[str]) -> str:
    """Lines as a list of a class of the page's."""
    return f'<ul class="{kind}">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def html_page(title: str, parts: Iterable[str]) -> str:
    """A page of these parts, light or dark as the reader has it, with no scripts."""
    frame = (resources.files("sightline") / "sight/report.html").read_text(encoding="utf-8")
    return frame.replace("<!--TITLE-->", escape(title)).replace("<!--CONTENT-->", "\n".join(parts))
