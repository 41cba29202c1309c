"""Frame stores: where the pixels of a replay buffer lie, plain, packed with LZ4, or on a GPU."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import lz4.block
import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course._common.array_pool import ArrayPool, Frames
from sb3_atari_course.replay.ram_budget import CPU, Need

Numbers = NDArray[np.int32]

#: By which part a store grows when there are more frames than expected: in the memory of the CPU,
#: and on a GPU.
GROWTH, DEVICE_GROWTH = 1 / 128, 1 / 16

#: What Python adds to each packed frame: the header of ``bytes``, rounding, a place in a list.
BLOB_OVERHEAD = 33 + 8 + 8

#: Frames that are packed or unpacked at a time.
AT_A_TIME = 1024


class PackedFrames(NamedTuple):
    """Frames as LZ4 blocks of their difference (XOR) to a reference, as they are saved.

    :param reference: (frame_size,) uint8; (0,) if there are no frames.
    :param lengths: bytes of each block, (n,) int32.
    :param blobs: the blocks one after the other, (sum of lengths,) uint8.
    """

    reference: Frames
    lengths: Numbers
    blobs: NDArray[np.uint8]

    def blocks(self) -> list[bytes]:
        """Return the blocks."""
        ends, packed = np.cumsum(self.lengths, dtype=np.int64), self.blobs.data
        starts = (ends - self.lengths).tolist()
        return [
            packed[start:end].tobytes() for start, end in zip(starts, ends.tolist(), strict=True)
        ]

    @staticmethod
    def of(blocks: list[bytes], reference: Frames) -> PackedFrames:
        """Return blocks as arrays."""
        lengths = np.fromiter(map(len, blocks), np.int32, len(blocks))
        return PackedFrames(reference, lengths, np.frombuffer(b"".join(blocks), np.uint8))


class FrameStore(ABC):
    """Places for frames of ``frame_size`` bytes, numbered from 0; a place can be used again.

    :param frame_size: bytes in a frame.
    """

    device = CPU

    def __init__(self, frame_size: int) -> None:
        self.frame_size = frame_size

    @abstractmethod
    def reserve(self, n_frames: int) -> None:
        """Make room for the numbers below ``n_frames``, which never gets less."""

    @abstractmethod
    def put(self, numbers: Numbers, frames: Frames) -> None:
        """Keep frames (n, frame_size) under these numbers (n,)."""

    @abstractmethod
    def take(self, numbers: Numbers) -> Any:
        """Return the frames with these numbers: (*numbers.shape, frame_size) uint8, new memory.

        An array; a tensor where the frames lie on a GPU.
        """

    def pack(self, numbers: Numbers) -> PackedFrames:
        """Return the frames with these numbers (n,), packed, in the memory of the CPU."""
        reference, blocks = np.zeros(0, np.uint8), []
        for first in range(0, len(numbers), AT_A_TIME):
            frames = on_cpu(self.take(numbers[first : first + AT_A_TIME]))
            if not first:
                reference = frames[0].copy()
            blocks += [lz4.block.compress(one, store_size=False) for one in frames ^ reference]
        return PackedFrames.of(blocks, reference)

    def put_packed(self, numbers: Numbers, packed: PackedFrames) -> None:
        """Keep packed frames under these numbers (n,), of which there are as many."""
        size, blocks = self.frame_size, packed.blocks()
        for first in range(0, len(numbers), AT_A_TIME):
            some = blocks[first : first + AT_A_TIME]
            pixels = b"".join(lz4.block.decompress(one, uncompressed_size=size) for one in some)
            frames = np.frombuffer(pixels, np.uint8).reshape(-1, size) ^ packed.reference
            self.put(numbers[first : first + AT_A_TIME], frames)

    @property
    @abstractmethod
    def n_bytes(self) -> int:
        """Bytes that the frames take now."""

    def bytes_of(self, n_frames: int) -> Need:
        """Return the bytes that so many frames are expected to take."""
        return Need(n_frames * self.frame_size, n_frames * self.frame_size)


class PlainFrames(FrameStore):
    """Frames in one array of memory, to be had as they are.

    :param n_expected: frames to make room for at first; the system hands out memory only where
        frames have been written. More than that are taken a little at a time.
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
                # in place, so that the frames need not be there twice while they are copied
                self._frames.resize((room, self.frame_size), refcheck=False)
            else:
                frames = np.empty((room, self.frame_size), np.uint8)
                frames[: len(self._frames)] = self._frames
                self._frames = frames
        self._n_used = n_frames

    def put(self, numbers: Numbers, frames: Frames) -> None:
        self._frames[numbers] = frames

    def take(self, numbers: Numbers) -> Frames:
        out = self._pool.array((*numbers.shape, self.frame_size))
        return np.take(self._frames, numbers, axis=0, out=out, mode="clip")

    @property
    def n_bytes(self) -> int:
        return self._n_used * self.frame_size


