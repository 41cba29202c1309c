"""A replay buffer in segments, so that a checkpoint costs what is new since the last one.

The rows of a replay buffer have times: 0 for the first that was written, and so on; the row of time
``t`` lies at ``t % buffer.buffer_size``. A segment is what :func:`pack_rows` returns for some of
them; it stands alone. The content is that of all segments, the later one where two have a row.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import lz4.block
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.validation import check_cuda_device
from sb3_atari_course.replay import FrameReplayBuffer
from sb3_atari_course.replay.saved_files import SMALL_ARRAYS, Numbers, PackedFrames
from sb3_atari_course.replay.stacks import BLACK

Arrays = Mapping[str, NDArray[Any]]

#: The times of the first row and of the one after the last, and what :func:`pack_rows` returned.
BufferSegment = tuple[int, int, Arrays]

#: Bytes that are packed at a time: large beside the 64 kB in which LZ4 looks back, small beside
#: what a checkpoint may take of memory.
BLOCK_BYTES = 2**22


class Times(NamedTuple):
    """Which rows: those with times ``begin <= t < end``; row ``t % n_rows`` of the array."""

    begin: int
    end: int


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
    :raises TypeError: for a buffer that a checkpoint cannot hold.
    """

    def __init__(self, buffer: ReplayBuffer, *, n_written: int) -> None:
        _rows_of(buffer)
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
        held = _rows_of(buffer).n_written
        end = held if isinstance(buffer, FrameReplayBuffer) else self._n_written + n_steps
        if self._content() is _content_of(buffer) and _ends_at(buffer, end):
            return NewRows(max(self._n_written - 1, 0), end, starts_anew=False)
        return NewRows(0, held, starts_anew=True)


def buffer_settings(buffer: ReplayBuffer) -> dict[str, Any]:
    """Return what two buffers must have in common to exchange segments, as JSON has it.

    How and where frames are kept may differ, and ``n_steps`` and ``gamma``, which only concern
    samples.

    :raises TypeError: for a buffer that a checkpoint cannot hold.
    """
    rings = _rows_of(buffer).rings().items()
    return {
        "kind": "frames" if isinstance(buffer, FrameReplayBuffer) else "plain",
        "n_envs": buffer.n_envs,
        "n_rows": buffer.buffer_size,
        "observations": str(buffer.observation_space),
        "actions": str(buffer.action_space),
        "optimize_memory_usage": buffer.optimize_memory_usage,
        "handle_timeout_termination": buffer.handle_timeout_termination,
        "arrays": {name: [ring.dtype.str, *ring.shape[2:]] for name, ring in rings},
    }


def check_buffer_settings(buffer: ReplayBuffer, saved: Mapping[str, Any]) -> None:
    """Raise an error unless segments of a buffer with these settings fit into this one.

    :raises CheckpointError: with what differs.
    """
    for name, value in buffer_settings(buffer).items():
        if saved.get(name) != value:
            raise CheckpointError(
                f"the replay buffer was saved with {name}={saved.get(name)!r}, here it is"
                f" {value!r}: build the model as the first time"
            )


def pack_rows(buffer: ReplayBuffer, first: int, end: int) -> dict[str, NDArray[Any]]:
    """Return the rows with times ``first <= t < end``, as arrays for an npz.

    Of more than the buffer has rows, the newest.

    :param end: how many rows were written until now.
    """
    if not (0 <= first <= end and _ends_at(buffer, end)):
        raise ValueError(
            f"rows {first} to {end} are not the newest: row {buffer.pos} of {buffer.buffer_size} is"
            " written next"
        )
    return _rows_of(buffer).pack(Times(max(first, end - buffer.buffer_size), end))


