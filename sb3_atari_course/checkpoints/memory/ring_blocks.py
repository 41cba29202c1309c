"""Rows of an array that is written round and round, as LZ4 blocks, and back into their places."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import lz4.block
import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.replay.files import ReplayFileError, saved_array

#: Bytes that are packed at a time: large beside the 64 kB in which LZ4 looks back, small beside
#: what a checkpoint may take of memory.
BLOCK_BYTES = 2**22
#: The largest block that is read.
LARGEST_BLOCK = 2**30


class Times(NamedTuple):
    """Which rows: those with times ``begin <= t < end``; row ``t % n_rows`` of the array."""

    begin: int
    end: int


def pack_ring(name: str, ring: NDArray[Any], times: Times) -> dict[str, NDArray[Any]]:
    """Return rows as arrays for a file: the blocks, and the bytes of each, packed and unpacked.

    The rows of an environment come one after the other: what repeats itself in images is near.

    :param ring: (n_rows, n_envs, ...), at least as many rows as there are times.
    """
    n, n_cells = times.end - times.begin, (times.end - times.begin) * ring.shape[1]
    at_a_time = max(BLOCK_BYTES // max(_cell_bytes(ring), 1), 1)
    blocks, sizes = [], []
    for first in range(0, n_cells, at_a_time):
        env, place = np.divmod(np.arange(first, min(first + at_a_time, n_cells)), n)
        cells = np.ascontiguousarray(ring[(times.begin + place) % len(ring), env])
        blocks.append(lz4.block.compress(cells.reshape(-1).view(np.uint8), store_size=False))
        sizes.append((len(blocks[-1]), cells.nbytes))
    return {
        name: np.frombuffer(b"".join(blocks), np.uint8),
        f"{name}.sizes": np.array(sizes, np.int64).reshape(-1, 2),
    }


def restore_ring(
    name: str, ring: NDArray[Any], times: Times, arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write rows of :func:`pack_ring` into their places; only one block is unpacked at a time.

    :raises ReplayFileError: if the blocks are damaged, or not those of such rows.
    """
    blocks = saved_array(arrays, name, np.uint8, (None,))
    sizes = saved_array(arrays, f"{name}.sizes", np.int64, (None, 2))
    n, first = times.end - times.begin, 0
    _check_sizes(name, sizes, blocks.size, n * ring.shape[1], _cell_bytes(ring))
    for pixels in _unpacked(name, blocks, sizes):
        cells = np.frombuffer(pixels, ring.dtype).reshape(-1, *ring.shape[2:])
        env, place = np.divmod(np.arange(first, first + len(cells)), n)
        first += len(cells)
        ring[(times.begin + place) % len(ring), env] = cells


def _unpacked(name: str, blocks: NDArray[np.uint8], sizes: NDArray[np.int64]) -> Iterator[bytes]:
    end = 0
    for n_packed, n_bytes in sizes.tolist():
        start, end = end, end + n_packed
        try:
            content = lz4.block.decompress(blocks[start:end].data, uncompressed_size=n_bytes)
        except lz4.block.LZ4BlockError as error:
            raise ReplayFileError(f"{name!r} cannot be unpacked: {error}") from error
        if len(content) != n_bytes:
            raise ReplayFileError(f"a block of {name!r} has {len(content)} bytes, not {n_bytes}")
        yield content


def _check_sizes(
    name: str, sizes: NDArray[np.int64], n_packed: int, n_cells: int, cell_bytes: int
) -> None:
    """Raise an error unless so many packed bytes are blocks of whole cells."""
    packed, plain = sizes[:, 0], sizes[:, 1]
    largest = max(LARGEST_BLOCK, cell_bytes)
    fits = (
        (sizes >= 0).all()
        and (plain <= largest).all()
        and not (cell_bytes and (plain % cell_bytes).any())
        # as Python's own numbers, which have no end
        and sum(packed.tolist()) == n_packed
        and sum(plain.tolist()) == n_cells * cell_bytes
    )
    if not fits:
        raise ReplayFileError(
            f"{name!r} should be blocks of {n_cells} times {cell_bytes} bytes; its sizes differ"
        )


def _cell_bytes(ring: NDArray[Any]) -> int:
    """Return the bytes of one row of one environment."""
    return ring.itemsize * math.prod(ring.shape[2:])
