"""Set-up of a process for training or serving: what memory is kept, and how many threads compute."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import suppress
from pathlib import Path

import torch

# Parameters of mallopt(3) in glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018 - only glibc has it, and other mallopts mean other things
    except (OSError, AttributeError, TypeError):
        return None
    return libc


def retain_freed_memory() -> bool:
    """Tells glibc to reuse large blocks instead of returning them to the system; False where there is no glibc.

    By default every tensor above 32 MiB (less at first) is mapped and unmapped afresh, and each of its pages is faulted
    in and cleared again. One update of a small model with 8000 outputs and 2048 tokens took 64,700 page faults and
    340 ms on one core; with these settings it takes none and 300 ms, for 60 % more resident memory.
    """
    return _mallopt({M_MMAP_THRESHOLD: 1 << 30, M_TRIM_THRESHOLD: (1 << 31) - 1, M_TOP_PAD: 64 << 20})


def mmap_large_blocks() -> bool:
    """Tells glibc to map every block of a megabyte or more by itself, for a server; False where there is no glibc.

    By default that threshold grows with each block that is freed, and blocks of all sizes come to lie between each
    other on the heap: in `benchmarks/serve.py` a server grew by 103 MiB, with this setting by 56.
    """
    return _mallopt({M_MMAP_THRESHOLD: 1 << 20})


def _mallopt(wanted: dict[int, int]) -> bool:
    libc = _glibc()
    if libc is None:
        return False
    mallopt = libc.mallopt
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    return all([mallopt(parameter, value) == 1 for parameter, value in wanted.items()])


class MemoryTrimmer:
    """Returns memory now and then: after an update that ends with half as much again as the first one since did.

    Batches of many shapes leave holes of many sizes: what `retain_freed_memory` keeps grew by 50 to 100 MB an update
    of a small BERT. Returning it takes 0.1 s and the pages are faulted in again, so `least` updates pass in any case.
    """

    def __init__(self, least: int = 20) -> None:
        self._least, self._updates, self._first = least, 0, 0

    def after_update(self) -> None:
        """To be called after each update."""
        self._updates += 1
        if self._updates == 1:
            self._first = resident_bytes()
        elif self._updates > self._least and resident_bytes() > 1.5 * self._first:
            trim_memory()
            self._updates = 0


def resident_bytes() -> int:
    """Bytes of memory that this process holds; 0 where the system does not tell as Linux does."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(device: torch.device) -> int:
    """The most memory that this process has held since `forget_peak`, or tensors have held on another device than the
    CPU; 0 where nothing tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def forget_peak() -> None:
    """Lets `peak_bytes` begin anew, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def trim_memory() -> None:
    """Gives the system back what glibc keeps and does not use."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(ctypes.c_size_t(0))


def setup(threads: int | None = None) -> int:
    """Prepares this process for training, before the first large tensor; returns the CPU threads in use.

    The number of threads decides in which order sums are taken, hence the last bits of the weights: a run that is to
    be resumed exactly needs the number it began with.
    """
    retain_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def processor() -> str:
    """What the processor is called, and how many of its cores there are."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