class Lz4Frames(FrameStore):
    """Frames as LZ4 blocks of their difference (XOR) to the first frame that was kept.

    What never changes on the screen becomes zeros, which LZ4 packs best: cropped Breakout takes a
    fifth less than without the difference, MsPacman with its maze a quarter of it.
    """

    #: From so many frames on the estimate of their size rests on them and not on other games.
    N_KNOWN = 1000
    #: How little and how much an average frame may take: of a plain one, and of the mean so far.
    #: In 14 games of random play it was 0.03 to 0.26 of a plain one, and after 24,000 transitions
    #: 0.89 to 2.25 times what it had been after 1,000.
    FIRST_RANGE, RANGE = (0.01, 0.3), (0.8, 2.5)

    def __init__(self, frame_size: int) -> None:
        super().__init__(frame_size)
        self._reference: Frames = np.zeros(0, np.uint8)  # until the first frame
        self._blobs: list[bytes] = []
        self._n_packed = 0
        self._pool = ArrayPool()

    def reserve(self, n_frames: int) -> None:
        self._blobs += [b""] * (n_frames - len(self._blobs))

    def put(self, numbers: Numbers, frames: Frames) -> None:
        if not len(frames):
            return
        if not self._reference.size:
            self._reference = frames[0].copy()
        pack = lz4.block.compress
        for number, difference in zip(numbers.tolist(), frames ^ self._reference, strict=True):
            self._put_block(number, pack(difference, store_size=False))

    def take(self, numbers: Numbers) -> Frames:
        unpack, blobs, size = lz4.block.decompress, self._blobs, self.frame_size
        frames = self._pool.array((*numbers.shape, size))
        pixels = frames.reshape(-1).data
        for i, number in enumerate(numbers.ravel().tolist()):
            # copied at once, so that all are unpacked into the same warm memory
            pixels[i * size : (i + 1) * size] = unpack(blobs[number], uncompressed_size=size)
        frames ^= self._reference
        return frames

    def pack(self, numbers: Numbers) -> PackedFrames:
        """Return these frames as they are kept."""
        return PackedFrames.of([self._blobs[n] for n in numbers.tolist()], self._reference)

    def put_packed(self, numbers: Numbers, packed: PackedFrames) -> None:
        """Keep packed frames under these numbers (n,); as they are, if the reference is ours."""
        if not self._reference.size:
            self._reference = packed.reference.copy()
        if not np.array_equal(packed.reference, self._reference):
            super().put_packed(numbers, packed)
            return
        for number, block in zip(numbers.tolist(), packed.blocks(), strict=True):
            self._put_block(number, block)

    @property
    def n_bytes(self) -> int:
        return self._n_packed + len(self._blobs) * BLOB_OVERHEAD

    def bytes_of(self, n_frames: int) -> Need:
        """Return an estimate from the frames so far."""
        if len(self._blobs) < self.N_KNOWN:
            low, high = (share * self.frame_size for share in self.FIRST_RANGE)
        else:
            low, high = (share * self._n_packed / len(self._blobs) for share in self.RANGE)
        return Need(int(n_frames * (low + BLOB_OVERHEAD)), int(n_frames * (high + BLOB_OVERHEAD)))

    def _put_block(self, number: int, block: bytes) -> None:
        self._n_packed += len(block) - len(self._blobs[number])
        self._blobs[number] = block


class DeviceFrames(FrameStore):
    """Frames in tensors on a GPU, in one block of memory, and smaller ones if there are too many.

    :param n_expected: frames to make room for at first, all at once.
    :param device: where.
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
            is_here = self.device.type != "cuda" or th.cuda.device_count()  # else only to be read
            device = self.device if is_here else CPU
            self._blocks.append(th.empty(shape, dtype=th.uint8, device=device))

    def put(self, numbers: Numbers, frames: Frames) -> None:
        for block, here, places in self._places(numbers):
            block.index_copy_(0, places, send(frames[here], block.device))

    def take(self, numbers: Numbers) -> th.Tensor:
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

    @property
    def addresses(self) -> tuple[int, ...]:
        """Where the blocks of frames begin and end."""
        return tuple(
            address for block in self._blocks for address in (block.data_ptr(), len(block))
        )

    @property
    def n_bytes(self) -> int:
        return sum(block.nbytes for block in self._blocks)

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


def on_cpu(frames: Any) -> NDArray[np.uint8]:
    """Return frames of a store as an array in the memory of the CPU."""
    pixels: NDArray[np.uint8] = frames.cpu().numpy() if isinstance(frames, th.Tensor) else frames
    return pixels
