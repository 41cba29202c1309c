"""Segments of a replay buffer's rows as arrays, for checkpoints, saved files and pickles.

The rows of a replay buffer are indexed by time: 0 for the first one written, and so on; the row of
time ``t`` has the index ``t % buffer.buffer_size``. A segment, the result of :func:`pack_rows` for
a range of times, is self-contained. Where two segments have the same row, the later one applies, so
a checkpoint only needs to write the rows since the last one.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import lz4.block
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from sb3_atari_course._common.errors import SavedFileError
from sb3_atari_course.replay.frame_stores import PackedFrames
from sb3_atari_course.replay.stacks import BLACK, StackStorage

Arrays = Mapping[str, NDArray[Any]]

#: Time of the first row, time after the last row, and the result of :func:`pack_rows`.
BufferSegment = tuple[int, int, Arrays]

#: Arrays of SB3's buffers other than the observations.
SMALL_ARRAYS = ("actions", "rewards", "dones", "timeouts")

#: Bytes compressed at a time: large compared with the 64 kB window of LZ4, small compared with the
#: memory that a checkpoint may take.
BLOCK_BYTES = 2**22


class NewRows(NamedTuple):
    """Rows that the next checkpoint must write: ``first <= t < end``.

    :param starts_over: the buffer was reset, loaded or replaced: times start at 0 again, and
        earlier segments are no longer needed.
    """

    first: int
    end: int
    starts_over: bool


class RowMark:
    """Position of a replay buffer at a checkpoint, to find the new rows at the next one.

    Create one when training starts (``n_written=0``; rows in the buffer count as new), after each
    checkpoint, and after each restored buffer.

    :param buffer: the replay buffer.
    :param n_written: number of rows ever written, including overwritten ones.
    :raises TypeError: for a buffer that cannot be packed.
    """

    def __init__(self, buffer: ReplayBuffer, *, n_written: int) -> None:
        buffer_settings(buffer)
        self._n_written = n_written
        self._content = weakref.ref(_content_of(buffer))

    def rows_since(self, buffer: ReplayBuffer, *, n_steps: int) -> NewRows:
        """Return the rows since the mark, and the row before them.

        That row is written again, because the end of an episode may have been marked in it since
        (:func:`end_episodes`, and SB3 itself with ``optimize_memory_usage``).

        :param n_steps: steps of the vectorized environment since the mark. SB3's buffers, unlike
            FrameReplayBuffer, do not count their rows; the steps are used instead, if they agree
            with the position of the buffer.
        """
        stacks, size = _stacks_of(buffer), buffer.buffer_size
        held = int(buffer.pos + size * buffer.full)  # lower bound
        end = self._n_written + n_steps
        if stacks is not None:
            held = end = stacks.n_written
        agrees = end % size == held % size and (end >= size) == (held >= size)
        if self._content() is _content_of(buffer) and agrees:
            return NewRows(max(self._n_written - 1, 0), end, starts_over=False)
        return NewRows(0, held, starts_over=True)


def buffer_settings(buffer: ReplayBuffer) -> dict[str, Any]:
    """Return the settings that two buffers must share to exchange segments, as JSON data.

    Compression and storage device may differ, and ``n_steps`` and ``gamma``, which only affect
    sampling.

    :raises TypeError: for a buffer that cannot be packed.
    """
    rings = {name: [ring.dtype.str, *ring.shape[2:]] for name, ring, _ in _rings(buffer)}
    return {
        "kind": "plain" if _stacks_of(buffer) is None else "frames",
        "n_envs": buffer.n_envs,
        "n_rows": buffer.buffer_size,
        "observations": str(buffer.observation_space),
        "actions": str(buffer.action_space),
        "optimize_memory_usage": buffer.optimize_memory_usage,
        "handle_timeout_termination": buffer.handle_timeout_termination,
        "arrays": rings,
    }


def check_buffer_settings(
    buffer: ReplayBuffer, saved: Mapping[str, Any], what: str = "the replay buffer"
) -> None:
    """Check that segments of a buffer with the saved settings can be restored into this one.

    :param what: name of the saved object, for the message.
    :raises SavedFileError: with the setting that differs.
    """
    for name, value in buffer_settings(buffer).items():
        if saved.get(name) != value:
            raise SavedFileError(
                f"{what} was saved with {name}={saved.get(name)!r}, here it is {value!r}: create"
                " the model with the same settings as before"
            )


def pack_rows(buffer: ReplayBuffer, first: int, end: int) -> dict[str, NDArray[Any]]:
    """Return the rows with times ``first <= t < end`` as arrays for an npz file.

    Overwritten rows are skipped. Compressed frames are not recompressed; all frames of the rows are
    included, also those shared with earlier rows.

    :param end: number of rows ever written.
    """
    begin, stacks = max(first, end - buffer.buffer_size), _stacks_of(buffer)
    packed: dict[str, NDArray[Any]] = {}
    if stacks is not None:
        stacks.recover()
        rows = stacks.frame_ids[np.arange(begin, end) % buffer.buffer_size]
        used = stacks.table.frames_in(rows)
        packed |= {"used": used, "free": stacks.table.free}
        packed |= stacks.table.store.pack(used)._asdict()
    for name, ring, n_ahead in _rings(buffer):
        packed |= _pack_ring(name, ring, begin, end + n_ahead)
    return packed


def restore_rows(
    buffer: ReplayBuffer, segments: Iterable[BufferSegment], *, n_written: int
) -> None:
    """Replace the content of a buffer by the newest rows of segments.

    Samples equal those of the saved buffer, also after the same rows are added to both.

    Segments may contain rows that were overwritten later; the later segments overwrite them here
    too. Frames keep their ids. An id may have been reused, but not while a row used it; if segments
    have different frames with the same id, all remaining rows refer to the last one.

    :param segments: verified segments in the order of time. They are read one by one, so they need
        not be in memory together. Segments without remaining rows may be left out.
    :param n_written: number of rows ever written; the last segment ends there.
    :raises SavedFileError: if a segment is missing.
    :raises TypeError: for a buffer that cannot be packed.
    """
    buffer.reset()
    size, stacks = buffer.buffer_size, _stacks_of(buffer)
    free = np.zeros(0, np.int32)
    reached = oldest = max(n_written - size, 0)
    for first, end, arrays in segments:
        begin = max(first, end - size)
        if end <= oldest:
            continue
        if not 0 <= begin <= reached <= end <= n_written:
            raise SavedFileError(
                f"a segment of the replay buffer with rows from {reached} on is missing: the next"
                f" one has rows {first} to {end}, of {n_written} rows"
            )
        for name, ring, n_ahead in _rings(buffer):
            _restore_ring(name, ring, begin, end + n_ahead, arrays)
        if stacks is not None:
            store, used, free = stacks.table.store, arrays["used"], arrays["free"]
            store.reserve(1 + int(used.max(initial=BLACK)))
            store.put_packed(used, PackedFrames(*(arrays[one] for one in PackedFrames._fields)))
        reached = end
    if reached != n_written:
        raise SavedFileError(f"rows {reached} to {n_written} of the replay buffer are missing")
    buffer.pos, buffer.full = n_written % size, n_written >= size
    if stacks is not None and n_written:
        stacks.restore(n_written, free)


def end_episodes(buffer: ReplayBuffer, envs: Sequence[int]) -> None:
    """Mark the newest row of these environments as truncated, unless their episode ended there.

    For environments that start a new episode on resume: n-step returns must not extend over the
    gap. As after a time limit, the target still bootstraps from the next observation if the buffer
    has ``handle_timeout_termination``.
    """
    if not buffer.size():
        return
    newest = buffer.pos - 1  # -1 is the last row
    running = [env for env in envs if not buffer.dones[newest, env]]
    buffer.dones[newest, running] = 1.0
    if buffer.handle_timeout_termination:
        buffer.timeouts[newest, running] = 1.0


def _stacks_of(buffer: Any) -> StackStorage | None:
    """Return the stacks of a FrameReplayBuffer, None for SB3's buffers."""
    stacks = getattr(buffer, "stacks", None)
    return stacks if isinstance(stacks, StackStorage) else None


