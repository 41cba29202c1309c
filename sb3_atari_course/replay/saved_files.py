"""Saved replay buffers: an npz of plain arrays with a JSON of settings, and frames packed with LZ4.

The file is a zip. Its arrays (``NAME.npy``) are NumPy's own format, so ``numpy.load`` opens them;
``replay.json`` holds the settings and the SHA-256 of each array, ``sha256`` that of the JSON.
Nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import lz4.block
import numpy as np
from numpy.typing import NDArray

from sb3_atari_course._common.atomic_files import write_aside
from sb3_atari_course._common.errors import ReplayMemoryError
from sb3_atari_course.replay.ram_budget import CPU, available_memory, in_words

Arrays = Mapping[str, NDArray[Any]]
Frames = NDArray[np.uint8]
Numbers = NDArray[np.int32]

VERSION = 1
SETTINGS, CHECKSUM = "replay.json", "sha256"

#: What SB3 keeps of a transition beside its observations.
SMALL_ARRAYS = ("actions", "rewards", "dones", "timeouts")

#: Frames that are unpacked at a time, on the way from or to a store that keeps them plain.
AT_A_TIME = 1024


class ReplayFileError(ValueError):
    """A file that cannot be used: cut short, altered, or not a replay buffer at all."""


def write_replay(path: str | os.PathLike[str], settings: dict[str, Any], arrays: Arrays) -> None:
    """Write settings and arrays; a file of that name is replaced once all is written.

    :param settings: numbers, strings, lists of them.
    """

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
            content = {"version": VERSION, **settings, "arrays": digests_of(arrays)}
            text = json.dumps(content, indent=1)
            archive.writestr(SETTINGS, text)
            archive.writestr(CHECKSUM, hashlib.sha256(text.encode()).hexdigest())

    write_aside(Path(path), write)


def read_replay(
    path: str | os.PathLike[str], settings: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the settings and arrays of a file, checked.

    :param settings: those that the file must agree with.
    :raises ReplayFileError: if the file is damaged or of other settings.
    :raises ReplayMemoryError: if the machine has not the memory that it needs.
    :raises FileNotFoundError: if there is none.
    """
    with open(path, "rb") as file:
        try:
            return _read(zipfile.ZipFile(file), settings)
        except (ReplayFileError, ReplayMemoryError) as error:
            raise type(error)(f"{path}: {error}") from None
        except Exception as error:  # zipfile, its compressions, numpy and json have many
            raise ReplayFileError(f"{path} is damaged or not a replay buffer: {error}") from error


