"""What `sightline look` shows: each view of a reading as text, as numbers and as a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.errors import UsageError, nearest
from sightline.predict.patches import patch_attention
from sightline.sight import drawings, heads, measures, pictures
from sightline.sight.alignment import CROSS, Aligner, Links, alignment_error, check_links
from sightline.sight.reading import Look, Reading, by_word
from sightline.sight.reading import look as look_at
from sightline.sight.terminal import attention_text, grids_text, numbers_text

ATTENTION = ("*.weights",)


@dataclass(frozen=True)
class View:
    """One view: its text, its numbers for machines, how it is drawn, and the weights that it shows of the outputs
    (outputs, positions read), where it shows any."""

    text: str
    data: Any
    draw: Callable[[Path], None]
    weights: np.ndarray | None = None


def _site(seen: Look, name: str | None, endings: Sequence[str] = heads.CROSS) -> heads.Site:
    """The attention that is asked for, or the last one whose name ends as one of `endings` does."""
    usual = heads.default_site(seen, endings)
    return usual if name is None else heads.find(seen, name)


def _sides(seen: Look, site: heads.Site) -> tuple[Any, Any]:
    rows, columns = seen.axes(site.name)[-2:]
    return seen.reading.sides[rows], seen.reading.sides[columns]


def attention(model: Any, reading: Reading, site: str | None) -> View:
    """Weights of one head, or the mean of an attention's heads: queries down, keys across."""
    seen = look_at(reading, *ATTENTION)
    chosen = _site(seen, site)
    weights, (rows, columns) = heads.weights_of(seen, chosen), _sides(seen, chosen)
    return View(
        f"{chosen.label}\n{attention_text(weights, columns.tokens, rows.tokens)}",
        {"site": chosen.label, "rows": rows.tokens, "columns": columns.tokens, "weights": weights.tolist()},
        lambda path: pictures.attention_picture(weights, columns.tokens, rows.tokens, path, chosen.label),
        heads.output_weights(seen, chosen),
    )


def masks(model: Any, reading: Reading, site: str | None) -> View:
    """What each query of an attention may look at, as the mask was applied: queries down, keys across."""
    seen = look_at(reading, *ATTENTION, "*.mask")
    chosen = _site(seen, site)
    mask, (rows, columns) = seen[chosen.name.removesuffix("weights") + "mask"].numpy(), _sides(seen, chosen)
    if "head" in seen.axes(chosen.name):
        mask = mask[chosen.head or 0]  # one mask is every head's
    return View(
        f"{chosen.label}\n{attention_text(mask, columns.tokens, rows.tokens)}",
        {"site": chosen.label, "rows": rows.tokens, "columns": columns.tokens, "mask": mask.astype(bool).tolist()},
        lambda path: pictures.attention_picture(mask, columns.tokens, rows.tokens, path, f"{chosen.label}: mask"),
    )


# By what heads can be ranked, and which way: 1 begins with the least.
RANKS = {"effect": -1, "entropy": 1, "distance": 1, "diagonality": -1, "alignment_error": 1}


def all_heads(model: Any, reading: Reading, site: str | None, by: str | None = None, gold: Links | None = None) -> View:
    """Every head with what can be measured of it.

    Args:
        by: the measure that ranks them, of `RANKS`; by default the effect, so that what matters most is first.
        gold: of a translation, the right alignment of its words; heads between its two sides then have an alignment
            error rate, by which they are ranked.
    """
    seen = look_at(reading, *ATTENTION)
    chosen = _site(seen, site, ())
    wanted = None if site is None else chosen
    if not reading.outputs:
        raise UsageError("nothing is predicted in this text; put a [MASK] where a word is missing")
    by = by or ("effect" if gold is None else "alignment_error")
    names, rows = heads.table(seen, effects=True)
    if gold is not None:
        check_links(gold, seen, "--gold")
        names = (*names, "alignment_error")
        rows = [(one, {**values, "alignment_error": _error(seen, one, gold)}) for one, values in rows]
    rows = [(one, values) for one, values in rows if wanted is None or one.name == wanted.name]
    rows = [(one, values) for one, values in rows if wanted is None or wanted.head in (None, one.head)]
    rows.sort(key=lambda row: math.inf if math.isnan(row[1][by]) else RANKS[by] * row[1][by])
    width = max(len(one.label) for one, _ in rows)
    lines = [f"{'head':{width}}" + "".join(f"{name.replace('_', ' '):>17}" for name in names)]
    lines += [f"{one.label:{width}}" + "".join(_cell(values[name]) for name in names) for one, values in rows]
    # one attention, whose heads have their rows and columns in common: that of the head that matters most
    shown = {one.label: heads.weights_of(seen, one) for one, _ in rows if one.name == rows[0][0].name}
    rows_of, columns_of = _sides(seen, rows[0][0])
    return View(
        "\n".join([*lines, "entropy in nats; effect: nats that the outputs lose without the head"]),
        [{"head": one.label, **{name: _number(values[name]) for name in names}} for one, values in rows],
        lambda path: drawings.heads_picture(shown, columns_of.tokens, rows_of.tokens, path),
    )


