"""Reports of evaluations with their details, as one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

from sightline.errors import UsageError
from sightline.sight.pictures import svg_element
from sightline.sight.tables import (
    Table,
    html_figure,
    html_list,
    html_page,
    html_table,
    markdown_table,
    markdown_text,
)
from sightline.tasks.report import Report, details_of
from sightline.train import storage


def write_report(path: Path, title: str, reports: Sequence[Report]) -> None:
    """Writes the reports whole or not at all, in the form that the suffix names.

    Raises UsageError as `require_writable` does, SightlineError where the file system refuses.
    """
    require_writable(path)
    storage.replace_file(path, [WRITERS[path.suffix.lower()](title, reports).encode()])


def require_writable(path: Path) -> None:
    """Raises UsageError where no report can be written to a file of this name."""
    if path.suffix.lower() not in WRITERS:
        raise UsageError(f"--report: {path}: a report is {' or '.join(WRITERS)}")
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise UsageError(f"--report: {path}: {what}; name a file in a folder that is there")


def page(title: str, reports: Sequence[Report]) -> str:
    """The reports as an HTML page."""
    parts = [f"<h1>{escape(title)}</h1>"]
    for report in reports:
        parts += [f"<section><h2>{escape(report.name)}</h2>", f'<p class="notes">{escape(report.lines()[0])}</p>']
        details = details_of(report)
        parts += [f'<p class="caution">{escape(line)}</p>' for one in details for line in one.cautions()]
        parts.append(html_table(_scores(report)))
        for one in details:
            parts += map(html_table, one.tables())
            parts += (html_figure(svg_element(each.draw), each.about) for each in one.pictures())
        parts += [html_list("notes", _signatures(report)), "</section>"]
    return html_page(title, parts)


def markdown(title: str, reports: Sequence[Report]) -> str:
    """The reports as Markdown."""
    parts = [f"# {markdown_text(title)}"]
    for report in reports:
        parts += [f"## {markdown_text(report.name)}", markdown_text(report.lines()[0])]
        details = details_of(report)
        parts += [f"> **{markdown_text(line)}**" for one in details for line in one.cautions()]
        parts += map(markdown_table, [_scores(report), *(table for one in details for table in one.tables())])
        parts += [f"- {markdown_text(one)}" for one in _signatures(report)]
    return "\n\n".join(parts) + "\n"


def _scores(report: Report) -> Table:
    return Table("scores", ("score", "value"), tuple((label, value) for label, value, _ in report.rows()))


def _signatures(report: Report) -> list[str]:
    return [f"{label}: {signature.strip('`')}" for label, _, signature in report.rows() if signature]


WRITERS: Mapping[str, Callable[[str, Sequence[Report]], str]] = {".html": page, ".md": markdown}