def restore_rows(
    buffer: ReplayBuffer, segments: Iterable[BufferSegment], *, n_written: int
) -> None:
    """Replace all that is in a buffer by the newest rows of segments.

    Samples are those of the buffer that was saved, now and after more rows are added to both.

    Rows overwritten since are written too where a segment has them; what replaced them comes later.

    :param segments: undamaged, by the checksums of their files; in the order of time; read one by
        one, so that they need not be in memory together. Those of which no row counts any more may
        be left out.
    :param n_written: how many rows had been written; the last segment ends there.
    :raises CheckpointError: if a segment is missing; the buffer is empty then.
    :raises TypeError: for a buffer that a checkpoint cannot hold.
    :raises SettingError: if frames shall lie on a GPU that is not there.
    """
    rows = _rows_of(buffer)
    buffer.reset()
    rows.start()
    size = buffer.buffer_size
    oldest = max(n_written - size, 0)
    reached = oldest
    for first, end, arrays in segments:
        begin = max(first, end - size)
        if end <= oldest:
            continue
        if not 0 <= begin <= reached <= end <= n_written:
            raise CheckpointError(
                f"a segment of the replay buffer has rows {first} to {end}; one of row {reached}"
                f" on is needed, of {n_written} rows"
            )
        rows.restore(Times(begin, end), arrays)
        reached = end
    if reached != n_written:
        raise CheckpointError(f"rows {reached} to {n_written} of the replay buffer are missing")
    rows.finish(n_written)


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


