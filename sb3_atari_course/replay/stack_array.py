"""What SB3's code reads instead of an array of observations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sb3_atari_course.replay.stacks import StackMemory


class StackArray:
    """What stands for the array of observations in SB3's buffer: (n_rows, n_envs, *shape) uint8.

    :param memory: where the stacks are.
    :param which: ``OBS`` or ``NEXT_OBS``.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, memory: StackMemory, which: int) -> None:
        self._memory, self._which = memory, which

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_rows, n_envs, *shape of a stack)."""
        return (*self._memory.numbers.shape[:2], *self._memory.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of an array of this shape; the frames themselves take less."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._memory.numbers)

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        inside = [part for part in parts[2:] if not isinstance(part, slice) or part != slice(None)]
        if inside or any(part is Ellipsis or part is None for part in parts[:2]):
            raise IndexError(f"only whole stacks can be read, by row and environment: {index}")
        return self._memory.read(parts[:2], self._which)
