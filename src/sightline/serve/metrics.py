"""What a server counts, in the text format of Prometheus."""

from __future__ import annotations

import threading
from collections import defaultdict

# name: (kind, what it is, the label that tells its rows apart)
FAMILIES = {
    "requests": ("counter", "requests answered, by path and status", ("path", "status")),
    "request_seconds": ("counter", "seconds from request to answer, summed, by path", ("path",)),
    "rejected": ("counter", "requests refused because too many waited", ("model",)),
    "given_up": ("counter", "jobs whose client left before the end", ("model",)),
    "active": ("gauge", "jobs being computed", ("model",)),
    "waiting": ("gauge", "jobs waiting", ("model",)),
    "steps": ("counter", "steps of a model", ("model",)),
    "step_rows": ("counter", "jobs in those steps, summed", ("model",)),
    "step_seconds": ("counter", "seconds in those steps", ("model",)),
}


class Metrics:
    """Counters and gauges; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[tuple[str, ...], float]] = defaultdict(lambda: defaultdict(float))

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        with self._lock:
            self._values[name][labels] += by

    def set(self, name: str, label: str, value: float) -> None:
        with self._lock:
            self._values[name][(label,)] = value

    def took(self, model: str, seconds: float, rows: int) -> None:
        """One step of a model over so many jobs."""
        with self._lock:
            for name, by in (("steps", 1), ("step_rows", rows), ("step_seconds", seconds)):
                self._values[name][(model,)] += by

    def text(self) -> str:
        """All of it as Prometheus reads it."""
        lines: list[str] = []
        with self._lock:
            for name, (kind, about, labels) in FAMILIES.items():
                full = f"sightline_{name}" + ("_total" if kind == "counter" else "")
                lines += [f"# HELP {full} {about}", f"# TYPE {full} {kind}"]
                for values, number in sorted(self._values[name].items()):
                    told = ",".join(f'{label}="{_escaped(one)}"' for label, one in zip(labels, values, strict=True))
                    lines.append(f"{full}{{{told}}} {number:g}")
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
