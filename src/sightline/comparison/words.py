"""A comparison in words and cells, which the terminal, Markdown and the page share."""

from __future__ import annotations

from sightline.comparison.comparison import Bucket, Comparison, Row, ScoreTable, SetTable
from sightline.comparison.statistics import LEVEL, Compared, Interval
from sightline.sight.tables import Table, markdown_table, markdown_text
from sightline.train.metric import Metric

MIB = 1 << 20


def quality(comparison: Comparison, one: SetTable, score: ScoreTable) -> Table:
    """One score of all models, with the difference from the baseline and whether that is chance."""
    columns = ("model", score.metric.title, f"{LEVEL:.0%} of resamples", "difference", "interval", "p")
    several = any(len(model.by_seed) > 1 for model in score.models)
    rows = [
        (
            name,
            _value(score.metric, found),
            _interval(score.metric, found.interval),
            *_difference(score.metric, found),
            *([_seeds(score.metric, found)] if several else []),
        )
        for name, found in zip(comparison.names, score.models, strict=True)
    ]
    better = "higher" if score.metric.higher_is_better else "lower"
    unit = " (%)" if score.metric.unit == "%" else ""
    title = f"{one.name}: {score.metric.title}{unit} of {one.records:,} {one.unit}, {better} is better"
    return Table(title, (*columns, *(["seeds"] if several else [])), tuple(rows))


def _value(metric: Metric, found: Compared) -> str:
    return _number(metric, found.value)


def _interval(metric: Metric, interval: Interval) -> str:
    return f"{_number(metric, interval.low)} … {_number(metric, interval.high)}"


def _number(metric: Metric, value: float, signed: bool = False) -> str:
    # of shares a set is too small to tell more digits
    digits = 2 if metric.unit == "%" else metric.digits
    return f"{value:{'+' if signed else ''}.{digits}f}"


def _difference(metric: Metric, found: Compared) -> tuple[str, str, str]:
    if found.difference is None:
        return "baseline", "", ""
    one = found.difference
    p = max(one.p_bootstrap, one.p_randomisation)
    return _number(metric, one.value, signed=True), _interval(metric, one.interval), f"{p:.3f}"


def _seeds(metric: Metric, found: Compared) -> str:
    if found.seeds is None:
        return "1"
    return f"{len(found.by_seed)}: {_interval(metric, found.seeds)}"


def verdicts(comparison: Comparison, score: ScoreTable) -> list[str]:
    """What a score shows of each model beside the baseline, a sentence each."""
    found: list[str] = []
    baseline = comparison.names[0]
    for name, model in zip(comparison.names[1:], score.models[1:], strict=True):
        assert model.difference is not None
        p, value = max(model.difference.p_bootstrap, model.difference.p_randomisation), model.difference.value
        if not model.difference.shown:
            found.append(
                f"{name} and {baseline}: no difference in {score.metric.title} is shown (p = {p:.3f}); a larger test "
                "set or more seeds may show one"
            )
            continue
        better = (value > 0) == score.metric.higher_is_better
        caution = _caution(score.models[0], model)
        found.append(
            f"{name} is {'better' if better else 'worse'} than {baseline} by {_number(score.metric, abs(value))} "
            f"{'points of ' if score.metric.unit == '%' else ''}{score.metric.title} (p = {p:.3f}){caution}"
        )
    return found


def _caution(baseline: Compared, other: Compared) -> str:
    """What seeds say against a difference that the test set shows, or that they were not asked."""
    if baseline.seeds is None or other.seeds is None:
        return "; of these two trainings: other seeds were not tried"
    if baseline.seeds.low <= other.seeds.high and other.seeds.low <= baseline.seeds.high:
        return "; but the intervals over seeds overlap, so another training may show less"
    return "; the intervals over seeds do not overlap, either"


def costs(comparison: Comparison) -> Table:
    """What the models take: parameters, training, speed and memory."""
    columns = ("model", "parameters", "updates", "core-min", "records/s", "one, ms", "peak MiB")
    return Table("what they take", columns, tuple(_cost(row) for row in comparison.rows))


def _cost(row: Row) -> tuple[str, ...]:
    fast = row.speed
    used = (
        ("", "", "")
        if fast is None
        else (f"{fast.per_second:,.1f}", f"{1000 * fast.latency:,.1f}", _mib(fast.peak_bytes))
    )
    return (row.name, f"{row.parameters:,}", f"{row.updates:,}", f"{row.core_minutes:,.1f}", *used)


def _mib(count: int | None) -> str:
    return "" if count is None else f"{count / MIB:,.0f}"


def by_length(comparison: Comparison, one: SetTable) -> Table:
    """The first score by the length of the input."""
    metric = one.scores[0].metric
    names = [span_of(bucket) for bucket in one.by_length]
    rows = [
        (name, *(_number(metric, bucket.values[number]) for bucket in one.by_length))
        for number, name in enumerate(comparison.names)
    ]
    counts = ("records", *(f"{bucket.records:,}" for bucket in one.by_length))
    return Table(f"{one.name}: {metric.title} by words of the input", ("model", *names), (*rows, counts))


def span_of(bucket: Bucket) -> str:
    """The numbers of words that a bucket holds."""
    return f"{bucket.low}" if bucket.low == bucket.high else f"{bucket.low}–{bucket.high}"


def notes(comparison: Comparison) -> list[str]:
    """How the figures were made, and what to be careful about."""
    signatures = dict.fromkeys(
        f"{score.metric.title}: {score.signature}" for one in comparison.sets for score in one.scores if score.signature
    )
    caution = [f"compared although {one}" for one in comparison.unlike]
    return [
        *caution,
        *signatures,
        "p: the larger one of the paired bootstrap and of approximate randomisation, corrected for how many models",
        comparison.made_with,
    ]


def tables(comparison: Comparison) -> list[Table]:
    """All of them, in order."""
    found: list[Table] = []
    for one in comparison.sets:
        found += [quality(comparison, one, score) for score in one.scores]
        if len(one.by_length) > 1:
            found.append(by_length(comparison, one))
    return [*found, costs(comparison)]


def markdown(comparison: Comparison) -> str:
    """The comparison as Markdown."""
    parts = [f"# {' · '.join(comparison.names)}"]
    parts += [f"> **{one}**" for one in (f"compared although {unlike}" for unlike in comparison.unlike)]
    for one in comparison.sets:
        parts.append(f"## {one.name}")
        for score in one.scores:
            parts += [markdown_table(quality(comparison, one, score))]
        parts.append("\n".join(f"- {line}" for line in verdicts(comparison, one.scores[0])))
        if len(one.by_length) > 1:
            parts.append(markdown_table(by_length(comparison, one)))
        for example in one.examples:
            answers = [
                f"- {name}: {markdown_text(output)}"
                for name, output in zip(comparison.names, example.outputs, strict=True)
            ]
            reference = [f"- reference: {markdown_text(example.reference)}"] * bool(example.reference)
            parts.append("\n".join([f"{example.number}. {markdown_text(example.input)}", "", *reference, *answers]))
    parts.append(markdown_table(costs(comparison)))
    parts.append("\n".join(f"- {line}" for line in notes(comparison)))
    return "\n\n".join(parts) + "\n"
