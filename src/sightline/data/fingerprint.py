"""What identifies data that was read: one SHA-256 over all numbers and words of it, wherever the files lie."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import cast

import numpy as np
import torch


def fingerprint(*values: object) -> str:
    """SHA-256 (hexadecimal) of arrays, tensors, numbers and text in dataclasses, sequences and dictionaries.

    Anything else, such as the path of a file or a function, does not count: the same data elsewhere is the same.
    """
    digest = hashlib.sha256()
    _feed(values, digest.update)
    return digest.hexdigest()


def _feed(value: object, update: Callable[[bytes | memoryview], None]) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        update(f"{value.dtype.str}{value.shape}".encode())
        if value.dtype == object:
            _feed(value.tolist(), update)
        elif value.size:
            update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    elif isinstance(value, str | int | float | np.number) or value is None:
        update(f"{value!r};".encode("utf-8", "surrogatepass"))
    elif is_dataclass(value):
        for field in fields(value):
            update(field.name.encode())
            _feed(getattr(value, field.name), update)
    elif isinstance(value, dict):
        _feed(list(cast("dict[object, object]", value).items()), update)
    elif isinstance(value, list | tuple):
        entries = cast("list[object]", value)
        update(f"[{len(entries)}".encode())
        try:
            update(array("q", cast("list[int]", entries)).tobytes())  # most are token ids
        except (TypeError, OverflowError):
            for one in entries:
                _feed(one, update)
