"""Rows of SB3's own replay buffers as arrays for a file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_atari_course.checkpoints.memory.ring_blocks import Times, pack_ring, restore_ring
from sb3_atari_course.replay.saving import SMALL_ARRAYS


class PlainRows:
    """The rows of a ReplayBuffer, NStepReplayBuffer or DictReplayBuffer: those of its arrays."""

    def __init__(self, buffer: ReplayBuffer) -> None:
        self._buffer = buffer

    def rings(self) -> dict[str, NDArray[Any]]:
        """Return the arrays (n_rows, n_envs, ...) of which each step writes a row."""
        buffer, rings = self._buffer, {}
        others = () if buffer.optimize_memory_usage else ("next_observations",)
        for name in ("observations", *others):
            array: Any = getattr(buffer, name)
            parts = array.values() if isinstance(array, dict) else [array]
            rings.update({f"{name}{i or ''}": part for i, part in enumerate(parts)})
        return {**rings, **{name: getattr(buffer, name) for name in SMALL_ARRAYS}}

    @property
    def n_written(self) -> int:
        """How many rows were written at the least: SB3 does not count how often it went round."""
        return self._buffer.pos + self._buffer.buffer_size * self._buffer.full

    def pack(self, times: Times) -> dict[str, NDArray[Any]]:
        """Return rows, packed."""
        packed: dict[str, NDArray[Any]] = {}
        for name, ring in self.rings().items():
            packed.update(pack_ring(name, ring, self._times_in(name, times)))
        return packed

    def start(self) -> None:
        """Nothing is to be done before rows are restored."""

    def restore(self, times: Times, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write packed rows into their places.

        :raises ReplayFileError: if they are damaged or of other shapes.
        """
        for name, ring in self.rings().items():
            restore_ring(name, ring, self._times_in(name, times), arrays)

    def finish(self, n_written: int) -> None:
        """Let SB3 go on after so many rows."""
        size = self._buffer.buffer_size
        self._buffer.pos, self._buffer.full = n_written % size, n_written >= size

    def _times_in(self, name: str, times: Times) -> Times:
        """Return which rows of an array are needed.

        Where memory is saved, the next observation of the newest row lies already where the next
        row will be written.
        """
        if self._buffer.optimize_memory_usage and name.startswith("observations"):
            return times._replace(end=times.end + 1)
        return times
