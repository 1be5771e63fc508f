"""Views of what is no attention: gates, states, residual stream, norms, gradients, positions, logit lens, patches.

T are the positions of a curve, W units, P positions and D dimensions of an encoding, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from torch import nn

from sightline.errors import UsageError, nearest
from sightline.nn.norms import BatchNorm, RMSNorm
from sightline.predict.patches import PatchAttention, patch_attention
from sightline.sight import measures
from sightline.sight.reading import Look, Reading, look
from sightline.sight.views import Inspected, View, ViewOptions


@dataclass(frozen=True, kw_only=True, repr=False)
class SeriesView(View):
    """Curves over the positions of one axis, by name.

    Attributes:
        tokens: the names of the positions. about: what the curves are of. along: what the positions are.
        more: further numbers for machines.
    """

    lines: Mapping[str, np.ndarray]
    tokens: tuple[str, ...]
    about: str
    along: str = ""
    logarithmic: bool = False
    more: Mapping[str, object] = field(default_factory=dict)

    def data(self) -> dict[str, object]:
        return {"tokens": self.tokens, **{name: values.tolist() for name, values in self.lines.items()}, **self.more}


@dataclass(frozen=True, kw_only=True, repr=False)
class StatesView(SeriesView):
    """A hidden state: its mean magnitude and saturation over the positions, and every unit (T, W)."""

    layer: str
    hidden_TW: np.ndarray

    def data(self) -> dict[str, object]:
        return {**super().data(), "layer": self.layer, "hidden_state": self.hidden_TW.tolist()}


def _under(name: str, site: str) -> bool:
    """Whether a recorded name is `site`, or belongs to the module of that name."""
    return name == site or name.startswith(f"{site}.")


def _one_axis(seen: Look, names: Sequence[str], site: str | None, noun: str) -> tuple[list[str], tuple[str, ...]]:
    """Recorded names whose positions are those of one axis, and the modules under which there are others.

    Those under `site`; by default those of the last axis, which of a translation is the target.
    """
    pool = [name for name in names if site is None or _under(name, site)]
    if not pool:
        modules = {name.rpartition(".")[0] for name in names}
        raise UsageError(f'site: no {noun} "{site}"{nearest(site or "", modules)}')
    axis = seen.axes(pool[-1])[0]
    shown = [name for name in pool if seen.axes(name)[0] == axis]
    others = {name.partition(".")[0] for name in names if name not in shown} - {site}
    return shown, tuple(sorted(others - {name.partition(".")[0] for name in shown}))


def gates(model: Inspected, reading: Reading, options: ViewOptions) -> SeriesView:
    """The mean over its units of every gate, at each position: 1 is open, 0 closed."""
    seen = look(reading, *(f"*{name}" for name in measures.GATES))
    found = measures.gates(seen)
    if not found:
        raise UsageError("this model has no gates; LSTM and GRU have")
    shown, others = _one_axis(seen, list(found), options.site, "gates")
    tokens = reading.sides[seen.axes(shown[0])[0]].tokens
    return SeriesView(lines={name: found[name] for name in shown}, tokens=tokens, about="open", others=others)


def _layer(seen: Look, site: str | None, kind: str) -> tuple[str, tuple[str, ...]]:
    """The layer that is asked for, or the last one under it, and the other layers.

    Raises UsageError where the model has none, or not this one.
    """
    known = [name.rpartition(".")[0] for name in seen.names if name.endswith(kind)]
    if not known:
        raise UsageError(f"this model has no {kind.replace('_', ' ')}")
    asked = None if site is None else site.removesuffix(f".{kind}")  # as --list has it, or the layer alone
    fitting = [layer for layer in known if asked is None or _under(layer, asked)]
    if not fitting:
        raise UsageError(f'site: no layer "{site}"{nearest(site or "", known)}')
    return fitting[-1], tuple(layer for layer in known if layer != fitting[-1])


def cell_state(model: Inspected, reading: Reading, options: ViewOptions) -> SeriesView:
    """An LSTM's cell state: what is kept, what is added, and what is there."""
    seen = look(reading, *measures.CELL_STATE)
    layer, others = _layer(seen, options.site, "cell_state")
    tokens = reading.sides[seen.axes(f"{layer}.cell_state")[0]].tokens
    return SeriesView(lines=measures.cell_state_flow(seen, layer), tokens=tokens, about=layer, others=others)


def states(model: Inspected, reading: Reading, options: ViewOptions) -> StatesView:
    """See `StatesView`."""
    seen = look(reading, "*hidden_state")
    layer, others = _layer(seen, options.site, "hidden_state")
    name = f"{layer}.hidden_state"
    hidden_TW = seen[name].numpy()
    magnitude = np.abs(hidden_TW)
    return StatesView(
        lines={"mean |h|": magnitude.mean(1), "saturated (|h| > 0.9)": (magnitude > 0.9).mean(1)},
        tokens=reading.sides[seen.axes(name)[0]].tokens,
        about=layer,
        layer=layer,
        hidden_TW=hidden_TW,
        others=others,
    )


