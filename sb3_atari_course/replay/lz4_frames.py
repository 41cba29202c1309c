"""Frames packed with LZ4, each by itself."""

from __future__ import annotations

from typing import Any

import lz4.block
import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course._common.array_pool import ArrayPool
from sb3_atari_course.replay.frame_stores import Frames, Numbers
from sb3_atari_course.replay.memory import Need
from sb3_atari_course.replay.packed_frames import (
    PackedFrames,
    join_blocks,
    unpack_block,
    unpacked,
)

#: What Python adds to each packed frame: the header of ``bytes``, rounding, a place in a list.
BLOB_OVERHEAD = 33 + 8 + 8


class Lz4Frames:
    """Frames as LZ4 blocks of their difference (XOR) to the first frame that was kept.

    What never changes on the screen becomes zeros, which LZ4 packs best: cropped Breakout takes a
    fifth less than without the difference, MsPacman with its maze a quarter of it.

    :param frame_size: bytes in a frame.
    """

    device = th.device("cpu")
    #: From so many frames on the estimate of their size rests on them and not on other games.
    N_KNOWN = 1000
    #: How little and how much an average frame may take: of a plain one, and of the mean so far.
    #: In 14 games of random play it was 0.03 to 0.26 of a plain one, and after 24,000 transitions
    #: 0.89 to 2.25 times what it had been after 1,000.
    FIRST_RANGE, RANGE = (0.01, 0.3), (0.8, 2.5)

    def __init__(self, frame_size: int) -> None:
        self.frame_size = frame_size
        self._reference: Frames | None = None
        self._blobs: list[bytes] = []
        self._n_packed = 0
        self._pool = ArrayPool()

    def reserve(self, n_frames: int) -> None:
        """Make room for the numbers below ``n_frames``."""
        self._blobs += [b""] * (n_frames - len(self._blobs))

    def put(self, numbers: Numbers, frames: Frames) -> None:
        """Keep frames (n, frame_size) under these numbers (n,)."""
        if not len(frames):
            return
        if self._reference is None:
            self._reference = frames[0].copy()
        pack, blobs = lz4.block.compress, self._blobs
        for number, difference in zip(numbers.tolist(), frames ^ self._reference, strict=True):
            blob = pack(difference, store_size=False)
            self._n_packed += len(blob) - len(blobs[number])
            blobs[number] = blob

    def take(self, numbers: Numbers) -> Frames:
        """Return these frames, unpacked."""
        unpack, blobs, size = lz4.block.decompress, self._blobs, self.frame_size
        reference = self._reference
        assert reference is not None, "nothing was put"
        frames = self._pool.array((*numbers.shape, size))
        pixels = frames.reshape(-1).data
        for i, number in enumerate(numbers.ravel().tolist()):
            # copied at once, so that all are unpacked into the same warm memory
            pixels[i * size : (i + 1) * size] = unpack(blobs[number], uncompressed_size=size)
        frames ^= reference
        return frames

    def pack(self, numbers: Numbers) -> PackedFrames:
        """Return these frames as they are kept."""
        blobs = self._blobs
        return join_blocks([blobs[number] for number in numbers.tolist()], self._own_reference())

    def put_packed(self, numbers: Numbers, packed: PackedFrames) -> None:
        """Keep packed frames under these numbers (n,); as they are, if the reference is ours."""
        if self._reference is None and packed.reference.size:
            self._reference = packed.reference.copy()
        if not np.array_equal(packed.reference, self._own_reference()):
            for some, frames in unpacked(packed, numbers, self.frame_size):
                self.put(some, frames)
            return
        blobs, new_blobs = self._blobs, packed.blocks(self.frame_size)
        for number, blob in zip(numbers.tolist(), new_blobs, strict=True):
            unpack_block(blob, self.frame_size)  # found damaged here, and not in a training
            self._n_packed += len(blob) - len(blobs[number])
            blobs[number] = blob

    @property
    def n_bytes(self) -> int:
        """Bytes that the frames take now."""
        return self._n_packed + len(self._blobs) * BLOB_OVERHEAD

    def bytes_of(self, n_frames: int) -> Need:
        """Return an estimate from the frames so far."""
        if len(self._blobs) < self.N_KNOWN:
            low, high = (share * self.frame_size for share in self.FIRST_RANGE)
        else:
            low, high = (share * self._n_packed / len(self._blobs) for share in self.RANGE)
        return Need(int(n_frames * (low + BLOB_OVERHEAD)), int(n_frames * (high + BLOB_OVERHEAD)))

    def arrays(self, n_frames: int) -> dict[str, NDArray[Any]]:
        """Return the blocks one after the other, their lengths and the reference frame."""
        return join_blocks(self._blobs[:n_frames], self._own_reference())._asdict()

    def restore(self, arrays: dict[str, NDArray[Any]]) -> int:
        """Take over these blocks."""
        packed = PackedFrames.of(arrays)
        self._blobs = packed.blocks(self.frame_size)
        self._reference = packed.reference.copy() if packed.reference.size else None
        self._n_packed = len(packed.blobs)
        return len(self._blobs)

    def _own_reference(self) -> Frames:
        return np.zeros(0, np.uint8) if self._reference is None else self._reference
