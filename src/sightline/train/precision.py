"""Which number format to train in: what is asked for, or what this machine multiplies faster."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor

from sightline.errors import UsageError
from sightline.nn.ops import linear as model_linear

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}

# (rows, inputs, outputs) of linear layers in a small model and a batch of a few thousand tokens.
SHAPES = ((1024, 256, 1024), (1024, 1024, 256), (512, 256, 4096))
ADVANTAGE = 1.5
Linear = Callable[[Tensor, Tensor], Tensor]


def resolve(precision: str, device: torch.device | str = "cpu", linear: Linear = model_linear) -> str:
    """ "bf16" or "fp32" for a setting of "auto", "bf16" or "fp32".

    "auto" is bf16 on CUDA devices that have it, fp32 on MPS, and on a CPU whichever wins a measurement of
    about 50 ms: `linear(x_NI, weight_OI) -> y_NO` in bf16 must be 1.5 times as fast as in fp32, both by the
    path that the models' layers take. The measurement may
    fall out otherwise another day, so a run keeps the name it got in its configuration.

    Raises:
        UsageError: for another name.
    """
    if precision in DTYPES:
        return precision
    if precision != "auto":
        raise UsageError(f'precision: no such choice: "{precision}"; known: auto, bf16, fp32')
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if kind == "cpu":
        return "bf16" if cpu_speedup(linear) >= ADVANTAGE else "fp32"
    return "fp32"


@functools.cache
def cpu_speedup(linear: Linear = model_linear) -> float:
    """How many times faster `linear` is in bf16 than in fp32 on this CPU; measured once per process."""
    seconds = dict.fromkeys(DTYPES, 0.0)
    with torch.inference_mode():
        for rows, inputs, outputs in SHAPES:
            cases = {
                name: (torch.full((rows, inputs), 0.5, dtype=dtype), torch.full((outputs, inputs), 0.5, dtype=dtype))
                for name, dtype in DTYPES.items()
            }
            best = dict.fromkeys(DTYPES, float("inf"))
            # By turns, and the best of several: what else the machine does then hits neither format alone.
            for _ in range(4):
                for name, (x, weight) in cases.items():
                    start = time.perf_counter()
                    linear(x, weight)
                    best[name] = min(best[name], time.perf_counter() - start)
            for name in DTYPES:
                seconds[name] += best[name]
    return seconds["fp32"] / seconds["bf16"]


def resolve_device(device: str) -> str:
    """The device for a setting of "auto", "cpu", "cuda", "cuda:1" or "mps"; "auto" is the first of cuda, mps and cpu
    that is there.

    Raises:
        UsageError: where the one asked for is not there.
    """
    there = devices()
    if device == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if kind in there)
    if device not in there:
        raise UsageError(f'device: no "{device}" on this machine; there are: {", ".join(there)} (or auto)')
    return device


def devices() -> list[str]:
    """What this machine can compute on: "cpu", and with such processors "cuda", "cuda:0", "cuda:1" …, "mps"."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = ["cpu", *(["cuda"] if count else []), *(f"cuda:{number}" for number in range(count))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found
