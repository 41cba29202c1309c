"""Where the pixels lie: what a store of frames does, and which there are."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course.replay.memory import Need
from sb3_atari_course.replay.packed_frames import PackedFrames

Frames = NDArray[np.uint8]
Numbers = NDArray[np.int32]


class FrameStore(Protocol):
    """Places for frames of ``frame_size`` bytes, numbered from 0; a place can be used again."""

    device: th.device

    def reserve(self, n_frames: int) -> None:
        """Make room for the numbers below ``n_frames``, which never gets less."""

    def put(self, numbers: Numbers, frames: Frames) -> None:
        """Keep frames (n, frame_size) under these numbers (n,)."""

    def take(self, numbers: Numbers) -> Any:
        """Return the frames with these numbers: (*numbers.shape, frame_size) uint8, new memory.

        An array; a tensor where the frames lie on a card.
        """

    def pack(self, numbers: Numbers) -> PackedFrames:
        """Return the frames with these numbers (n,), packed."""

    def put_packed(self, numbers: Numbers, packed: PackedFrames) -> None:
        """Keep packed frames under these numbers (n,), of which there are as many.

        :raises ReplayFileError: if they cannot be unpacked.
        """

    @property
    def n_bytes(self) -> int:
        """Bytes that the frames take now."""

    def bytes_of(self, n_frames: int) -> Need:
        """Return the bytes that so many frames are expected to take."""

    def arrays(self, n_frames: int) -> dict[str, NDArray[Any]]:
        """Return all that is kept under the first ``n_frames`` numbers, to be saved."""

    def restore(self, arrays: dict[str, NDArray[Any]]) -> int:
        """Take over what :meth:`arrays` returned, and return how many frames these are.

        :raises ReplayFileError: if the arrays do not belong together.
        """
