"""How much memory the machine, its container or its card has left."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil
import torch as th

CGROUP = Path("/sys/fs/cgroup")


class Need(NamedTuple):
    """Bytes that something will take, at the least and at the most."""

    low: int
    high: int

    def plus(self, n_bytes: int) -> Need:
        """Return the need with ``n_bytes`` more."""
        return Need(self.low + n_bytes, self.high + n_bytes)

    def __str__(self) -> str:
        if self.low == self.high:
            return in_words(self.low)
        return f"{in_words(self.low, self.high)} (estimated)"


def in_words(*n_bytes: float) -> str:
    """Return bytes as GB (10^9) or, if few, as MB (10^6); several as a range."""
    unit, name, digits = (1e9, "GB", 2) if max(n_bytes) >= 1e8 else (1e6, "MB", 1)
    return " to ".join(f"{n / unit:.{digits}f}" for n in n_bytes) + f" {name}"


def available_memory(device: th.device) -> int:
    """Return the bytes that can still be taken on a CUDA card or the CPU.

    The CPU's are the machine's, or what a container may have of them.
    """
    if device.type == "cuda":
        return int(th.cuda.mem_get_info(device)[0])
    return int(min(psutil.virtual_memory().available, _container_memory(CGROUP)))


def _container_memory(cgroup: Path) -> float:
    """Return the bytes that a Linux container (control group version 2) may still take."""
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        statistics = dict(
            line.split() for line in (cgroup / "memory.stat").read_text().splitlines()
        )
    except OSError:
        return float("inf")
    if limit == "max":
        return float("inf")
    return int(limit) - used + int(statistics.get("inactive_file", 0))  # the cache gives way
