"""One step after the other of a model that writes: what it looked at, what came of that, what it might have written.

T are the steps, which are the outputs of a reading, S the positions that an attention looks at, W units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from sightline.errors import UsageError
from sightline.predict.reading import Likely
from sightline.sight import heads
from sightline.sight.heads import Site
from sightline.sight.reading import Look, Reading, Side, look
from sightline.sight.views import Inspected, View, ViewOptions

LIKELIEST = 5
_PATTERNS = ("*.weights", "*.energies", "*.context", "*start_hidden", "*hidden_state")


@dataclass(frozen=True, kw_only=True)
class StepsView(View):
    """What a decoder, or a language model, did at each step.

    Attributes:
        written: the token of each step. log_probabilities: ln p of each. likeliest: of each the tokens that were
            likeliest.
        site: the attention that is shown, None of a model that attends to nothing. keys: what it looks at.
        weights, energies: (T, S), the softmax and what it is taken of; energies are None of the mean over several
            heads, whose weights are no softmax of one row.
        context: (T, W) the weighted sum of the values. state: (T, W) the hidden state, of recurrent decoders.
        bottleneck: (W) of a decoder without attention the one vector that it begins with: all that it knows of its
            source.
    """

    written: tuple[str, ...]
    log_probabilities: tuple[float, ...]
    likeliest: tuple[tuple[Likely, ...], ...]
    site: Site | None = None
    keys: Side | None = None
    weights: np.ndarray | None = None
    energies: np.ndarray | None = None
    context: np.ndarray | None = None
    state: np.ndarray | None = None
    bottleneck: np.ndarray | None = None

    def data(self) -> dict[str, object]:
        numbers = {
            "weights": self.weights,
            "energies": self.energies,
            "context": self.context,
            "state": self.state,
            "bottleneck": self.bottleneck,
        }
        return {
            "site": None if self.site is None else self.site.label,
            "positions": None if self.keys is None else self.keys.tokens,
            "steps": [
                {"token": token, "log_probability": round(value, 6), "likeliest": [one.data() for one in likely]}
                for token, value, likely in zip(self.written, self.log_probabilities, self.likeliest, strict=True)
            ],
            **{name: None if values is None else values.tolist() for name, values in numbers.items()},
        }


@torch.inference_mode()
def steps(model: Inspected, reading: Reading, options: ViewOptions) -> StepsView:
    """See `StepsView`. Raises UsageError of a model that does not write token by token."""
    if reading.likeliest is None:
        raise UsageError("steps are of a model that writes: a translation, or a language model")
    seen = look(reading, *_PATTERNS)
    found = StepsView(
        written=reading.outputs,
        log_probabilities=seen.log_probabilities,
        likeliest=reading.likeliest(LIKELIEST),
        state=_state(seen),
        bottleneck=_bottleneck(seen),
    )
    known = [name for name in seen.names if name.endswith(".weights") and _is_of_outputs(seen, name)]
    if not known:
        return found
    site = heads.default_site(seen) if options.site is None else heads.find(seen, options.site)
    if site.name not in known:
        able = ", ".join(map(_short, known))
        raise UsageError(f"site: {site.label} does not look while a token is written; {able} do")
    rows = list(reading.output_positions)
    stem = site.name.removesuffix("weights")
    context = seen[f"{stem}context"].numpy()
    several = "head" in seen.axes(site.name)
    alone = site.head if site.head is not None else 0 if several and context.shape[0] == 1 else None
    if several:  # of all heads, what they give stands side by side
        context = context.swapaxes(0, 1).reshape(context.shape[1], -1) if alone is None else context[alone]
    energies = seen[f"{stem}energies"].numpy()
    return replace(
        found,
        others=tuple(_short(name) for name in known if name != site.name),
        site=site,
        keys=reading.sides[seen.axes(site.name)[-1]],
        weights=heads.weights_of(seen, site)[rows],
        energies=None if several and alone is None else (energies[alone] if several else energies)[rows],
        context=context[rows],
    )


def _short(name: str) -> str:
    return name.removesuffix(".weights")


def _is_of_outputs(seen: Look, name: str) -> bool:
    return seen.axes(name)[-2] == seen.reading.output_axis


def _state(seen: Look) -> np.ndarray | None:
    """The last hidden state over the steps."""
    known = [name for name in seen.names if name.endswith("hidden_state") and _is_of_outputs(seen, name)]
    return seen[known[-1]].numpy()[list(seen.reading.output_positions)] if known else None


def _bottleneck(seen: Look) -> np.ndarray | None:
    """What the last layer of a decoder that attends to nothing begins with."""
    begins = [name for name in seen.names if name.endswith("start_hidden")]
    return None if seen.reading.cross_attention_sites or not begins else seen[begins[-1]].numpy()
