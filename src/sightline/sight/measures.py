"""What is measured inside a model: gates over time, the residual stream, gradients by distance, the logit lens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sightline.data.tokenizer import Tokenizer
from sightline.decode.probabilities import softmax
from sightline.errors import UsageError
from sightline.nn.context import PassContext, Recorder
from sightline.nn.positions import PositionalEncoding
from sightline.predict.brief import BriefRepr
from sightline.sight.reading import Look, Reading, require_outputs
from sightline.sight.record import Record

# Patterns of what `stream` and `cell_state_flow` read.
STREAM = ("*embedding", "*embedding_norm", "*residual")
CELL_STATE = ("*input_gate", "*candidate", "*cell_state")
GATES = ("forget_gate", "input_gate", "output_gate", "reset_gate", "update_gate")


def gates(look: Look) -> dict[str, np.ndarray]:
    """The mean of every recorded gate over its units, by name: (positions). 1 is open, 0 closed."""
    return {name: look[name].mean(-1).numpy() for name in look.names if name.split(".")[-1] in GATES}


def cell_state_flow(look: Look, layer: str) -> dict[str, np.ndarray]:
    """What flows through an LSTM's cell state at each position: what is kept of it, what is added, and what is there.

    Means over the units of |f ⊙ c|, |i ⊙ g| and |c| (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    Args:
        look: with `CELL_STATE` recorded. layer: the layer's name, as in "layers.0".
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
    """The names of the residual stream: the input of the first block, after its norm where it has one, and each block's
    output. None where there are no blocks."""
    names = [name for name in look.names if name.split(".")[-1] in ("embedding", "embedding_norm", "residual")]
    if not any(name.endswith("residual") for name in names):
        return []
    return [name for name in names if f"{name}_norm" not in names]


def residual_norms(look: Look) -> dict[str, np.ndarray]:
    """The L2 norm of the residual stream at every position before the first block and after every one, by name."""
    return {name: look[name].norm(dim=-1).numpy() for name in stream(look)}


@dataclass(frozen=True, repr=False)
class NormStatistics(BriefRepr):
    """The mean of the features that a norm reads at every position, and their standard deviation."""

    mean_T: np.ndarray
    deviation_T: np.ndarray


def norm_statistics(look: Look) -> dict[str, NormStatistics]:
    """The statistics of what every recorded norm reads, by name; layer norm subtracts the mean and divides by the
    deviation (Ba et al. 2016, eq. 3), RMS norm divides by the root of the sum of their squares, and batch norm uses
    running statistics of each feature instead."""
    inputs = {name: look[name] for name in look.names if name.endswith("_norm_input")}
    return {
        name: NormStatistics(x_TD.mean(-1).numpy(), x_TD.std(-1, correction=0).numpy()) for name, x_TD in inputs.items()
    }


@dataclass(frozen=True, repr=False)
class Gradients(BriefRepr):
    """How each output depends on each input position: norms of its gradient by the embeddings (outputs, positions)."""

    norms_OS: np.ndarray

    def by_distance(self) -> np.ndarray:
        """The mean norm over the outputs by how many positions back the input lies; of a causal reading, which predicts
        output t from position t."""
        sums, counts = np.zeros(len(self.norms_OS)), np.zeros(len(self.norms_OS))
        for latest, norms in enumerate(self.norms_OS):
            sums[: latest + 1] += norms[latest::-1]
            counts[: latest + 1] += 1
        return sums / counts


def gradients(reading: Reading) -> Gradients:
    """‖∂ ln p(output) / ∂ embedding‖ for every output and every input position.

    What a recurrent network forgets and a Transformer does not (Bengio et al. 1994; Pascanu et al. 2013).
    Raises UsageError where there is no output, as in a text without a blank.
    """
    pattern = "encoder.embedding" if reading.input_axis == "source" else "embedding"
    require_outputs(reading)
    recorder = Recorder([pattern], gradients=True)
    with torch.inference_mode(False), torch.enable_grad():
        found = reading.run(PassContext(recorder=recorder))
        (embedding,) = Record(recorder).steps(pattern)
        rows = [torch.autograd.grad(one, embedding, retain_graph=True)[0][0].norm(dim=-1) for one in found]
    return Gradients(torch.stack(rows).float().cpu().numpy())


class ReadsOut(Protocol):
    """What the logit lens asks of a predictor."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    def read_out(self, residual: Tensor, /) -> Tensor:
        """The residual stream as logits (B, T, V). Raises UsageError where the model has none that can be read out."""
        ...


@dataclass(frozen=True, repr=False)
class Lens(BriefRepr):
    """What a model would predict after each layer (L, T): its likeliest token, and the probability."""

    tokens: list[list[str]]
    probabilities: np.ndarray


@torch.inference_mode()
def logit_lens(model: ReadsOut, look: Look) -> Lens:
    """The tokens read off the residual stream before the first block and after every one (nostalgebraist 2020).

    Of a GPT those that come next, of a BERT those that stand at each place, [MASK] or not.

    Args:
        look: with `STREAM` recorded.

    Raises UsageError for another kind of model.
    """
    names = stream(look)
    if not names:
        raise UsageError("the logit lens reads the residual stream of a GPT, or of a BERT that fills blanks")
    tokens: list[list[str]] = []
    probabilities: list[np.ndarray] = []
    for name in names:
        best = softmax(model.read_out(look.record[name])[0]).max(-1)
        tokens.append(model.tokenizer.tokens(best.indices.tolist()))
        probabilities.append(best.values.float().cpu().numpy())
    return Lens(tokens, np.stack(probabilities))


def position_table(model: nn.Module, look: Look, most: int = 64) -> np.ndarray:
    """(P, D): what is added to the embedding of each position, of the first `most` where a table can be made of them.

    Args:
        look: with "*positions" recorded.

    Raises UsageError where nothing was added.
    """
    recorded = [look[name] for name in look.names]
    if not recorded:
        raise UsageError("this model adds nothing to its embeddings for their positions")
    encodings = [module for module in model.modules() if isinstance(module, PositionalEncoding)]
    if not encodings:  # as of an image, whose positions are all there
        return recorded[0].numpy()
    learned = next(encodings[0].parameters(), None)
    with torch.inference_mode():
        if learned is not None:
            return learned[:most].float().cpu().numpy()
        return encodings[0].embed(torch.zeros(1, most, recorded[0].shape[-1]))[0].numpy()
