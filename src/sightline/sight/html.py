"""What a notebook shows of a result: one piece of HTML with its own script that needs nothing else, as often as one
likes in a page; where scripts are off, a table or picture of the same."""

from __future__ import annotations

import base64
import json
import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from typing import Protocol

import numpy as np

from sightline.predict.reading import Side
from sightline.sight.curves import BLUE, RED, Curve
from sightline.sight.pictures import svg_text
from sightline.sight.terminal import full_shade
from sightline.sight.views import json_numbers
from sightline.special_tokens import EOS

MOST_NUMBERS = 60_000  # of all matrices of one output; beyond, the mean is shown alone
MOST_ROWS = 200  # of a table


class Weights(Protocol):
    """Attention of several sites (sites, T, S) between two sides."""

    @property
    def weights(self) -> np.ndarray: ...
    @property
    def source(self) -> Side: ...
    @property
    def target(self) -> Side: ...
    def mean(self) -> np.ndarray: ...


class Translated(Protocol):
    """A text, its translation, and how sure the model is of each token."""

    @property
    def source(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def tokens(self) -> Sequence[str]: ...
    @property
    def token_log_probabilities(self) -> Sequence[float]: ...
    @property
    def alternatives(self) -> Sequence[Translated]: ...


class Scores(Protocol):
    """What was measured on one set; see `sightline.tasks.report.Report`."""

    @property
    def name(self) -> str: ...
    def rows(self) -> Sequence[tuple[str, str, str]]: ...


@dataclass(frozen=True)
class Matrix:
    """One of the matrices over the same rows and columns that an output can show."""

    name: str
    values: np.ndarray
    scale: float  # the value that is shaded darkest

    def data(self) -> dict[str, object]:
        return {"name": self.name, "values": json_numbers(self.values, 3), "scale": self.scale}


def translation(one: Translated, looked: Weights | None) -> str:
    """Source and translation as tokens: shaded by how sure the model is, and by where it looked while one is pointed
    at; the table of the same where scripts are off."""
    sure = [math.exp(min(0.0, value)) for value in one.token_log_probabilities]
    # the end of a translation is a token, too, unless the length limit ended it
    names = [*one.tokens, EOS][: len(sure)]
    source = [] if looked is None else looked.source.tokens
    read = "".join(_token(name, f'data-column="{at}"') for at, name in enumerate(source))
    body = [
        _line("source", read or _text(one.source)),
        _line("target", "".join(map(_said, range(len(names)), names, sure)) or _text(one.text)),
        f'<p class="soft">{_scale(1.0)} how sure the model is of a token, and how much it looked at one</p>',
        '<p class="told soft live" aria-live="polite">Point at a token of the target.</p>',
    ]
    data: dict[str, object] = {}
    if looked is not None:
        mean = looked.mean()[: len(names)]
        data = {"matrices": [Matrix("mean", mean, 1.0).data()], "columns": source}
        best = [_strongest(weights, source) for weights in mean]
        rows = zip(names, [f"{100 * value:.0f} %" for value in sure], best, strict=True)
        body.append(f'<div class="still">{_table(("token", "probability", "looked at"), rows)}</div>')
    if one.alternatives:
        rows = ((other.text,) for other in one.alternatives)
        body.append(_table(("other translations",), rows))
    return _output(body, data)


def attention(looked: Weights) -> str:
    """Where a decoder looked: the mean over the sites, or each of them."""
    weights, mean = looked.weights, looked.mean()
    matrices = [Matrix("mean of all heads" if len(weights) > 1 else "attention", mean, full_shade(mean))]
    if len(weights) > 1:
        matrices += [Matrix(f"head {at} of {len(weights)}", one, full_shade(one)) for at, one in enumerate(weights, 1)]
    return matrix(matrices, looked.target.tokens, looked.source.tokens)


def matrix(
    matrices: Sequence[Matrix], rows: Sequence[str], columns: Sequence[str], about: str = "", digits: int = 0
) -> str:
    """Matrices (rows, columns) over the same names, the first of them shown: shaded cells with their numbers, in
    percent, or with so many digits where they are no shares."""
    if len(matrices) * matrices[0].values.size > MOST_NUMBERS:
        matrices = matrices[:1]
    first = matrices[0]
    heads = "".join(f'<th data-column="{at}">{_text(name)}</th>' for at, name in enumerate(columns))
    lines: list[str] = []
    for at, name in enumerate(rows):
        cells = "".join(_cell(first, at, place, digits) for place in range(len(columns)))
        lines.append(f'<tr><th data-row="{at}">{_text(name)}</th>{cells}</tr>')
    options = "".join(f'<option value="{at}">{escape(one.name)}</option>' for at, one in enumerate(matrices))
    title = f"<p>{_text(first.name)}</p>"
    if len(matrices) > 1:
        title = f'<div class="still">{title}</div><p class="live"><label>shown <select>{options}</select></label></p>'
    unit = "" if digits else ", in percent"
    head = f"<thead><tr><th></th>{heads}</tr></thead>"
    body = [
        title,
        f'<div class="scroll"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>',
        f'<p class="soft">{_scale(first.scale)} {escape(about or f"rows look at columns{unit}")}</p>',
        '<p class="told" aria-live="polite"></p>',
    ]
    shown = [one.data() for one in matrices]
    return _output(body, {"matrices": shown, "rows": rows, "columns": columns, "digits": digits})


def record(rows: Iterable[tuple[str, str, str]]) -> str:
    """Recorded tensors: (name, axes with their sizes, what their values are like)."""
    body = [
        '<p class="live"><label>names with <input type="text"></label></p>',
        f'<div class="scroll">{_table(("name", "axes", "values"), rows)}</div>',
    ]
    return _output(body, {})


def prediction(label: str, probabilities: Mapping[str, float], inputs: Sequence[str] = (), most: int = 12) -> str:
    """A label, and the probabilities of the likeliest classes as bars."""
    best = sorted(probabilities.items(), key=lambda one: -one[1])[:most]
    lines = [
        f'<tr><th class="text">{_text(name)}</th><td>{100 * value:.1f} %</td>'
        f'<td class="text"><span class="bar" style="width: {160 * value:.0f}px"></span></td></tr>'
        for name, value in best
    ]
    left = len(probabilities) - len(best)
    body = [
        *(_line("text", _text(one)) for one in inputs),
        f"<p><b>{_text(label)}</b></p>",
        f"<table><tbody>{''.join(lines)}</tbody></table>" if lines else "",
        f'<p class="soft">and {left:,} more</p>' if left else "",
    ]
    return _output(body, {})


def report(scores: Scores) -> str:
    """The scores of one set, with their signatures."""
    rows = ((label, value, signature.strip("`")) for label, value, signature in scores.rows())
    return _output([f"<p><b>{_text(scores.name)}</b></p>", _table(("score", "value", "signature"), rows)], {})


def run(path: str, summary: str, lines: Sequence[str], curves: Sequence[Curve]) -> str:
    """A training: how it ended, its learning curves and its scores."""
    body = [f"<p><b>{_text(path)}</b> {_text(summary)}</p>", *(one.svg() for one in curves)]
    body += ['<p class="told soft" aria-live="polite"></p>'] if curves else []
    body += [f"<pre>{_text(chr(10).join(lines))}</pre>"] if lines else []
    return _output(body, {"curves": [one.data() for one in curves]})


def picture(draw: Callable[[Path], None], name: str) -> str:
    """What `draw` writes to an .svg file, inline under a name."""
    content = base64.b64encode(svg_text(draw).encode()).decode()
    return _output(
        [f'<img alt="{escape(name)}" src="data:image/svg+xml;base64,{content}" style="max-width: 100%">'], {}
    )


def joined(parts: Iterable[str]) -> str:
    """Several outputs as one, below each other."""
    return "\n".join(parts)


def _output(body: Iterable[str], data: Mapping[str, object]) -> str:
    """The parts with style and script, under an id that no other output of a page has."""
    # "<" is nowhere in the data as such, so no text of a user or a model can end the script
    shown = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    begin, end = _template().split("/*BODY*/")
    number = f"sightline-{secrets.token_hex(6)}"
    end = end.replace("/*ID*/", number).replace("/*DATA*/", shown)
    return begin.replace("/*ID*/", number) + "\n".join(filter(None, body)) + end


@cache
def _template() -> str:
    return (resources.files("sightline") / "sight/output.html").read_text(encoding="utf-8")


def _text(text: str) -> str:
    """A text whose direction, and whatever else is in it, stays its own."""
    return f"<bdi>{escape(text)}</bdi>"


def _line(label: str, content: str) -> str:
    return f'<p><span class="soft">{label}</span> {content}</p>'


def _token(name: str, more: str = "") -> str:
    return f'<span class="token" {more}>{_text(name)}</span>'


def _said(at: int, name: str, sure: float) -> str:
    """A token of the translation, shaded by its probability."""
    title = f"{name}: probability {sure:.3f}"
    return _token(name, f'data-row="{at}" tabindex="0" title="{escape(title)}" style="{_shade(sure, BLUE)}"')


def _shade(strength: float, colour: str) -> str:
    """The style of what is so dark, from 0 to 1."""
    return f"background: rgba({colour}, {strength:.3f})" + ("; color: white" if strength > 0.55 else "")


def _scale(most: float) -> str:
    """A legend of shades, from nothing to the darkest."""
    shades = f"background: linear-gradient(to right, rgba({BLUE}, 0), rgb({BLUE}))"
    return f'0 <span class="scale" style="{shades}"></span> <span class="most">{most:.2g}</span>'


def _strongest(weights: np.ndarray, names: Sequence[str], most: int = 3) -> str:
    best = [int(at) for at in np.argsort(-weights)[:most] if weights[at] >= 0.05]
    return ", ".join(f"{names[at]} {100 * weights[at]:.0f} %" for at in best)


def _cell(shown: Matrix, row: int, column: int, digits: int) -> str:
    value = float(shown.values[row, column])
    if math.isnan(value):
        return f'<td data-cell="{row},{column}" tabindex="0">–</td>'
    text = f"{value:.{digits}f}" if digits else f"{100 * value:.0f}" if value >= 0.05 else "·"
    style = _shade(min(1.0, abs(value) / shown.scale), RED if value < 0 else BLUE)
    return f'<td data-cell="{row},{column}" tabindex="0" style="{style}">{text}</td>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts, its first rows where it is long."""
    lines = ["".join(f'<td class="text">{_text(one)}</td>' for one in row) for row in rows]
    more = f'<p class="soft">and {len(lines) - MOST_ROWS:,} more</p>' if len(lines) > MOST_ROWS else ""
    body = "".join(f"<tr>{line}</tr>" for line in lines[:MOST_ROWS])
    head = "".join(f'<th class="text">{escape(one)}</th>' for one in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
