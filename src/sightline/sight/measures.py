"""Figures drawn from a reading: gates over time, the residual stream, gradients by distance, lens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sightline.decode.probabilities import softmax
from sightline.errors import UsageError
from sightline.nn.context import PassContext, Recorder
from sightline.sight.reading import Look, Reading
from sightline.sight.record import Record

# Patterns of what `stream` reads.
STREAM = ("*embedding", "*embedding_norm", "*residual")
GATES = ("forget_gate", "input_gate", "output_gate", "reset_gate", "update_gate")


def gates(look: Look) -> dict[str, np.ndarray]:
    """The mean of every recorded gate over its units, by name: (positions). 1 is open, 0 closed."""
    return {name: look[name].mean(-1).numpy() for name in look.names if name.split(".")[-1] in GATES}


def cell_state_flow(look: Look, layer: str) -> dict[str, np.ndarray]:
    """An LSTM's cell state as a conveyor belt: at each position what is kept of it, what is added, what lies on it.

    Means over the units of |f ⊙ c|, |i ⊙ g| and |c| (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    Args:
        layer: the layer's name, as in "layers.0". Its input gate, candidate and cell state must have been recorded.
    """
    into, new, cell = (look[f"{layer}.{name}"] for name in ("input_gate", "candidate", "cell_state"))
    added = into * new
    return {
        # what is not new, as the cell before it may stand to the right, or be a start that is no zero
        "kept |f·c|": (cell - added).abs().mean(-1).numpy(),
        "added |i·g|": added.abs().mean(-1).numpy(),
        "on the belt |c|": cell.abs().mean(-1).numpy(),
    }


def stream(look: Look) -> list[str]:
    """The names of the residual stream: what enters the first block, normed where it is, and what leaves each one.

    Embeddings that enter no block are none.
    """
    names = [name for name in look.names if name.split(".")[-1] in ("embedding", "embedding_norm", "residual")]
    if not any(name.endswith("residual") for name in names):
        return []
    return [name for name in names if f"{name}_norm" not in names]


def residual_norms(look: Look) -> dict[str, np.ndarray]:
    """The L2 norm of the residual stream at every position before the first block and after every one, by name."""
    return {name: look[name].norm(dim=-1).numpy() for name in stream(look)}


@dataclass(frozen=True)
class NormStatistics:
    """What a norm meets at every position: the mean of the features it reads, and their standard deviation."""

    mean_T: np.ndarray
    deviation_T: np.ndarray


def norm_statistics(look: Look) -> dict[str, NormStatistics]:
    """What every recorded norm of the blocks reads, by name; layer norm takes off the mean and divides by the
    deviation (Ba et al. 2016, eq. 3)."""
    inputs = {name: look[name] for name in look.names if name.endswith("_norm_input")}
    return {
        name: NormStatistics(x_TD.mean(-1).numpy(), x_TD.std(-1, correction=0).numpy()) for name, x_TD in inputs.items()
    }


@dataclass(frozen=True)
class Gradients:
    """How an output's log-probability depends on each input position: norms of its gradient by the embeddings."""

    norms_OS: np.ndarray  # (outputs, positions read)

    def by_distance(self) -> np.ndarray:
        """The mean norm over the outputs by how many positions back the input lies; of a language model's reading,
        whose every output is said right after its position."""
        sums, counts = np.zeros(len(self.norms_OS)), np.zeros(len(self.norms_OS))
        for latest, norms in enumerate(self.norms_OS):
            sums[: latest + 1] += norms[latest::-1]
            counts[: latest + 1] += 1
        return sums / counts


def gradients(reading: Reading) -> Gradients:
    """‖∂ ln p(output) / ∂ embedding‖ for every output and every position of the side that is read.

    What a recurrent network forgets and a Transformer does not (Bengio et al. 1994; Pascanu et al. 2013).
    Raises UsageError where there is no output, as in a text without a blank.
    """
    pattern = "encoder.embedding" if reading.input_axis == "source" else "embedding"
    if not reading.outputs:
        raise UsageError("nothing is predicted in this text; put a [MASK] where a word is missing")
    recorder = Recorder([pattern], gradients=True)
    with torch.inference_mode(False), torch.enable_grad():
        found = reading.run(PassContext(recorder=recorder))
        (embedding,) = Record(recorder).steps(pattern)
        rows = [torch.autograd.grad(one, embedding, retain_graph=True)[0][0].norm(dim=-1) for one in found]
    return Gradients(torch.stack(rows).float().cpu().numpy())


@dataclass(frozen=True)
class Lens:
    """What a model would say after each layer (L, T): its likeliest token, and the probability."""

    tokens: list[list[str]]
    probabilities: np.ndarray


@torch.inference_mode()
def logit_lens(model: Any, look: Look) -> Lens:
    """The tokens read off the residual stream before the first block and after every one (nostalgebraist 2020).

    Of a GPT those that come next, of a BERT those that stand at each place, [MASK] or not.

    Args:
        model: a loaded GPT, or a BERT that fills blanks. look: with `STREAM` recorded.

    Raises UsageError for another kind of model.
    """
    names = stream(look)
    if not names or not hasattr(model, "read_out"):
        raise UsageError(
            f"{model.run.path}: the logit lens reads the residual stream of a GPT, or of a BERT that fills blanks"
        )
    tokens, probabilities = [], []
    for name in names:
        best = softmax(model.read_out(look.record[name])[0]).max(-1)
        tokens.append(model.tokenizer.tokens(best.indices.tolist()))
        probabilities.append(best.values.float().cpu().numpy())
    return Lens(tokens, np.stack(probabilities))


def position_table(positions: Any, count: int, width: int) -> np.ndarray:
    """(count, width): what an encoding adds to each position. Raises UsageError where it adds nothing."""
    with torch.inference_mode():
        device = next(positions.parameters(), torch.empty(0)).device
        table = positions.embed(torch.zeros(1, count, width, device=device))[0].float().cpu().numpy()
    if not table.any():
        raise UsageError("this model adds nothing to its embeddings for their positions")
    return table