def _error(seen: Look, site: heads.Site, gold: Links) -> float:
    """The alignment error rate of a head between a text and its translation; NaN of another."""
    if seen.axes(site.name)[-2:] != ("target", "source"):
        return math.nan
    return alignment_error([Aligner(site).links(seen)], [gold])


def _cell(value: float) -> str:
    return f"{'–':>17}" if math.isnan(value) else f"{value:17.4f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def alignment(model: Any, reading: Reading, site: str | None) -> View:
    """Source words and the words of the translation that looked at them. Raises UsageError for another model."""
    if "target" not in reading.sides:
        raise UsageError("alignments are between a text and its translation; this model reads one side alone")
    seen = look_at(reading, *CROSS)
    chosen = _site(seen, site, ("weights",))
    rows, columns = _sides(seen, chosen)
    weights = by_word(heads.weights_of(seen, chosen), rows, columns)
    links = Aligner(chosen).links(seen)
    pairs = [f"{columns.names[source]} – {rows.names[target]}" for source, target in sorted(links)]
    return View(
        "\n".join(pairs),
        {"site": chosen.label, "source": columns.names, "target": rows.names, "links": sorted(links)},
        lambda path: drawings.alignment_picture(weights, columns.names, rows.names, path),
    )


def _timeline(lines: Mapping[str, np.ndarray], tokens: Sequence[str], ylabel: str, logarithmic: bool = False) -> View:
    return View(
        numbers_text(np.stack(list(lines.values())), tokens, list(lines)),
        {"tokens": tokens, **{name: values.tolist() for name, values in lines.items()}},
        lambda path: drawings.timeline_picture(lines, tokens, path, ylabel=ylabel, logarithmic=logarithmic),
    )


def gates(model: Any, reading: Reading, site: str | None) -> View:
    """How far every gate is open at every position, the mean over its units."""
    seen = look_at(reading, *(f"*{name}" for name in measures.GATES))
    lines = {name: values for name, values in measures.gates(seen).items() if site is None or name.startswith(site)}
    if not lines:
        raise UsageError("this model has no gates of that name; LSTM and GRU have" if seen.names else
                         "this model has no gates; LSTM and GRU have")  # fmt: skip
    side = seen.axes(next(iter(lines)))[0]
    lines = {name: values for name, values in lines.items() if seen.axes(name)[0] == side}
    return _timeline(lines, reading.sides[side].tokens, "open")


def _layer(seen: Look, site: str | None, kind: str) -> str:
    known = [name.rpartition(".")[0] for name in seen.names if name.endswith(kind)]
    if not known:
        raise UsageError(f"this model has no {kind.replace('_', ' ')}")
    if site is None:
        return known[-1]
    layer = site.removesuffix(f".{kind}")  # as --list has it, or the layer alone
    if layer not in known:
        raise UsageError(f'--site: no layer "{site}"{nearest(site, known)}')
    return layer


def belt(model: Any, reading: Reading, site: str | None) -> View:
    """An LSTM's cell state: what is kept, what is added, what lies on the belt."""
    seen = look_at(reading, "*input_gate", "*candidate", "*cell_state")
    layer = _layer(seen, site, "cell_state")
    tokens = reading.sides[seen.axes(f"{layer}.cell_state")[0]].tokens
    return _timeline(measures.cell_state_flow(seen, layer), tokens, layer)


def states(model: Any, reading: Reading, site: str | None) -> View:
    """Every unit of a hidden state over the positions."""
    seen = look_at(reading, "*hidden_state")
    layer = _layer(seen, site, "hidden_state")
    values = seen[f"{layer}.hidden_state"].numpy()
    tokens = reading.sides[seen.axes(f"{layer}.hidden_state")[0]].tokens
    about = {"mean |h|": np.abs(values).mean(1), "saturated (|h| > 0.9)": (np.abs(values) > 0.9).mean(1)}
    plain = _timeline(about, tokens, layer)
    return View(plain.text, {**plain.data, "layer": layer, "hidden_state": values.tolist()},
                lambda path: drawings.units_picture(values, tokens, path, title=f"{layer}: hidden state"))  # fmt: skip


