"""Frame stores: storage of a replay buffer's frames, plain, compressed with LZ4, or on a GPU."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import lz4.block
import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course._common.array_pool import ArrayPool, Frames
from sb3_atari_course.replay.ram_budget import CPU, MemoryEstimate

FrameIds = NDArray[np.int32]

#: Relative growth of a store with more frames than expected: in RAM, and on a GPU.
GROWTH, DEVICE_GROWTH = 1 / 128, 1 / 16

#: Python's overhead per compressed frame: header of ``bytes``, rounding, reference in a list.
BLOB_OVERHEAD = 33 + 8 + 8

#: Number of frames that are compressed or decompressed at a time.
CHUNK = 1024


class PackedFrames(NamedTuple):
    """Frames as LZ4 blocks of their XOR with a reference frame, as saved in files.

    :param reference: (frame_size,) uint8; (0,) without frames.
    :param lengths: bytes of each block, (n,) int32.
    :param blobs: the concatenated blocks, (sum of lengths,) uint8.
    """

    reference: Frames
    lengths: NDArray[np.int32]
    blobs: NDArray[np.uint8]

    def blocks(self) -> list[bytes]:
        ends, packed = np.cumsum(self.lengths, dtype=np.int64), self.blobs.data
        starts = (ends - self.lengths).tolist()
        return [
            packed[start:end].tobytes() for start, end in zip(starts, ends.tolist(), strict=True)
        ]

    @staticmethod
    def of(blocks: list[bytes], reference: Frames) -> PackedFrames:
        """Return blocks as arrays, the inverse of :meth:`blocks`."""
        lengths = np.fromiter(map(len, blocks), np.int32, len(blocks))
        return PackedFrames(reference, lengths, np.frombuffer(b"".join(blocks), np.uint8))


class FrameStore(ABC):
    """Storage of frames by id, from 0; the frame of an id can be replaced.

    :param frame_size: bytes of a frame.
    """

    device = CPU

    def __init__(self, frame_size: int) -> None:
        self.frame_size = frame_size

    @abstractmethod
    def reserve(self, n_frames: int) -> None:
        """Make room for the ids below ``n_frames``, which never decreases."""

    @abstractmethod
    def put(self, frame_ids: FrameIds, frames: Frames) -> None:
        """Store frames (n, frame_size) with these ids (n,)."""

    @abstractmethod
    def take(self, frame_ids: FrameIds) -> Any:
        """Return copies of the frames with these ids, ``(*frame_ids.shape, frame_size)`` uint8.

        An array, or a tensor if the frames are on a GPU.
        """

    def pack(self, frame_ids: FrameIds) -> PackedFrames:
        """Return the frames with these ids (n,), compressed, in RAM."""
        reference, blocks = np.zeros(0, np.uint8), []
        for first in range(0, len(frame_ids), CHUNK):
            frames = on_cpu(self.take(frame_ids[first : first + CHUNK]))
            if not first:
                reference = frames[0].copy()
            blocks += [lz4.block.compress(one, store_size=False) for one in frames ^ reference]
        return PackedFrames.of(blocks, reference)

    def put_packed(self, frame_ids: FrameIds, packed: PackedFrames) -> None:
        """Store n compressed frames with these ids (n,)."""
        size, blocks = self.frame_size, packed.blocks()
        for first in range(0, len(frame_ids), CHUNK):
            some = blocks[first : first + CHUNK]
            pixels = b"".join(lz4.block.decompress(one, uncompressed_size=size) for one in some)
            frames = np.frombuffer(pixels, np.uint8).reshape(-1, size) ^ packed.reference
            self.put(frame_ids[first : first + CHUNK], frames)

    @property
    @abstractmethod
    def n_bytes(self) -> int:
        """Bytes that the frames take now."""

    def bytes_of(self, n_frames: int) -> MemoryEstimate:
        """Return the bytes that ``n_frames`` frames are expected to take."""
        return MemoryEstimate(n_frames * self.frame_size, n_frames * self.frame_size)


class PlainFrames(FrameStore):
    """Uncompressed frames in one array in RAM.

    :param n_expected: frames to make room for at first; the system allocates memory only where
        frames are written. Beyond that the array grows in small steps.
    """

    def __init__(self, frame_size: int, n_expected: int) -> None:
        super().__init__(frame_size)
        self.n_expected = n_expected
        self._frames: Frames = np.empty((0, frame_size), np.uint8)
        self._n_used = 0
        self._pool = ArrayPool()

    def reserve(self, n_frames: int) -> None:
        room = len(self._frames)
        if n_frames > room:
            room = max(self.n_expected, n_frames, room + math.ceil(GROWTH * room))
            if self._frames.flags.owndata and len(self._frames):
                # in place, because a copy would need twice the memory
                self._frames.resize((room, self.frame_size), refcheck=False)
            else:
                frames = np.empty((room, self.frame_size), np.uint8)
                frames[: len(self._frames)] = self._frames
                self._frames = frames
        self._n_used = n_frames

    def put(self, frame_ids: FrameIds, frames: Frames) -> None:
        self._frames[frame_ids] = frames

    def take(self, frame_ids: FrameIds) -> Frames:
        out = self._pool.array((*frame_ids.shape, self.frame_size))
        return np.take(self._frames, frame_ids, axis=0, out=out, mode="clip")

    @property
    def n_bytes(self) -> int:
        return self._n_used * self.frame_size


class Lz4Frames(FrameStore):
    """Frames compressed by LZ4, as their XOR with the first frame that was stored.

    Static parts of the frame, such as the maze of MsPacman, become zeros, which compress best.
    """

    #: Number of stored frames from which the size estimate is based on them, not on other games.
    N_KNOWN = 1000
    #: Bounds of the mean compressed size, relative to a plain frame, and to the mean so far. With
    #: random play in 14 games it was 0.03 to 0.26 of a plain frame, and after 24,000 transitions
    #: 0.89 to 2.25 times the mean after 1,000.
    FIRST_RANGE, RANGE = (0.01, 0.3), (0.8, 2.5)

    def __init__(self, frame_size: int) -> None:
        super().__init__(frame_size)
        self._reference: Frames = np.zeros(0, np.uint8)  # until the first frame
        self._blobs: list[bytes] = []
        self._n_packed = 0
        self._pool = ArrayPool()

    def reserve(self, n_frames: int) -> None:
        self._blobs += [b""] * (n_frames - len(self._blobs))

    def put(self, frame_ids: FrameIds, frames: Frames) -> None:
        if not len(frames):
            return
        if not self._reference.size:
            self._reference = frames[0].copy()
        pack = lz4.block.compress
        for frame_id, difference in zip(frame_ids.tolist(), frames ^ self._reference, strict=True):
            self._put_block(frame_id, pack(difference, store_size=False))

    def take(self, frame_ids: FrameIds) -> Frames:
        unpack, blobs, size = lz4.block.decompress, self._blobs, self.frame_size
        frames = self._pool.array((*frame_ids.shape, size))
        pixels = frames.reshape(-1).data
        for i, frame_id in enumerate(frame_ids.ravel().tolist()):
            # copied at once, so that all blocks are decompressed into the same cached memory
            pixels[i * size : (i + 1) * size] = unpack(blobs[frame_id], uncompressed_size=size)
        frames ^= self._reference
        return frames

    def pack(self, frame_ids: FrameIds) -> PackedFrames:
        """Return these frames without recompressing them."""
        return PackedFrames.of([self._blobs[n] for n in frame_ids.tolist()], self._reference)

    def put_packed(self, frame_ids: FrameIds, packed: PackedFrames) -> None:
        """Store n compressed frames with these ids (n,), unchanged if the reference is equal."""
        if not self._reference.size:
            self._reference = packed.reference.copy()
        if not np.array_equal(packed.reference, self._reference):
            super().put_packed(frame_ids, packed)
            return
        for frame_id, block in zip(frame_ids.tolist(), packed.blocks(), strict=True):
            self._put_block(frame_id, block)

    @property
    def n_bytes(self) -> int:
        return self._n_packed + len(self._blobs) * BLOB_OVERHEAD

    def bytes_of(self, n_frames: int) -> MemoryEstimate:
        """Return an estimate, from the stored frames if there are enough."""
        if len(self._blobs) < self.N_KNOWN:
            low, high = (share * self.frame_size for share in self.FIRST_RANGE)
        else:
            low, high = (share * self._n_packed / len(self._blobs) for share in self.RANGE)
        return MemoryEstimate(
            int(n_frames * (low + BLOB_OVERHEAD)), int(n_frames * (high + BLOB_OVERHEAD))
        )

    def _put_block(self, frame_id: int, block: bytes) -> None:
        self._n_packed += len(block) - len(self._blobs[frame_id])
        self._blobs[frame_id] = block


class DeviceFrames(FrameStore):
    """Frames in GPU memory: in one tensor, and smaller ones for frames beyond the expected number.

    :param n_expected: frames to allocate at first, all at once.
    :param device: the GPU.
    """

    def __init__(self, frame_size: int, n_expected: int, device: th.device) -> None:
        super().__init__(frame_size)
        self.n_expected, self.device = n_expected, device
        self._blocks: list[th.Tensor] = []

    def reserve(self, n_frames: int) -> None:
        missing = n_frames - sum(map(len, self._blocks))
        if missing > 0:
            usual = int(self.n_expected * DEVICE_GROWTH) if self._blocks else self.n_expected
            shape = max(missing, usual), self.frame_size
            # without the GPU frames can still be read
            is_here = self.device.type != "cuda" or th.cuda.device_count()
            device = self.device if is_here else CPU
            self._blocks.append(th.empty(shape, dtype=th.uint8, device=device))

    def put(self, frame_ids: FrameIds, frames: Frames) -> None:
        for block, here, places in self._places(frame_ids):
            block.index_copy_(0, places, send(frames[here], block.device))

    def take(self, frame_ids: FrameIds) -> th.Tensor:
        flat = frame_ids.reshape(-1)
        parts = self._places(flat)
        if len(parts) == 1:
            ((block, _, places),) = parts
            frames = block.index_select(0, places)
        else:
            device = self._blocks[0].device
            frames = th.empty((flat.size, self.frame_size), dtype=th.uint8, device=device)
            for block, here, places in parts:
                frames[th.as_tensor(here, device=device)] = block.index_select(0, places)
        return frames.reshape(*frame_ids.shape, self.frame_size)

    def gather(self, frame_ids: th.Tensor) -> th.Tensor:
        """Return frames ``(*frame_ids.shape, frame_size)`` for ids that are on the device.

        Does not synchronize, and runs the same kernels for all ids, as CUDA graphs require.
        """
        flat, first = frame_ids.reshape(-1), 0
        frames = th.empty((0, self.frame_size))
        for block in self._blocks:
            here = block.index_select(0, (flat - first).clamp(0, len(block) - 1))
            frames = th.where((flat >= first)[:, None], here, frames) if first else here
            first += len(block)
        return frames.reshape(*frame_ids.shape, self.frame_size)

    @property
    def addresses(self) -> tuple[int, ...]:
        """Address and length of each tensor, to detect that one was added."""
        return tuple(
            address for block in self._blocks for address in (block.data_ptr(), len(block))
        )

    @property
    def n_bytes(self) -> int:
        return sum(block.nbytes for block in self._blocks)

    def _places(self, frame_ids: FrameIds) -> list[tuple[th.Tensor, NDArray[np.int64], th.Tensor]]:
        """Return each affected block with the positions in ``frame_ids`` and in the block."""
        parts, first = [], 0
        for block in self._blocks:
            here = np.flatnonzero((frame_ids >= first) & (frame_ids < first + len(block)))
            if here.size:
                places = send(frame_ids[here] - first, block.device).long()
                parts.append((block, here, places))
            first += len(block)
        return parts


def send(array: NDArray[Any], device: th.device) -> th.Tensor:
    """Copy an array to a device, asynchronously for a GPU."""
    tensor = th.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def on_cpu(frames: Any) -> NDArray[np.uint8]:
    """Return frames of a store as an array in RAM."""
    pixels: NDArray[np.uint8] = frames.cpu().numpy() if isinstance(frames, th.Tensor) else frames
    return pixels
