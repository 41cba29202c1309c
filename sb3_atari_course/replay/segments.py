"""A replay buffer as arrays: in segments of rows, for checkpoints, saved files and pickles.

The rows of a replay buffer have times: 0 for the first that was written, and so on; the row of time
``t`` lies at ``t % buffer.buffer_size``. A segment is what :func:`pack_rows` returns for some of
them; it stands alone. The content is that of all segments, the later one where two have a row; so a
checkpoint needs to write what is new since the last one only.
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
from sb3_atari_course.replay.stacks import BLACK, StackMemory

Arrays = Mapping[str, NDArray[Any]]

#: The times of the first row and of the one after the last, and what :func:`pack_rows` returned.
BufferSegment = tuple[int, int, Arrays]

#: What SB3 keeps of a transition beside its observations.
SMALL_ARRAYS = ("actions", "rewards", "dones", "timeouts")

#: Bytes that are packed at a time: large beside the 64 kB in which LZ4 looks back, small beside
#: what a checkpoint may take of memory.
BLOCK_BYTES = 2**22


class NewRows(NamedTuple):
    """Rows that the next checkpoint must write: ``first <= t < end``.

    :param starts_anew: the buffer was emptied, loaded or replaced: times start over, and of the
        segments written before none is needed.
    """

    first: int
    end: int
    starts_anew: bool


class RowMark:
    """Where a replay buffer stood at a checkpoint, to find at the next one what is new.

    Make one when a training begins (``n_written=0``; what is in the buffer already counts as new),
    and one after each checkpoint that was written and each buffer that was restored.

    :param n_written: rows written until now, those included that others have replaced.
    :raises TypeError: for a buffer that cannot be packed.
    """

    def __init__(self, buffer: ReplayBuffer, *, n_written: int) -> None:
        buffer_settings(buffer)
        self._n_written = n_written
        self._content = weakref.ref(_content_of(buffer))

    def rows_since(self, buffer: ReplayBuffer, *, n_steps: int) -> NewRows:
        """Return what is new.

        The row before it is written again: the end of an episode may have been marked in it since
        (:func:`end_episodes`, and SB3 itself with ``optimize_memory_usage``).

        :param n_steps: steps of the vectorized environment since the mark was made. A
            FrameReplayBuffer counts its rows; SB3's own store only where they write next, so there
            the steps count, if that agrees.
        """
        stacks, size = _stacks_of(buffer), buffer.buffer_size
        held = int(buffer.pos + size * buffer.full)  # at the least
        end = self._n_written + n_steps
        if stacks is not None:
            held = end = stacks.n_written
        agrees = end % size == held % size and (end >= size) == (held >= size)
        if self._content() is _content_of(buffer) and agrees:
            return NewRows(max(self._n_written - 1, 0), end, starts_anew=False)
        return NewRows(0, held, starts_anew=True)


def buffer_settings(buffer: ReplayBuffer) -> dict[str, Any]:
    """Return what two buffers must have in common to exchange segments, as JSON has it.

    How and where frames are kept may differ, and ``n_steps`` and ``gamma``, which only concern
    samples.

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
    """Raise an error unless segments of a buffer with these settings fit into this one.

    :param what: was saved, for the message.
    :raises SavedFileError: with what differs.
    """
    for name, value in buffer_settings(buffer).items():
        if saved.get(name) != value:
            raise SavedFileError(
                f"{what} was saved with {name}={saved.get(name)!r}, here it is {value!r}: build the"
                " model as the first time"
            )


def pack_rows(buffer: ReplayBuffer, first: int, end: int) -> dict[str, NDArray[Any]]:
    """Return the rows with times ``first <= t < end``, as arrays for an npz.

    Of more than the buffer has rows, the newest. Frames that are kept packed are not touched; those
    that the first row shares with the one before are among them.

    :param end: how many rows were written until now.
    """
    begin, stacks = max(first, end - buffer.buffer_size), _stacks_of(buffer)
    packed: dict[str, NDArray[Any]] = {}
    if stacks is not None:
        stacks.recover()
        rows = stacks.numbers[np.arange(begin, end) % buffer.buffer_size]
        used = stacks.table.frames_in(rows)
        packed |= {"used": used, "free": stacks.table.free}
        packed |= stacks.table.store.pack(used)._asdict()
    for name, ring, n_ahead in _rings(buffer):
        packed |= _pack_ring(name, ring, begin, end + n_ahead)
    return packed