def _rings(buffer: Any) -> Iterator[tuple[str, NDArray[Any], int]]:
    """Yield name, array (n_rows, n_envs, ...) and rows ahead of each ring buffer.

    With ``optimize_memory_usage`` observations are one row ahead: the next observation of the
    newest row is stored where the next row will be written.

    :raises TypeError: for a buffer that may store more than that.
    """
    stacks = _stacks_of(buffer)
    if stacks is not None:
        yield "numbers", stacks.frame_ids, 0
    elif type(buffer) in (ReplayBuffer, NStepReplayBuffer, DictReplayBuffer):
        is_shared = bool(buffer.optimize_memory_usage)
        for name in ("observations",) if is_shared else ("observations", "next_observations"):
            array = getattr(buffer, name)
            parts = array.values() if isinstance(array, dict) else [array]
            for i, part in enumerate(parts):
                yield f"{name}{i or ''}", part, int(is_shared)
    else:
        raise TypeError(
            f"a checkpoint cannot hold a {type(buffer).__name__}, only SB3's ReplayBuffer,"
            " NStepReplayBuffer and DictReplayBuffer, and FrameReplayBuffer: further state of other"
            " classes is unknown"
        )
    for name in SMALL_ARRAYS:
        yield name, getattr(buffer, name), 0


