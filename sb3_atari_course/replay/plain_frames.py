"""Frames as they are, in one array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course._common.array_pool import ArrayPool
from sb3_atari_course.replay.files import saved_array
from sb3_atari_course.replay.frame_stores import Frames, Numbers
from sb3_atari_course.replay.memory import Need
from sb3_atari_course.replay.packed_frames import PackedFrames, pack_plain, unpacked

#: By which part a store grows when there are more frames than expected.
GROWTH = 1 / 128


class PlainFrames:
    """Frames in one array of memory, to be had as they are.

    :param frame_size: bytes in a frame.
    :param n_expected: frames to make room for at first; the system hands out memory only where
        frames have been written. More than that are taken a little at a time.
    """

    device = th.device("cpu")

    def __init__(self, frame_size: int, n_expected: int) -> None:
        self.frame_size, self.n_expected = frame_size, n_expected
        self._frames: Frames = np.empty((0, frame_size), np.uint8)
        self._n_used = 0
        self._pool = ArrayPool()

    def reserve(self, n_frames: int) -> None:
        """Make room for the numbers below ``n_frames``."""
        room = len(self._frames)
        if n_frames > room:
            room = max(self.n_expected, n_frames, room + math.ceil(GROWTH * room))
            if self._frames.flags.owndata and len(self._frames):
                # in place, so that the frames need not be there twice while they are copied
                self._frames.resize((room, self.frame_size), refcheck=False)
            else:
                frames = np.empty((room, self.frame_size), np.uint8)
                frames[: len(self._frames)] = self._frames
                self._frames = frames
        self._n_used = n_frames

    def put(self, numbers: Numbers, frames: Frames) -> None:
        """Keep frames (n, frame_size) under these numbers (n,)."""
        self._frames[numbers] = frames

    def take(self, numbers: Numbers) -> Frames:
        """Return a copy of these frames."""
        out = self._pool.array((*numbers.shape, self.frame_size))
        return np.take(self._frames, numbers, axis=0, out=out, mode="clip")

    def pack(self, numbers: Numbers) -> PackedFrames:
        """Return these frames, packed."""
        return pack_plain(self.take, numbers)

    def put_packed(self, numbers: Numbers, packed: PackedFrames) -> None:
        """Keep packed frames under these numbers (n,)."""
        for some, frames in unpacked(packed, numbers, self.frame_size):
            self.put(some, frames)

    @property
    def n_bytes(self) -> int:
        """Bytes that the frames take now."""
        return self._n_used * self.frame_size

    def bytes_of(self, n_frames: int) -> Need:
        """Return the bytes of so many frames."""
        return Need(n_frames * self.frame_size, n_frames * self.frame_size)

    def arrays(self, n_frames: int) -> dict[str, NDArray[Any]]:
        """Return the frames, (n_frames, frame_size)."""
        return {"frames": self._frames[:n_frames]}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> int:
        """Take over these frames."""
        self._frames = saved_array(arrays, "frames", np.uint8, (None, self.frame_size))
        self._n_used = len(self._frames)
        return self._n_used
