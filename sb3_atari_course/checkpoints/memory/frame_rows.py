"""Rows of a FrameReplayBuffer and the frames that they use as arrays for a file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course._common.cuda_device import check_cuda_device
from sb3_atari_course.checkpoints.memory.ring_blocks import Times, pack_ring, restore_ring
from sb3_atari_course.replay import FrameReplayBuffer, ReplayFileError
from sb3_atari_course.replay.files import saved_array
from sb3_atari_course.replay.frame_stores import Numbers
from sb3_atari_course.replay.frame_table import BLACK
from sb3_atari_course.replay.packed_frames import PackedFrames
from sb3_atari_course.replay.saving import SMALL_ARRAYS


class FrameRows:
    """The rows of a FrameReplayBuffer: its small arrays, numbers of frames, and these frames."""

    def __init__(self, buffer: FrameReplayBuffer) -> None:
        self._buffer = buffer
        self._stacks = buffer.stacks
        self._free: Numbers = np.zeros(0, np.int32)

    def rings(self) -> dict[str, NDArray[Any]]:
        """Return the arrays (n_rows, n_envs, ...) of which each step writes a row."""
        small = {name: getattr(self._buffer, name) for name in SMALL_ARRAYS}
        return {**small, "numbers": self._stacks.numbers}

    @property
    def n_written(self) -> int:
        """How many rows were written since the buffer was made, emptied or loaded."""
        return self._stacks.n_written

    def pack(self, times: Times) -> dict[str, NDArray[Any]]:
        """Return rows and the frames that they use; frames that are kept packed are not touched.

        Frames shared with the row before are among them, so these arrays stand alone.
        """
        stacks = self._stacks
        stacks.recover()
        packed: dict[str, NDArray[Any]] = {}
        for name, ring in self.rings().items():
            packed.update(pack_ring(name, ring, times))
        used = stacks.table.frames_in(stacks.numbers[self._places(times)])
        frames = stacks.table.store.pack(used)
        return {**packed, "used": used, "free": stacks.table.free, **frames._asdict()}

    def start(self) -> None:
        """Make room for rows and frames beside what the buffer has.

        :raises SettingError: if they shall lie on a card that is not there.
        """
        check_cuda_device("storage_device", self._buffer.storage_device)
        self._stacks = self._buffer.empty_stacks()

    def restore(self, times: Times, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write rows into their places, and frames under the numbers that they had.

        Numbers are given out again, but a frame keeps its own for as long as a row uses it. So
        where segments have different frames under a number, all rows that still count mean the
        last of them.

        :raises ReplayFileError: if something is damaged, missing or of other shapes.
        """
        for name, ring in self.rings().items():
            restore_ring(name, ring, times, arrays)
        used, self._free = (self._numbers_in(arrays, name) for name in ("used", "free"))
        numbers = self._stacks.numbers[self._places(times)]
        if not np.isin(numbers, np.append(used, BLACK)).all():
            raise ReplayFileError("rows use frames that are not among these")
        frame_size = self._stacks.table.frame_size if used.size else None  # of black rows
        packed = PackedFrames(
            saved_array(arrays, "reference", np.uint8, (frame_size,)),
            saved_array(arrays, "lengths", np.int32, used.shape),
            saved_array(arrays, "blobs", np.uint8, (None,)),
        )
        store = self._stacks.table.store
        store.reserve(1 + int(used.max(initial=BLACK)))
        store.put_packed(used, packed)

    def finish(self, n_written: int) -> None:
        """Let SB3's code read what was restored."""
        if n_written:
            self._stacks.adopt(n_written, self._free)
            self._buffer.keep_stacks_in(self._stacks)

    def _places(self, times: Times) -> NDArray[np.int64]:
        """Return where the rows are."""
        return np.arange(times.begin, times.end) % self._buffer.buffer_size

    def _numbers_in(self, arrays: Mapping[str, NDArray[Any]], name: str) -> Numbers:
        """Return numbers of frames, each there once, none larger than there can be."""
        numbers = saved_array(arrays, name, np.int32, (None,))
        limit = self._stacks.most_numbers
        if numbers.size and not (numbers.min() > BLACK and numbers.max() < limit):
            raise ReplayFileError(f"{name!r} has other numbers of frames than 1 to {limit - 1}")
        if len(np.unique(numbers)) != len(numbers):
            raise ReplayFileError(f"{name!r} has a number of a frame twice")
        return numbers
