"""Which frames there are: numbers, when each was used last, places that are free again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.replay.files import ReplayFileError
from sb3_atari_course.replay.frame_stores import Frames, FrameStore, Numbers

#: The number of the black frame, which pads the stacks of SB3's VecFrameStack; it is always there.
BLACK = 0


class FrameTable:
    """Numbers frames; a frame that is used no more makes room for another.

    Uses have a time, the row in which they are, and end in the order in which they began. So a
    frame is used no more when its last use ends, and it is enough to know when that began.

    :param store: where the pixels lie; empty.
    :param frame_size: bytes in a frame.
    """

    def __init__(self, store: FrameStore, frame_size: int) -> None:
        self.store, self.frame_size = store, frame_size
        #: Numbers below this one have been given out, that of the black frame from the start.
        self.n_numbers = 1
        self._black_is_there = False
        #: When each frame was used last, (at least n_numbers,).
        self._last_use: Numbers = np.zeros(1024, np.int32)
        self._free: list[int] = []

    @property
    def n_frames(self) -> int:
        """How many frames there are, the black one included."""
        return self.n_numbers - len(self._free)

    def add(self, frames: Frames) -> Numbers:
        """Keep new frames (n, frame_size) and return their numbers (n,), to be used at once."""
        numbers = self._give_numbers(len(frames))
        self.store.put(numbers, frames)
        if not self._black_is_there:
            self.store.reserve(self.n_numbers)
            self.store.put(np.array([BLACK], np.int32), np.zeros((1, self.frame_size), np.uint8))
            self._black_is_there = True
        return numbers

    def take(self, numbers: Numbers) -> Any:
        """Return frames (*numbers.shape, frame_size) uint8."""
        return self.store.take(numbers)

    def use(self, numbers: Numbers, time: int) -> None:
        """Note that these frames are used from ``time`` on; never earlier than the last time."""
        self._last_use[numbers] = time

    def end_use(self, numbers: Numbers, time: int) -> None:
        """End the uses of these frames that began at ``time``, the earliest that goes on."""
        unused = set(numbers[self._last_use[numbers] == time].tolist())
        unused.discard(BLACK)
        self._free.extend(unused)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that is to be saved; who uses what, and since when, the users know."""
        return self.store.arrays(self.n_numbers)

    def restore(self, arrays: dict[str, NDArray[Any]], used: Numbers, first_time: int) -> None:
        """Take over saved frames.

        :param used: numbers used at the times ``first_time``, ``first_time + 1``, ...
        :raises ReplayFileError: if a frame is used that was not saved.
        """
        n_frames = self.store.restore(arrays)
        if used.size and not (used.min() >= 0 and used.max() < n_frames):
            raise ReplayFileError(
                f"frames {used.min()} to {used.max()} are used, {n_frames} were saved"
            )
        self.n_numbers, self._black_is_there = max(n_frames, 1), False  # put it again: no harm
        self._last_use = np.zeros(max(self.n_numbers, 1024), np.int32)
        self.recount(used, first_time)

    @property
    def free(self) -> Numbers:
        """Numbers that nobody uses, the one given out next at the end."""
        return np.array(self._free, np.int32)

    def frames_in(self, numbers: Numbers) -> Numbers:
        """Return which frames these are, each once, in the order of their numbers; not black."""
        is_there = np.zeros(self.n_numbers, bool)
        is_there[numbers] = True
        is_there[BLACK] = False
        return np.flatnonzero(is_there).astype(np.int32)

    def adopt(self, used: Numbers, first_time: int, free: Numbers) -> None:
        """Take over frames that were put into the store under numbers of another table.

        :param used: numbers used at the times ``first_time``, ``first_time + 1``, ...
        :param free: what :attr:`free` was there: frames to come get the same numbers as there, if
            it agrees with what is used.
        """
        self.n_numbers = 1 + max(int(numbers.max(initial=BLACK)) for numbers in (used, free))
        self.store.reserve(self.n_numbers)
        self.store.put(np.array([BLACK], np.int32), np.zeros((1, self.frame_size), np.uint8))
        self._black_is_there = True
        self._last_use = np.zeros(max(self.n_numbers, 1024), np.int32)
        self.recount(used, first_time)
        if sorted(self._free, reverse=True) == sorted(free.tolist(), reverse=True):
            self._free = free.tolist()

    def recount(self, used: Numbers, first_time: int) -> None:
        """Forget all uses but these.

        :param used: numbers used at the times ``first_time``, ``first_time + 1``, ...
        """
        _note(self._last_use, used, first_time)
        self._free = sorted(self._unused(used), reverse=True)

    def check_valid(self, used: Numbers, first_time: int) -> None:
        """Assert that ends of uses and free places agree with the uses.

        :param used: numbers used at the times ``first_time``, ``first_time + 1``, ...
        """
        assert len(self._free) == len(set(self._free)), "a place is free twice"
        assert set(self._free) == self._unused(used), "a free place is in use or a used one free"
        last_use = self._last_use.copy()
        _note(last_use, used, first_time)
        assert (last_use == self._last_use).all(), "a frame was used at another time than noted"

    def _unused(self, used: Numbers) -> set[int]:
        """Return the numbers given out that are not among ``used``."""
        in_use = np.zeros(self.n_numbers, bool)
        in_use[used] = True
        return set(np.flatnonzero(~in_use).tolist()) - {BLACK}

    def _give_numbers(self, n: int) -> Numbers:
        """Return ``n`` numbers that nobody uses."""
        n_recycled = min(n, len(self._free))
        recycled = self._free[len(self._free) - n_recycled :]
        del self._free[len(self._free) - n_recycled :]
        first = self.n_numbers
        if n_recycled < n:
            self._reserve(n - n_recycled)
        return np.array([*recycled, *range(first, self.n_numbers)], np.int32)

    def _reserve(self, n: int) -> None:
        """Give out ``n`` more numbers."""
        n_numbers = self.n_numbers + n
        self.store.reserve(n_numbers)
        if n_numbers > len(self._last_use):
            more = np.zeros(n_numbers, np.int32)  # twice as many, so that it is rare
            self._last_use = np.concatenate([self._last_use, more])
        self.n_numbers = n_numbers  # last, so that an interruption changes nothing


def _note(last_use: Numbers, used: Numbers, first_time: int) -> None:
    """Write the time of each frame's last use into ``last_use``."""
    times = np.arange(first_time, first_time + len(used), dtype=np.int32)
    at_a_time = math.prod(used.shape[1:])
    last_use[used.reshape(len(used), at_a_time)] = times[:, None]  # the latest is written last