def saved_array(
    arrays: Arrays, name: str, dtype: Any, shape: tuple[int | None, ...]
) -> NDArray[Any]:
    """Return an array of a file if it is what it should be.

    :param shape: None stands for any length.
    :raises ReplayFileError: if it is missing or of another dtype or shape.
    """
    array = arrays.get(name)
    if array is None:
        raise ReplayFileError(f"there is no array {name!r}")
    fits = len(shape) == array.ndim and all(
        wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise ReplayFileError(
            f"array {name!r} should be {np.dtype(dtype)} of shape {shape},"
            f" it is {array.dtype} of shape {array.shape}"
        )
    return array


def digests_of(arrays: Arrays) -> dict[str, str]:
    """Return the SHA-256 of each array's dtype, shape and content."""
    digests = {}
    for name, array in arrays.items():
        digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
        digests[name] = digest.hexdigest()
    return digests


def check_digests(arrays: Arrays, digests: Mapping[str, str]) -> None:
    """Raise an error unless these are the arrays of which the digests were taken.

    :raises ReplayFileError: if an array was altered.
    """
    for name, digest in digests_of(arrays).items():
        if digest != digests[name]:
            raise ReplayFileError(f"array {name!r} of the replay buffer was altered")


def _read(
    archive: zipfile.ZipFile, settings: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    text = archive.read(SETTINGS)
    if hashlib.sha256(text).hexdigest().encode() != archive.read(CHECKSUM):
        raise ReplayFileError(f"{SETTINGS} was altered")
    saved = json.loads(text)
    for name, value in {"version": VERSION, **settings}.items():
        if saved.get(name) != value:
            raise ReplayFileError(
                f"it was saved with {name}={saved.get(name)!r}, here it is {value!r}: make the"
                " buffer as it was then, with the same version of sb3_atari_course"
            )
    _check_available(sum(info.file_size for info in archive.infolist()))
    arrays = {}
    for name in saved["arrays"]:
        with archive.open(f"{name}.npy") as member:
            arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    check_digests(arrays, saved["arrays"])
    return saved, arrays


def _check_available(n_bytes: int, remedy: str = "") -> None:
    available = available_memory(CPU)
    if n_bytes > available:
        raise ReplayMemoryError(
            f"{in_words(n_bytes)} of memory are needed, {in_words(available)} are available{remedy}"
        )


class PackedFrames(NamedTuple):
    """Frames as LZ4 blocks of their difference (XOR) to a reference, on the way between stores.

    :param reference: (frame_size,) uint8; (0,) if there are no frames.
    :param lengths: bytes of each block, (n,) int32.
    :param blobs: the blocks one after the other, (sum of lengths,) uint8.
    """

    reference: Frames
    lengths: NDArray[np.int32]
    blobs: NDArray[np.uint8]

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


def join_blocks(blocks: list[bytes], reference: Frames) -> PackedFrames:
    """Return LZ4 blocks as arrays."""
    lengths = np.fromiter(map(len, blocks), np.int32, len(blocks))
    return PackedFrames(reference, lengths, np.frombuffer(b"".join(blocks), np.uint8))


def unpack_block(block: bytes, frame_size: int) -> bytes:
    """Return the pixels of a block, as difference to the reference.

    :raises ReplayFileError: if these are not ``frame_size`` bytes.
    """
    try:
        pixels: bytes = lz4.block.decompress(block, uncompressed_size=frame_size)
    except lz4.block.LZ4BlockError as error:
        raise ReplayFileError(f"a frame that cannot be unpacked: {error}") from error
    if len(pixels) != frame_size:
        raise ReplayFileError(f"a frame of {len(pixels)} bytes, not {frame_size}")
    return pixels


def pack_plain(take: Callable[[Numbers], Frames], numbers: Numbers) -> PackedFrames:
    """Pack frames of a store that keeps them plain; their reference is the first of them.

    :param take: returns the frames (n, frame_size) with these numbers (n,).
    """
    reference, blocks = np.zeros(0, np.uint8), []
    for first in range(0, len(numbers), AT_A_TIME):
        frames = take(numbers[first : first + AT_A_TIME])
        if not first:
            reference = frames[0].copy()
        blocks += [lz4.block.compress(pixels, store_size=False) for pixels in frames ^ reference]
    return join_blocks(blocks, reference)


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


def saved_plain(arrays: Arrays, frame_size: int) -> Frames:
    """Return the frames of a saved buffer, (n, frame_size); one that was never put is black.

    :raises ReplayFileError: if they cannot be unpacked.
    :raises ReplayMemoryError: if they do not fit into memory unpacked.
    """
    if "frames" in arrays:
        frames: Frames = saved_array(arrays, "frames", np.uint8, (None, frame_size))
        return frames
    packed = saved_packed(arrays, frame_size)
    _check_available(len(packed.lengths) * frame_size, ": choose compression='lz4'")
    frames = np.zeros((len(packed.lengths), frame_size), np.uint8)
    numbers = np.flatnonzero(packed.lengths).astype(np.int32)
    there = packed._replace(lengths=packed.lengths[numbers])
    for some, pixels in unpacked(there, numbers, frame_size):
        frames[some] = pixels
    return frames


def saved_packed(arrays: Arrays, frame_size: int) -> PackedFrames:
    """Return the frames of a saved buffer, packed.

    :raises ReplayFileError: if an array is missing or not what it should be.
    """
    if "frames" in arrays:
        frames = saved_plain(arrays, frame_size)
        return pack_plain(frames.__getitem__, np.arange(len(frames), dtype=np.int32))
    return PackedFrames(
        saved_array(arrays, "reference", np.uint8, (None,)),
        saved_array(arrays, "lengths", np.int32, (None,)),
        saved_array(arrays, "blobs", np.uint8, (None,)),
    )