def _by_block(seen: Look, lines: Mapping[str, np.ndarray], site: str | None, noun: str, about: str) -> SeriesView:
    """What was measured of every block of one side."""
    if not lines:
        raise UsageError(f"this model has no {noun}; Transformers have")
    shown, others = _one_axis(seen, list(lines), site, noun)
    tokens = seen.reading.sides[seen.axes(shown[0])[0]].tokens
    return SeriesView(lines={name: lines[name] for name in shown}, tokens=tokens, about=about, others=others)


def residual(model: Inspected, reading: Reading, options: ViewOptions) -> SeriesView:
    """The L2 norm of the residual stream before the first block and after every one."""
    seen = look(reading, *measures.STREAM)
    return _by_block(seen, measures.residual_norms(seen), options.site, "residual stream", "L2 norm")


# What norms divide by where it is not the standard deviation of what they read at a position.
DIVISORS: Mapping[type[nn.Module], str] = {
    RMSNorm: "RMS norm divides by the root mean square",
    BatchNorm: "batch norm divides by running deviations of each feature",
}


def norms(model: Inspected, reading: Reading, options: ViewOptions) -> SeriesView:
    """The standard deviation of what each norm of the blocks reads, which is what layer norm divides by; of another
    kind it is said what that divides by."""
    seen = look(reading, "*_norm_input")
    found = measures.norm_statistics(seen)
    spreads = {name: one.deviation_T for name, one in found.items()}
    divisors = {DIVISORS[type(module)] for module in model.model.modules() if type(module) in DIVISORS}
    about = "; ".join(["standard deviation of the norm's input", *sorted(divisors)])
    view = _by_block(seen, spreads, options.site, "norm", about)
    return replace(view, more={"means": {name: found[name].mean_T.tolist() for name in view.lines}})


def gradients(model: Inspected, reading: Reading, options: ViewOptions) -> SeriesView:
    """How much the outputs depend on each input: norms of gradients, of a causal model by how far back it lies."""
    found = measures.gradients(reading)
    if reading.causal:
        curve, along = found.by_distance(), "by how far back the input lies"
        tokens = tuple(str(distance) for distance in range(len(curve)))
    else:
        curve, along = found.norms_OS.mean(0), "by the input"
        tokens = reading.sides[reading.input_axis].tokens
    return SeriesView(
        lines={"‖gradient‖": curve},
        tokens=tokens,
        about="mean norm of the gradient",
        along=along,
        logarithmic=True,
        more={"norms": found.norms_OS.tolist()},
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class PositionsView(View):
    """What is added to the embeddings at each position (P, D), and its dot products by distance."""

    table_PD: np.ndarray

    def products(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean of the dot products of positions at each distance 0 … P - 1, and their standard deviation."""
        gram_PP = self.table_PD @ self.table_PD.T
        diagonals = [np.diagonal(gram_PP, offset) for offset in range(len(gram_PP))]
        return np.array([one.mean() for one in diagonals]), np.array([one.std() for one in diagonals])

    def data(self) -> dict[str, object]:
        return {"table": self.table_PD.tolist()}


def positions(model: Inspected, reading: Reading, options: ViewOptions) -> PositionsView:
    """See `PositionsView`. Raises UsageError where nothing is added."""
    return PositionsView(table_PD=measures.position_table(model.model, look(reading, "*positions")))


@dataclass(frozen=True, kw_only=True, repr=False)
class LensView(View):
    """What the model would predict after each of its layers (L, T), over the tokens that it reads."""

    inputs: tuple[str, ...]
    lens: measures.Lens

    def layers(self) -> list[str]:
        """The names of the layers, from the first."""
        return ["embedding", *(f"block {number}" for number in range(len(self.lens.tokens) - 1))]

    def data(self) -> dict[str, object]:
        return {
            "inputs": self.inputs,
            "tokens": self.lens.tokens,
            "probabilities": self.lens.probabilities.tolist(),
        }


def lens(model: Inspected, reading: Reading, options: ViewOptions) -> LensView:
    """See `LensView`; of a GPT the next tokens, of a BERT those in each place."""
    found = measures.logit_lens(model, look(reading, *measures.STREAM))
    return LensView(inputs=reading.sides["position"].tokens, lens=found)


@dataclass(frozen=True, kw_only=True, repr=False)
class PatchesView(View):
    """An image, and what its class token attended to: in the last layer, and rolled out through all of them."""

    patches: PatchAttention

    def last_layer(self) -> np.ndarray:
        """The mean over the heads of the last layer (rows, columns)."""
        return self.patches.weights[-1].mean(0)

    def data(self) -> dict[str, object]:
        return {"weights": self.patches.weights.tolist(), "rollout": self.patches.rollout.tolist()}


def patches(model: Inspected, reading: Reading, options: ViewOptions) -> PatchesView:
    """See `PatchesView`."""
    return PatchesView(patches=patch_attention(reading))
