"""A pool of NumPy arrays, which are used again once nobody references them."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


def count_holders(arrays: list[Any]) -> list[int]:
    """Return how many references each array has, with those that counting takes."""
    return [sys.getrefcount(array) for array in arrays]


#: What is counted if nobody but the list holds the array; it differs from Python to Python.
(UNUSED,) = count_holders([object()])

#: Larger arrays are not remembered, in bytes: a batch of 1,000 stacks of the DQN paper.
LARGEST = 32 * 2**20


class ArrayPool:
    """Hands out arrays; one that its last user has let go of is used again.

    New memory costs more than what is written into it: the system clears every page at its first
    touch. A tensor made from an array holds it, as a view does, so what was handed out is nobody
    else's for as long as anyone has it.

    :param n_arrays: arrays that are remembered: by default two of a batch and two of the one
        before.
    """

    def __init__(self, n_arrays: int = 4) -> None:
        self.n_arrays = n_arrays
        self._arrays: list[Frames] = []
        self._lock = threading.Lock()

    def array(self, shape: tuple[int, ...]) -> Frames:
        """Return an array of uint8 with any content."""
        with self._lock:  # between the counting and the holding no other thread may come
            for i, n_holders in enumerate(count_holders(self._arrays)):
                if n_holders == UNUSED and self._arrays[i].shape == shape:
                    return self._arrays[i]
            array = np.empty(shape, np.uint8)
            if array.nbytes <= LARGEST:
                self._arrays = [array, *self._arrays[: self.n_arrays - 1]]
            return array
