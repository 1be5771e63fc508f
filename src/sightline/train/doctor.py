"""A doctor for trainings: looks at the figures as they come and says, once a cause, what is wrong and what to change.

Each cause is a pure function of the figures so far: a line of advice, or None. What is said has a number in it, and the
setting that would mend it. Thresholds are chosen so that ordinary trainings hear nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from sightline.train.display import Figures

Series = Sequence[tuple[int, float]]  # (update, value)

# Lines of the log before anything is said of a trend.
FEWEST = 10
# A loss that has come down by less than this share has not fallen.
LEAST_FALL = 0.01
# A loss goes the wrong way that has risen over its lowest level, in the means of three lines, by so much of that level
# and by so much of what it had fallen.
LARGEST_RISE, OF_THE_FALL = 0.15, 0.25
# A gradient so many times the usual one, in two lines one after the other, or once.
LARGE, HUGE = 10.0, 100.0
# Validations in a row that are worse than the best by this share, while the training loss falls by as much or more.
WORSE, STALE = 0.02, 3
# How often an entry of the vocabulary should be seen in the text on average, to be learned.
LEAST_SEEN = 20
MOST_PADDING = 0.4


@dataclass(frozen=True)
class Facts:
    """What the doctor knows before training.

    Attributes:
        warmup: updates over which the learning rate rises. clip: the largest gradient norm; 0 where none is clipped.
        patience: validations after which training stops by itself; 0 never.
        vocabulary: entries of the largest vocabulary; 0 where there is none. padding: the share of an epoch's tensor
            cells that hold none of the data, None where that is unknown.
        device: where it trains. idle_gpu: a GPU that is there and not used, by its name.
    """

    warmup: int = 0
    clip: float = 0.0
    patience: int = 0
    vocabulary: int = 0
    padding: float | None = None
    device: str = "cpu"
    idle_gpu: str | None = None


def unused_gpu(facts: Facts) -> str | None:
    """Of a training on the CPU beside a GPU."""
    if facts.idle_gpu is None or facts.device != "cpu":
        return None
    return f"1 GPU is here ({facts.idle_gpu}) and training is on the CPU: start over with training.device=auto"


def much_padding(facts: Facts) -> str | None:
    """Of batches that are largely empty."""
    if facts.padding is None or facts.padding <= MOST_PADDING:
        return None
    return (
        f"{facts.padding:.0%} of every batch is padding: the lengths of records differ much; raise "
        "training.tokens_per_batch, so that records of like length come together, or leave out the longest"
    )


def large_vocabulary(vocabulary: int, tokens: int) -> str | None:
    """Of a vocabulary whose entries a text of so many tokens shows too rarely to learn them."""
    if vocabulary == 0 or tokens >= LEAST_SEEN * vocabulary:
        return None
    return (
        f"the vocabulary is large for the text: each of {vocabulary:,} entries is seen {tokens / vocabulary:.1f} times "
        f"on average in about {tokens:,} tokens; start over with tokenizer.vocab_size={max(100, tokens // 100)} or so"
    )


def loss_not_falling(losses: Series, warmup: int) -> str | None:
    """Of a training loss that is where it was, long after the warm-up."""
    later = [(update, loss) for update, loss in losses if update > warmup]
    if len(later) < 2 * FEWEST:
        return None
    first = fmean(loss for _, loss in losses[:3])
    levels = [fmean(loss for _, loss in later[end - 5 : end]) for end in range(5, len(later) + 1)]
    if min(levels) < first - LEAST_FALL * abs(first):
        return None
    last = levels[-1]
    return (
        f"the loss is not falling: {first:.4g} at first, {last:.4g} after update {later[-1][0]:,}; raise "
        "training.learning_rate, and check that what is learned belongs to what is read"
    )


def high_learning_rate(losses: Series, rates: Series) -> str | None:
    """Of a training loss that had fallen and rises again."""
    if len(losses) < FEWEST:
        return None
    smooth = [fmean(loss for _, loss in losses[end - 3 : end]) for end in range(3, len(losses) + 1)]
    lowest, last = min(smooth), smooth[-1]
    if last - lowest <= max(LARGEST_RISE * abs(lowest), OF_THE_FALL * (losses[0][1] - lowest)):
        return None
    at = losses[smooth.index(lowest) + 1][0]
    rate = rates[-1][1] if rates else None
    told = "" if rate is None else f" at a learning rate of {rate:.3g}"
    less = "lower training.learning_rate" + ("" if rate is None else f", say to a third ({rate / 3:.2g})")
    return (
        f"the learning rate is too high: the loss rose from {lowest:.4g} near update {at:,} to {last:.4g} after "
        f"{losses[-1][0]:,}{told}; {less}, or lengthen training.warmup"
    )


def exploding_gradient(norms: Series, clip: float) -> str | None:
    """Of gradients that are many times the usual."""
    if len(norms) <= FEWEST:
        return None
    usual = median(norm for _, norm in norms[:-2])
    (_, before), (update, last) = norms[-2], norms[-1]
    if not usual > 0 or not (min(before, last) > LARGE * usual or last > HUGE * usual):
        return None
    clipped = f"clip lower (training.clip={usual:.2g})" if clip else "set training.clip=1"
    return (
        f"the gradient norm explodes: {last:.4g} at update {update:,}, {last / usual:,.0f} times the usual "
        f"{usual:.3g}; {clipped}, lower training.learning_rate or lengthen training.warmup"
    )


def overfitting(losses: Series, validation: Series, patience: int) -> str | None:
    """Of a validation loss that rises while that of training falls."""
    if len(validation) <= STALE:
        return None
    best = min(range(len(validation)), key=lambda index: validation[index][1])
    since, lowest = validation[best]
    later = [loss for _, loss in validation[best + 1 :]]
    if len(later) < STALE or min(later[-STALE:]) < lowest + WORSE * abs(lowest):
        return None
    before = [loss for update, loss in losses if update <= since][-3:]
    now = [loss for _, loss in losses[-3:]]
    if not before or fmean(now) > fmean(before) * (1 - WORSE):
        return None
    stop = "" if patience else f"; training.patience={STALE + 2} would stop by itself"
    return (
        f"overfitting since update {since:,}: the validation loss rose from {lowest:.4g} to {later[-1]:.4g} while that "
        f"of training fell from {fmean(before):.4g} to {fmean(now):.4g}; more data, more dropout or weight_decay, or a "
        f"smaller model{stop}"
    )


@dataclass
class Doctor:
    """Takes in the figures of one training and gives its advice, each cause once.

    Attributes:
        said: causes that there is nothing more to say of.
    """

    facts: Facts
    said: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self._losses: list[tuple[int, float]] = []
        self._rates: list[tuple[int, float]] = []
        self._norms: list[tuple[int, float]] = []
        self._validation: list[tuple[int, float]] = []

    def begin(self) -> list[str]:
        """What can be said before the first update."""
        return self._ask({"gpu": lambda: unused_gpu(self.facts), "padding": lambda: much_padding(self.facts)})

    def train(self, update: int, figures: Figures) -> list[str]:
        """Advice after a line of training figures."""
        for series, name in ((self._losses, "loss"), (self._rates, "learning_rate"), (self._norms, "gradient_norm")):
            value = figures.get(name)
            if value is not None and math.isfinite(value):
                series.append((update, float(value)))
        return self._ask(
            {
                "vocabulary": lambda: self._vocabulary(figures),
                "gradient": lambda: exploding_gradient(self._norms, self.facts.clip),
                "rate": lambda: high_learning_rate(self._losses, self._rates),
                "loss": lambda: loss_not_falling(self._losses, self.facts.warmup),
            }
        )

    def validation(self, update: int, figures: Figures) -> list[str]:
        """Advice after a validation."""
        value = figures.get("loss")
        if value is not None and math.isfinite(value):
            self._validation.append((update, float(value)))
        return self._ask({"overfitting": lambda: overfitting(self._losses, self._validation, self.facts.patience)})

    def _vocabulary(self, figures: Figures) -> str | None:
        """Once some epochs are over, which tells how many tokens the text has."""
        epoch = int(figures.get("epoch", 0))
        if epoch < 3 or "tokens" not in figures:
            return None
        return large_vocabulary(self.facts.vocabulary, int(figures["tokens"] / (epoch + 0.5)))

    def _ask(self, causes: dict[str, Callable[[], str | None]]) -> list[str]:
        lines: list[str] = []
        for cause, ask in causes.items():
            line = None if cause in self.said else ask()
            if line is not None:
                self.said.add(cause)
                lines.append(f"advice: {line}")
        return lines