class _Rows:
    """The rows of SB3's ReplayBuffer, NStepReplayBuffer or DictReplayBuffer."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer

    @property
    def n_written(self) -> int:
        """Rows written at the least: SB3 does not count how often it went round."""
        return int(self._buffer.pos + self._buffer.buffer_size * self._buffer.full)

    def rings(self) -> dict[str, NDArray[Any]]:
        """Return the arrays (n_rows, n_envs, ...) of which each step writes a row."""
        rings = {}
        others = () if self._buffer.optimize_memory_usage else ("next_observations",)
        for name in ("observations", *others):
            array = getattr(self._buffer, name)
            parts = array.values() if isinstance(array, dict) else [array]
            rings.update({f"{name}{i or ''}": part for i, part in enumerate(parts)})
        return {**rings, **{name: getattr(self._buffer, name) for name in SMALL_ARRAYS}}

    def pack(self, times: Times) -> dict[str, NDArray[Any]]:
        packed: dict[str, NDArray[Any]] = {}
        for name, ring in self.rings().items():
            packed.update(_pack_ring(name, ring, self._times_in(name, times)))
        return packed

    def start(self) -> None:
        """Prepare for rows to be restored."""

    def restore(self, times: Times, arrays: Arrays) -> None:
        """Write packed rows into their places."""
        for name, ring in self.rings().items():
            _restore_ring(name, ring, self._times_in(name, times), arrays)

    def finish(self, n_written: int) -> None:
        """Let the buffer continue after so many rows."""
        size = self._buffer.buffer_size
        self._buffer.pos, self._buffer.full = n_written % size, n_written >= size

    def _times_in(self, name: str, times: Times) -> Times:
        """Return which rows of an array are needed.

        With ``optimize_memory_usage`` the next observation of the newest row lies already where the
        next row will be written.
        """
        if self._buffer.optimize_memory_usage and name.startswith("observations"):
            return times._replace(end=times.end + 1)
        return times


class _FrameRows(_Rows):
    """The rows of a FrameReplayBuffer: its small arrays, numbers of frames, and these frames."""

    def __init__(self, buffer: FrameReplayBuffer) -> None:
        super().__init__(buffer)
        self._stacks = buffer.stacks
        self._free: Numbers = np.zeros(0, np.int32)

    @property
    def n_written(self) -> int:
        return self._stacks.n_written

    def rings(self) -> dict[str, NDArray[Any]]:
        small = {name: getattr(self._buffer, name) for name in SMALL_ARRAYS}
        return {**small, "numbers": self._stacks.numbers}

    def pack(self, times: Times) -> dict[str, NDArray[Any]]:
        """Return rows and the frames that they use; frames that are kept packed are not touched.

        Frames shared with the row before are among them, so these arrays stand alone.
        """
        stacks = self._stacks
        stacks.recover()
        used = stacks.table.frames_in(stacks.numbers[self._places(times)])
        frames = stacks.table.store.pack(used)
        return {**super().pack(times), "used": used, "free": stacks.table.free, **frames._asdict()}

    def start(self) -> None:
        """Make room for rows and frames beside what the buffer has.

        :raises SettingError: if they shall lie on a GPU that is not there.
        """
        check_cuda_device("storage_device", self._buffer.storage_device)
        self._stacks = self._buffer.empty_stacks()

    def restore(self, times: Times, arrays: Arrays) -> None:
        """Write rows into their places, and frames under the numbers that they had.

        Numbers are given out again, but a frame keeps its own for as long as a row uses it. So
        where segments have different frames under a number, all rows that still count mean the
        last of them.
        """
        super().restore(times, arrays)
        used, self._free = arrays["used"], arrays["free"]
        packed = PackedFrames(*(arrays[name] for name in PackedFrames._fields))
        store = self._stacks.table.store
        store.reserve(1 + int(used.max(initial=BLACK)))
        store.put_packed(used, packed)

    def finish(self, n_written: int) -> None:
        if n_written:
            self._stacks.adopt(n_written, self._free)
            self._buffer.keep_stacks_in(self._stacks)

    def _places(self, times: Times) -> NDArray[np.int64]:
        places: NDArray[np.int64] = np.arange(times.begin, times.end) % self._buffer.buffer_size
        return places


def _rows_of(buffer: ReplayBuffer) -> _Rows:
    if isinstance(buffer, FrameReplayBuffer):
        return _FrameRows(buffer)
    if type(buffer) in (ReplayBuffer, NStepReplayBuffer, DictReplayBuffer):
        return _Rows(buffer)
    raise TypeError(
        f"a checkpoint cannot hold a {type(buffer).__name__}, only SB3's ReplayBuffer,"
        " NStepReplayBuffer and DictReplayBuffer, and FrameReplayBuffer: what a subclass keeps"
        " besides is unknown"
    )


def _ends_at(buffer: ReplayBuffer, end: int) -> bool:
    """Return whether so many rows may have been written, by what the buffer stores."""
    held, size = _rows_of(buffer).n_written, buffer.buffer_size
    if isinstance(buffer, FrameReplayBuffer):
        return end == held
    return end % size == held % size and (end >= size) == (held >= size)


def _content_of(buffer: ReplayBuffer) -> Any:
    """Return what is another object once the content is another one as a whole."""
    return buffer.stacks if isinstance(buffer, FrameReplayBuffer) else buffer.actions


def _pack_ring(name: str, ring: NDArray[Any], times: Times) -> dict[str, NDArray[Any]]:
    """Return rows as arrays for a file: LZ4 blocks, and the bytes of each, packed and unpacked.

    The rows of an environment come one after the other: what repeats itself in images is near.

    :param ring: (n_rows, n_envs, ...), at least as many rows as there are times.
    """
    n, n_cells = times.end - times.begin, (times.end - times.begin) * ring.shape[1]
    cell_bytes = ring.itemsize * math.prod(ring.shape[2:])
    at_a_time = max(BLOCK_BYTES // max(cell_bytes, 1), 1)
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


def _restore_ring(name: str, ring: NDArray[Any], times: Times, arrays: Arrays) -> None:
    """Write rows of :func:`_pack_ring` into their places; only one block is unpacked at a time."""
    n, blocks, first, end = times.end - times.begin, arrays[name], 0, 0
    for n_packed, n_bytes in arrays[f"{name}.sizes"].tolist():
        start, end = end, end + n_packed
        content = lz4.block.decompress(blocks[start:end].data, uncompressed_size=n_bytes)
        cells = np.frombuffer(content, ring.dtype).reshape(-1, *ring.shape[2:])
        env, place = np.divmod(np.arange(first, first + len(cells)), n)
        first += len(cells)
        ring[(times.begin + place) % len(ring), env] = cells
