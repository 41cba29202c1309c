"""Pool of NumPy arrays that are reused once they are no longer referenced."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


def count_references(arrays: list[Any]) -> list[int]:
    """Return the reference count of each array, including the references of the count itself."""
    return [sys.getrefcount(array) for array in arrays]


#: Count of an object that is referenced by the list only; it depends on the version of Python.
(UNUSED,) = count_references([object()])

#: Largest array to keep, in bytes: a batch of about 1,000 stacks of the DQN paper.
LARGEST = 32 * 2**20


class ArrayPool:
    """Pool of uint8 arrays; an array is reused once it is no longer referenced.

    A new array costs more time than filling it, because the system clears each page on first use.
    Views, and tensors made from an array, reference it, so an array in use is never returned again.

    :param n_arrays: number of arrays to keep; by default two each for the current and the previous
        batch.
    """

    def __init__(self, n_arrays: int = 4) -> None:
        self.n_arrays = n_arrays
        self._arrays: list[Frames] = []
        self._lock = threading.Lock()

    def array(self, shape: tuple[int, ...]) -> Frames:
        """Return an uninitialized uint8 array."""
        with self._lock:  # no other thread may take the array between count and return
            for i, n_references in enumerate(count_references(self._arrays)):
                if n_references == UNUSED and self._arrays[i].shape == shape:
                    return self._arrays[i]
            array = np.empty(shape, np.uint8)
            if array.nbytes <= LARGEST:
                self._arrays = [array, *self._arrays[: self.n_arrays - 1]]
            return array
