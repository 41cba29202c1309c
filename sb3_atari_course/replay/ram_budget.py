"""Memory budget of a replay buffer: bytes needed, and available in RAM, container or GPU."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import torch as th

from sb3_atari_course._common.errors import ReplayMemoryError

CPU = th.device("cpu")
CGROUP = Path("/sys/fs/cgroup")


class MemoryEstimate(NamedTuple):
    """Lower and upper bound of a size in bytes."""

    low: int
    high: int

    def plus(self, n_bytes: int) -> MemoryEstimate:
        """Return the estimate increased by ``n_bytes``."""
        return MemoryEstimate(self.low + n_bytes, self.high + n_bytes)

    def __str__(self) -> str:
        if self.low == self.high:
            return format_bytes(self.low)
        return f"{format_bytes(self.low, self.high)} (estimated)"


def format_bytes(*n_bytes: float) -> str:
    """Return bytes as GB (10^9), or as MB (10^6) if small; several values as a range."""
    unit, name, digits = (1e9, "GB", 2) if max(n_bytes) >= 1e8 else (1e6, "MB", 1)
    return " to ".join(f"{n / unit:.{digits}f}" for n in n_bytes) + f" {name}"


def available_memory(device: th.device) -> int:
    """Return the free bytes of GPU memory, or of RAM within the limit of a container."""
    if device.type == "cuda":
        return int(th.cuda.mem_get_info(device)[0])
    return int(min(psutil.virtual_memory().available, _container_memory(CGROUP)))


def check_budget(
    need: MemoryEstimate, available: int, n_transitions: int, remedies: Sequence[str], *, warn: bool
) -> None:
    """Raise an error if a full replay buffer needs more memory than available.

    :param n_transitions: transitions of the full buffer, to suggest a size that fits.
    :param remedies: other settings that would help.
    :param warn: warn if only the upper bound does not fit.
    :raises ReplayMemoryError: if the lower bound does not fit.
    """
    if need.high <= available:
        return
    fitting = _two_digits(0.9 * available / need.high * n_transitions)
    remedies = [*remedies, *([f"buffer_size={fitting}"] if fitting else [])]
    message = (
        f"the replay buffer needs {need} when it is full, {format_bytes(available)} are available:"
        f" use {', or '.join(remedies or ['another machine, or end other programs'])}"
    )
    if need.low > available:
        raise ReplayMemoryError(message)
    if warn:
        warnings.warn(f"memory may run out: {message}", stacklevel=5)


def _container_memory(cgroup: Path) -> float:
    """Return the free bytes of a Linux container (control group version 2)."""
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
    # file cache can be reclaimed
    return int(limit) - used + int(statistics.get("inactive_file", 0))


def _two_digits(number: float) -> int:
    """Return a number rounded down to two significant digits: 540123 -> 540000."""
    step = 10 ** max(len(str(int(number))) - 2, 0)
    return int(number // step * step)
