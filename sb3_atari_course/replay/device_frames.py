"""Frames in a tensor, on a CUDA card, say, and gathered there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course.replay.files import saved_array
from sb3_atari_course.replay.frame_stores import Frames, Numbers
from sb3_atari_course.replay.memory import Need


class DeviceFrames:
    """Frames in a tensor, as they are.

    :param frame_size: bytes in a frame.
    :param n_expected: frames to make room for at first, all at once; an eighth more when needed.
    :param device: where.
    """

    def __init__(self, frame_size: int, n_expected: int, device: th.device) -> None:
        self.frame_size, self.n_expected, self.device = frame_size, n_expected, device
        self._frames = th.empty((0, frame_size), dtype=th.uint8)

    def reserve(self, n_frames: int) -> None:
        """Make room for the numbers below ``n_frames``."""
        room = len(self._frames)
        if n_frames > room or self._frames.device != self.device:  # loaded frames are on the CPU
            room = max(self.n_expected, n_frames, room + room // 8)
            grown = th.empty((room, self.frame_size), dtype=th.uint8, device=self.device)
            grown[: len(self._frames)] = self._frames.to(self.device)
            self._frames = grown

    def put(self, numbers: Numbers, frames: Frames) -> None:
        """Keep frames (n, frame_size) under these numbers (n,)."""
        self.reserve(len(self._frames))
        index = th.as_tensor(numbers.astype(np.int64), device=self.device)
        self._frames[index] = th.tensor(frames, device=self.device)

    def take(self, numbers: Numbers) -> th.Tensor:
        """Return these frames, on the device."""
        index = th.as_tensor(numbers.reshape(-1).astype(np.int64), device=self._frames.device)
        return self._frames.index_select(0, index).reshape(*numbers.shape, self.frame_size)

    @property
    def n_bytes(self) -> int:
        """Bytes that the frames take now."""
        return self._frames.nbytes

    def bytes_of(self, n_frames: int) -> Need:
        """Return the bytes of so many frames."""
        return Need(n_frames * self.frame_size, n_frames * self.frame_size)

    def arrays(self, n_frames: int) -> dict[str, NDArray[Any]]:
        """Return the frames, (n_frames, frame_size), in the memory of the CPU."""
        return {"frames": self._frames[:n_frames].cpu().numpy()}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> int:
        """Take over these frames; to the device they go when a frame is put there."""
        frames = saved_array(arrays, "frames", np.uint8, (None, self.frame_size))
        self._frames = th.from_numpy(frames)
        return len(frames)
