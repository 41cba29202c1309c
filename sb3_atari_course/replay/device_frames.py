"""Frames in tensors, on a CUDA card, say, and gathered there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course.replay.files import saved_array
from sb3_atari_course.replay.frame_stores import Frames, Numbers
from sb3_atari_course.replay.memory import Need
from sb3_atari_course.replay.packed_frames import PackedFrames, pack_plain, unpacked

#: By which part a store grows when there are more frames than expected.
GROWTH = 1 / 16


class DeviceFrames:
    """Frames as they are, in one block of memory, and in smaller ones if there are too many.

    :param frame_size: bytes in a frame.
    :param n_expected: frames to make room for at first, all at once.
    :param device: where.
    """

    def __init__(self, frame_size: int, n_expected: int, device: th.device) -> None:
        self.frame_size, self.n_expected, self.device = frame_size, n_expected, device
        self._blocks: list[th.Tensor] = []

    def reserve(self, n_frames: int) -> None:
        """Make room for the numbers below ``n_frames``."""
        if self._blocks and self._blocks[0].device.type != self.device.type:  # loaded, for a card
            (saved,) = self._blocks
            shape = (max(len(saved), self.n_expected), self.frame_size)
            self._blocks = [th.empty(shape, dtype=th.uint8, device=self.device)]
            self._blocks[0][: len(saved)] = saved.to(self.device)
        missing = n_frames - sum(map(len, self._blocks))
        if missing > 0:
            usual = int(self.n_expected * GROWTH) if self._blocks else self.n_expected
            shape = (max(missing, usual), self.frame_size)
            self._blocks.append(th.empty(shape, dtype=th.uint8, device=self.device))

    def put(self, numbers: Numbers, frames: Frames) -> None:
        """Keep frames (n, frame_size) under these numbers (n,)."""
        self.reserve(0)
        for block, here, places in self._places(numbers):
            block.index_copy_(0, places, send(frames[here], block.device))

    def take(self, numbers: Numbers) -> th.Tensor:
        """Return these frames, on the device."""
        flat = numbers.reshape(-1)
        parts = self._places(flat)
        if len(parts) == 1:
            ((block, _, places),) = parts
            frames = block.index_select(0, places)
        else:
            device = self._blocks[0].device
            frames = th.empty((flat.size, self.frame_size), dtype=th.uint8, device=device)
            for block, here, places in parts:
                frames[th.as_tensor(here, device=device)] = block.index_select(0, places)
        return frames.reshape(*numbers.shape, self.frame_size)

    def gather(self, numbers: th.Tensor) -> th.Tensor:
        """Return frames (*numbers.shape, frame_size); for numbers that are on the device.

        Nothing waits for the device, and the same commands are right for all numbers.
        """
        flat, first = numbers.reshape(-1), 0
        frames = th.empty((0, self.frame_size))
        for block in self._blocks:
            here = block.index_select(0, (flat - first).clamp(0, len(block) - 1))
            frames = th.where((flat >= first)[:, None], here, frames) if first else here
            first += len(block)
        return frames.reshape(*numbers.shape, self.frame_size)

    def pack(self, numbers: Numbers) -> PackedFrames:
        """Return these frames, packed, in the memory of the CPU."""
        return pack_plain(lambda some: self.take(some).cpu().numpy(), numbers)

    def put_packed(self, numbers: Numbers, packed: PackedFrames) -> None:
        """Keep packed frames under these numbers (n,)."""
        for some, frames in unpacked(packed, numbers, self.frame_size):
            self.put(some, frames)

    @property
    def addresses(self) -> tuple[int, ...]:
        """Where the blocks of frames begin and end."""
        return tuple(
            address for block in self._blocks for address in (block.data_ptr(), len(block))
        )

    @property
    def n_bytes(self) -> int:
        """Bytes that the frames take now on the device."""
        return sum(b.nbytes for b in self._blocks if b.device.type == self.device.type)

    def bytes_of(self, n_frames: int) -> Need:
        """Return the bytes of so many frames."""
        return Need(n_frames * self.frame_size, n_frames * self.frame_size)

    def arrays(self, n_frames: int) -> dict[str, NDArray[Any]]:
        """Return the frames, (n_frames, frame_size), in the memory of the CPU."""
        blocks, first = [np.zeros((0, self.frame_size), np.uint8)], 0
        for block in self._blocks:
            blocks.append(block[: max(n_frames - first, 0)].cpu().numpy())
            first += len(block)
        return {"frames": np.concatenate(blocks)}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> int:
        """Take over these frames; to the device they go when learning goes on."""
        frames = saved_array(arrays, "frames", np.uint8, (None, self.frame_size))
        self._blocks = [th.from_numpy(frames)] if len(frames) else []
        return len(frames)

    def _places(self, numbers: Numbers) -> list[tuple[th.Tensor, NDArray[np.int64], th.Tensor]]:
        """Return for each block that is concerned: which numbers are there, and where."""
        parts, first = [], 0
        for block in self._blocks:
            here = np.flatnonzero((numbers >= first) & (numbers < first + len(block)))
            if here.size:
                places = send(numbers[here] - first, block.device).long()
                parts.append((block, here, places))
            first += len(block)
        return parts


def send(array: NDArray[Any], device: th.device) -> th.Tensor:
    """Return an array as a tensor on a device, without waiting for it."""
    tensor = th.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