def restore_rows(
    buffer: ReplayBuffer, segments: Iterable[BufferSegment], *, n_written: int
) -> None:
    """Replace all that is in a buffer by the newest rows of segments.

    Samples are those of the buffer that was saved, now and after more rows are added to both.

    Rows overwritten since are written too where a segment has them; what replaced them comes later.
    Frames get the numbers that they had. Numbers are given out again, but a frame keeps its own for
    as long as a row uses it. So where segments have different frames under a number, all rows that
    still count mean the last of them.

    :param segments: undamaged, by the checksums of their files; in the order of time; read one by
        one, so that they need not be in memory together. Those of which no row counts any more may
        be left out.
    :param n_written: how many rows had been written; the last segment ends there.
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
                f"a segment of the replay buffer has rows {first} to {end}; one of row {reached}"
                f" on is needed, of {n_written} rows"
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
        stacks.adopt(n_written, free)


def end_episodes(buffer: ReplayBuffer, envs: Sequence[int]) -> None:
    """Mark the newest row of these environments as cut off, unless their episode ended there.

    For environments that begin a new episode on resume: n-step returns do not reach over the gap.
    As after a time limit, the value of the next observation still counts, where the buffer tells
    the two apart (``handle_timeout_termination``).
    """
    if not buffer.size():
        return
    newest = buffer.pos - 1  # -1: the last row
    running = [env for env in envs if not buffer.dones[newest, env]]
    buffer.dones[newest, running] = 1.0
    if buffer.handle_timeout_termination:
        buffer.timeouts[newest, running] = 1.0


def _stacks_of(buffer: Any) -> StackMemory | None:
    """Return the stacks of a FrameReplayBuffer, None for SB3's own buffers."""
    stacks = getattr(buffer, "stacks", None)
    return stacks if isinstance(stacks, StackMemory) else None


def _rings(buffer: Any) -> Iterator[tuple[str, NDArray[Any], int]]:
    """Yield the arrays (n_rows, n_envs, ...) of which each step writes a row: name, array, ahead.

    With ``optimize_memory_usage`` the next observation of the newest row lies already where the
    next row will be written: one row ahead.

    :raises TypeError: for a buffer that keeps more than that, as far as is known.
    """
    stacks = _stacks_of(buffer)
    if stacks is not None:
        yield "numbers", stacks.numbers, 0
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
            " NStepReplayBuffer and DictReplayBuffer, and FrameReplayBuffer: what a subclass keeps"
            " besides is unknown"
        )
    for name in SMALL_ARRAYS:
        yield name, getattr(buffer, name), 0


def _content_of(buffer: ReplayBuffer) -> Any:
    """Return what is another object once the content is another one as a whole."""
    return _stacks_of(buffer) or buffer.actions


def _pack_ring(name: str, ring: NDArray[Any], begin: int, end: int) -> dict[str, NDArray[Any]]:
    """Return rows as arrays for a file: LZ4 blocks, and the bytes of each, packed and unpacked.

    The rows of an environment come one after the other: what repeats itself in images is near.

    :param ring: (n_rows, n_envs, ...), at least as many rows as there are times.
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
    """Write rows of :func:`_pack_ring` into their places; only one block is unpacked at a time."""
    n, blocks, first, start = end - begin, arrays[name], 0, 0
    for n_packed, n_bytes in arrays[f"{name}.sizes"].tolist():
        block = blocks[start : start + n_packed].data
        start += n_packed
        content = lz4.block.decompress(block, uncompressed_size=n_bytes)
        cells = np.frombuffer(content, ring.dtype).reshape(-1, *ring.shape[2:])
        env, place = np.divmod(np.arange(first, first + len(cells)), n)
        first += len(cells)
        ring[(begin + place) % len(ring), env] = cells
