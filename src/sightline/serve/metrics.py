"""What a server counts, in the text format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

PREFIX = "sightline_"
# name: (what it is, the labels that tell its rows apart)
COUNTERS = {
    "requests": ("requests answered, by path and status", ("path", "status")),
    "request_seconds": ("seconds from request to answer, summed, by path", ("path",)),
    "rejected": ("requests refused because too many waited", ("model",)),
    "given_up": ("jobs whose client left before the end", ("model",)),
    "steps": ("steps of a model", ("model",)),
    "step_rows": ("jobs in those steps, summed", ("model",)),
    "step_seconds": ("seconds in those steps", ("model",)),
}
GAUGES = {
    "active": ("jobs being computed", ("model",)),
    "waiting": ("jobs waiting", ("model",)),
}


class Metrics:
    """Counters and gauges of one server, in a registry of its own; safe to use from any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters = {
            name: Counter(PREFIX + name, about, labels, registry=self._registry)
            for name, (about, labels) in COUNTERS.items()
        }
        self._gauges = {
            name: Gauge(PREFIX + name, about, labels, registry=self._registry)
            for name, (about, labels) in GAUGES.items()
        }

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        self._counters[name].labels(*labels).inc(by)

    def set(self, name: str, label: str, value: float) -> None:
        self._gauges[name].labels(label).set(value)

    def observe_step(self, model: str, seconds: float, jobs: int) -> None:
        """One step of a model over so many jobs."""
        for name, by in (("steps", 1), ("step_rows", jobs), ("step_seconds", seconds)):
            self.count(name, model, by=by)

    def text(self) -> str:
        """All of it as Prometheus reads it."""
        return generate_latest(self._registry).decode()