def _content_of(buffer: ReplayBuffer) -> Any:
    """Return an object that is replaced whenever the whole content is."""
    return _stacks_of(buffer) or buffer.actions


def _pack_ring(name: str, ring: NDArray[Any], begin: int, end: int) -> dict[str, NDArray[Any]]:
    """Return rows as arrays for a file: LZ4 blocks, and their compressed and original sizes.

    The rows of an environment are consecutive, so that similar images are close to each other.

    :param ring: (n_rows, n_envs, ...), with at least ``end - begin`` rows.
    """
    n, n_cells = end - begin, (end - begin) * ring.shape[1]
    cell_bytes = ring.itemsize * math.prod(ring.shape[2:])
    at_a_time = max(BLOCK_BYTES // max(cell_bytes, 1), 1)
    blocks, sizes = [], []
    for first in range(0, n_cells, at_a_time):
        env, place = np.divmod(np.arange(first, min(first + at_a_time, n_cells)), n)
        cells = np.ascontiguousarray(ring[(begin + place) % len(ring), env])
        blocks.append(lz4.block.compress(cells.reshape(-1).view(np.uint8), store_size=False))
        sizes.append((len(blocks[-1]), cells.nbytes))
    return {
        name: np.frombuffer(b"".join(blocks), np.uint8),
        f"{name}.sizes": np.array(sizes, np.int64).reshape(-1, 2),
    }


def _restore_ring(name: str, ring: NDArray[Any], begin: int, end: int, arrays: Arrays) -> None:
    """Write rows packed by :func:`_pack_ring` to their places, one decompressed block at a time."""
    n, blocks, first, start = end - begin, arrays[name], 0, 0
    for n_packed, n_bytes in arrays[f"{name}.sizes"].tolist():
        block = blocks[start : start + n_packed].data
        start += n_packed
        content = lz4.block.decompress(block, uncompressed_size=n_bytes)
        cells = np.frombuffer(content, ring.dtype).reshape(-1, *ring.shape[2:])
        env, place = np.divmod(np.arange(first, first + len(cells)), n)
        first += len(cells)
        ring[(begin + place) % len(ring), env] = cells
