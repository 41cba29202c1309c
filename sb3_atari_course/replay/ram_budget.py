"""RAM budget of a replay buffer: what it needs, and what the machine, container or GPU has left."""

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


class Need(NamedTuple):
    """Bytes that something will take, at least and at most."""

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
    """Return the bytes that can still be taken on a CUDA device or the CPU.

    The CPU's are the machine's, or what a container may have of them.
    """
    if device.type == "cuda":
        return int(th.cuda.mem_get_info(device)[0])
    return int(min(psutil.virtual_memory().available, _container_memory(CGROUP)))


def check_budget(
    need: Need, available: int, n_transitions: int, remedies: Sequence[str], *, warn: bool
) -> None:
    """Raise an error if a full replay buffer needs more bytes than there are.

    :param n_transitions: transitions of the full buffer, to suggest a size that fits.
    :param remedies: other settings that would help.
    :param warn: also if only the higher end of the estimate does not fit.
    :raises ReplayMemoryError: if not even the lower end fits.
    """
    if need.high <= available:
        return
    fitting = _two_digits(0.9 * available / need.high * n_transitions)
    ways_out = [*remedies, *([f"buffer_size={fitting}"] if fitting else [])]
    message = (
        f"the replay buffer needs {need} when it is full, {in_words(available)} are available:"
        f" choose {', or '.join(ways_out or ['another machine, or end other programs'])}"
    )
    if need.low > available:
        raise ReplayMemoryError(message)
    if warn:
        warnings.warn(f"this may not fit: {message}", stacklevel=5)


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


def _two_digits(number: float) -> int:
    """Return a number rounded down to two digits: 540123 -> 540000."""
    step = 10 ** max(len(str(int(number))) - 2, 0)
    return int(number // step * step)