def positions(model: Any, reading: Reading, site: str | None) -> View:
    """What is added to embeddings for their positions: the stripes, wavelengths, products by distance."""
    sizes = model.settings.model
    body = getattr(model.model, "body", getattr(model.model, "bert", model.model))
    if not hasattr(body, "positions"):
        raise UsageError("this model adds nothing to its embeddings for their positions")
    if model.run.task == "image_classification":
        table = (body.position_table_TD if body.positions is None else body.positions).detach().float().cpu().numpy()
    else:
        table = measures.position_table(body.positions, min(64, getattr(sizes, "max_length", 64)), sizes.d_model)
    count = len(table)
    gram = table @ table.T
    by_distance = {"mean product": np.array([np.diagonal(gram, offset).mean() for offset in range(count)])}
    places = [str(number) for number in range(count)]
    return View(
        numbers_text(np.stack(list(by_distance.values())), places, list(by_distance)),
        {"table": table.tolist()},
        lambda path: drawings.positions_picture(table, path, title=f"{sizes.positions} positions"),
    )


def residual(model: Any, reading: Reading, site: str | None) -> View:
    """The length of the residual stream's vectors after every block."""
    seen = look_at(reading, *measures.STREAM)
    return _by_block(measures.residual_norms(seen), seen, reading, site, "residual stream", "L2 norm")


def norms(model: Any, reading: Reading, site: str | None) -> View:
    """How far the features spread that each norm of the blocks reads, and so what it divides by."""
    seen = look_at(reading, "*_norm_input")
    found = measures.norm_statistics(seen)
    spreads = {name: one.deviation_T for name, one in found.items()}
    plain = _by_block(spreads, seen, reading, site, "norm", "standard deviation of what it reads")
    means = {name: one.mean_T.tolist() for name, one in found.items() if name in plain.data}
    return View(plain.text, {**plain.data, "means": means}, plain.draw)


def _by_block(
    lines: dict[str, np.ndarray], seen: Look, reading: Reading, site: str | None, noun: str, about: str
) -> View:
    """What is known of every block of one side, of a translation the target's, over its positions."""
    if not lines:
        raise UsageError(f"this model has no {noun}; Transformers have")
    lines = {name: values for name, values in lines.items() if site is None or name.startswith(site)}
    if not lines:
        raise UsageError(f'--site: no {noun} "{site}"')
    side = seen.axes(list(lines)[-1])[0]
    lines = {name: values for name, values in lines.items() if seen.axes(name)[0] == side}
    return _timeline(lines, reading.sides[side].tokens, about)


def gradients(model: Any, reading: Reading, site: str | None) -> View:
    """How much the outputs hang on each input; of a language model by how far back it lies."""
    found = measures.gradients(reading)
    if model.run.task == "language":
        curve = found.by_distance()
        names, about = [str(distance) for distance in range(len(curve))], "by how far back the input lies"
    else:
        curve, names, about = found.norms_OS.mean(0), reading.sides[reading.input_axis].tokens, "by the input"
    plain = _timeline({"‖gradient‖": curve}, names, f"mean norm of the gradient, {about}", logarithmic=True)
    return View(f"{about}\n{plain.text}", {**plain.data, "norms": found.norms_OS.tolist()}, plain.draw)


def lens(model: Any, reading: Reading, site: str | None) -> View:
    """What a GPT would say next after each of its layers, or a BERT in each place."""
    seen = look_at(reading, *measures.STREAM)
    found = measures.logit_lens(model, seen)
    inputs = reading.sides["position"].tokens
    width = max(len(token) for row in found.tokens for token in row) + 6
    lines = []
    for number in reversed(range(len(found.tokens))):
        name = "embedding" if number == 0 else f"block {number - 1}"
        pairs = zip(found.tokens[number], found.probabilities[number], strict=True)
        lines.append(f"{name:10}" + "".join(f"{f'{token} {value:.2f}':>{width}}" for token, value in pairs))
    lines.append(" " * 10 + "".join(f"{token:>{width}}" for token in inputs))
    data = {"inputs": inputs, "tokens": found.tokens, "probabilities": found.probabilities.tolist()}
    return View("\n".join(lines), data,
                lambda path: drawings.lens_picture(found.tokens, found.probabilities, inputs, path))  # fmt: skip


def patches(model: Any, reading: Reading, site: str | None) -> View:
    """An image, and over it what the class token looked at: in the last layer, and by rollout through all of them."""
    seen = patch_attention(reading)
    last = seen.weights[-1].mean(0)
    return View(
        grids_text({"last layer": last, "rollout": seen.rollout}),
        {"weights": seen.weights.tolist(), "rollout": seen.rollout.tolist()},
        lambda path: pictures.patches_picture(seen.pixels, last, seen.rollout, path),
    )


# What can be chosen among by --site.
CHOOSING = ("attention", "heads", "masks", "alignment", "gates", "belt", "states", "residual", "norms")
VIEW: dict[str, Callable[[Any, Reading, str | None], View]] = {
    "attention": attention,
    "heads": all_heads,
    "masks": masks,
    "alignment": alignment,
    "gates": gates,
    "belt": belt,
    "states": states,
    "positions": positions,
    "residual": residual,
    "norms": norms,
    "gradients": gradients,
    "lens": lens,
    "patches": patches,
}
