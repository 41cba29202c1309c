"""Frames packed with LZ4, on their way from one store to another: through a file, say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import lz4.block
import numpy as np
from numpy.typing import NDArray

from sb3_atari_course._common.errors import ReplayMemoryError
from sb3_atari_course.replay.files import CPU, ReplayFileError, saved_array
from sb3_atari_course.replay.memory import available_memory, in_words

Frames = NDArray[np.uint8]
Numbers = NDArray[np.int32]

#: Frames that are there unpacked at a time, on the way from or to a store that keeps them plain.
AT_A_TIME = 1024


class PackedFrames(NamedTuple):
    """Frames as LZ4 blocks of their difference (XOR) to a reference.

    :param reference: (frame_size,) uint8; (0,) if there are no frames.
    :param lengths: bytes of each block, (n,) int32.
    :param blobs: the blocks one after the other, (sum of lengths,) uint8.
    """

    reference: Frames
    lengths: NDArray[np.int32]
    blobs: NDArray[np.uint8]

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> PackedFrames:
        """Return those among saved arrays.

        :raises ReplayFileError: if one is missing or another one than it should be.
        """
        return cls(
            saved_array(arrays, "reference", np.uint8, (None,)),
            saved_array(arrays, "lengths", np.int32, (None,)),
            saved_array(arrays, "blobs", np.uint8, (None,)),
        )

    def blocks(self, frame_size: int) -> list[bytes]:
        """Return the blocks.

        :raises ReplayFileError: if lengths or reference are wrong.
        """
        total = int(self.lengths.sum(dtype=np.int64))
        if total != len(self.blobs) or (self.lengths < 0).any():
            raise ReplayFileError(f"packed frames of {total} bytes, {len(self.blobs)} are there")
        if self.reference.size not in (0, frame_size):
            raise ReplayFileError(f"a reference of {self.reference.size} bytes, not {frame_size}")
        ends = np.cumsum(self.lengths, dtype=np.int64)
        packed = self.blobs.data
        return [
            packed[start:end].tobytes()
            for start, end in zip((ends - self.lengths).tolist(), ends.tolist(), strict=True)
        ]


def unpack_block(block: bytes, frame_size: int) -> bytes:
    """Return the pixels of a block, as difference to the reference.

    :raises ReplayFileError: if it is none of ``frame_size`` bytes.
    """
    try:
        pixels: bytes = lz4.block.decompress(block, uncompressed_size=frame_size)
    except lz4.block.LZ4BlockError as error:
        raise ReplayFileError(f"a frame that cannot be unpacked: {error}") from error
    if len(pixels) != frame_size:
        raise ReplayFileError(f"a frame of {len(pixels)} bytes, not {frame_size}")
    return pixels


def pack_plain(take: Callable[[Numbers], Frames], numbers: Numbers) -> PackedFrames:
    """Return frames of a store that keeps them plain; their reference is the first of them.

    :param take: returns the frames (n, frame_size) with these numbers (n,).
    """
    reference, blocks = np.zeros(0, np.uint8), []
    for first in range(0, len(numbers), AT_A_TIME):
        frames = take(numbers[first : first + AT_A_TIME])
        if not first:
            reference = frames[0].copy()
        blocks += [lz4.block.compress(pixels, store_size=False) for pixels in frames ^ reference]
    return join_blocks(blocks, reference)


def join_blocks(blocks: list[bytes], reference: Frames) -> PackedFrames:
    """Return blocks as arrays."""
    lengths = np.fromiter(map(len, blocks), np.int32, len(blocks))
    return PackedFrames(reference, lengths, np.frombuffer(b"".join(blocks), np.uint8))


def unpacked(
    packed: PackedFrames, numbers: Numbers, frame_size: int
) -> Iterator[tuple[Numbers, Frames]]:
    """Yield a few numbers and their frames (n, frame_size) at a time.

    :raises ReplayFileError: if there are other frames than ``numbers``, or damaged ones.
    """
    blocks = packed.blocks(frame_size)
    for first in range(0, len(numbers), AT_A_TIME):
        few = b"".join(unpack_block(b, frame_size) for b in blocks[first : first + AT_A_TIME])
        frames = np.frombuffer(few, np.uint8).reshape(-1, frame_size)
        yield numbers[first : first + AT_A_TIME], frames ^ packed.reference


def converted(
    arrays: dict[str, NDArray[Any]], frame_size: int, *, packed: bool
) -> dict[str, NDArray[Any]]:
    """Return saved arrays with their frames packed or plain, whichever they were.

    :raises ReplayFileError: if frames cannot be unpacked.
    :raises ReplayMemoryError: if they do not fit into memory unpacked.
    """
    if packed and "frames" in arrays:
        frames = saved_array(arrays, "frames", np.uint8, (None, frame_size))
        numbers = np.arange(len(frames), dtype=np.int32)
        return {**arrays, **pack_plain(lambda some: frames[some], numbers)._asdict()}
    if not packed and "blobs" in arrays:
        return {**arrays, "frames": _plain(PackedFrames.of(arrays), frame_size)}
    return arrays


def _plain(packed: PackedFrames, frame_size: int) -> Frames:
    """Return packed frames as (n, frame_size) uint8; a number without a frame is black."""
    needed, available = len(packed.lengths) * frame_size, available_memory(CPU)
    if needed > available:
        raise ReplayMemoryError(
            f"unpacked these frames need {in_words(needed)} of memory, {in_words(available)} are"
            " available: choose compression='lz4'"
        )
    frames = np.zeros((len(packed.lengths), frame_size), np.uint8)
    numbers = np.flatnonzero(packed.lengths).astype(np.int32)
    for some, pixels in unpacked(
        packed._replace(lengths=packed.lengths[numbers]), numbers, frame_size
    ):
        frames[some] = pixels
    return frames
