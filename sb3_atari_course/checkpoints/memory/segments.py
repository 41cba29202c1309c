"""Replay memory in segments: what is new since the last checkpoint, and all of it from many.

The rows of a replay buffer have times: 0 for the first that was written, and so on; the row of time
``t`` lies at ``t % buffer.buffer_size``. A segment is what :func:`pack_rows` returns for some of
them; it stands alone. A memory is what its segments say, the later one where two have a row.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course.checkpoints.memory.frame_rows import FrameRows
from sb3_atari_course.checkpoints.memory.plain_rows import PlainRows
from sb3_atari_course.checkpoints.memory.ring_blocks import Times
from sb3_atari_course.replay import FrameReplayBuffer, ReplayFileError

#: The times of the first row and of the one after the last, and what :func:`pack_rows` returned.
Segment = tuple[int, int, Mapping[str, NDArray[Any]]]


class UnknownMemoryError(ValueError):
    """A replay buffer of a class whose content nobody here knows."""


class MemorySegmentError(CheckpointError):
    """Segments that are damaged, missing, or of another memory."""


class NewRows(NamedTuple):
    """Rows that the next checkpoint must write: ``first <= t < end``.

    :param starts_anew: the buffer was emptied, loaded or replaced: times begin again, and of the
        segments written before none is needed.
    """

    first: int
    end: int
    starts_anew: bool


class RowMark:
    """Where a replay buffer stood at a checkpoint, to tell at the next one what is new.

    Make one when a training begins (``n_written=0``; what is in the buffer already counts as new),
    and one after each checkpoint that was written and each memory that was restored.

    :param n_written: rows written until now, those included that others have replaced.
    :raises UnknownMemoryError: for a buffer that a checkpoint cannot hold.
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
            FrameReplayBuffer counts its rows; SB3's own know only where they write next, so there
            the steps count, if that agrees.
        """
        held = _rows_of(buffer).n_written
        end = held if isinstance(buffer, FrameReplayBuffer) else self._n_written + n_steps
        if self._content() is _content_of(buffer) and _ends_at(buffer, end):
            return NewRows(max(self._n_written - 1, 0), end, starts_anew=False)
        return NewRows(0, held, starts_anew=True)


def memory_settings(buffer: ReplayBuffer) -> dict[str, Any]:
    """Return what two buffers must have in common to exchange segments, as JSON has it.

    How and where frames are kept may differ, and ``n_steps`` and ``gamma``, which only concern
    samples.

    :raises UnknownMemoryError: for a buffer that a checkpoint cannot hold.
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


def check_memory_settings(buffer: ReplayBuffer, saved: Mapping[str, Any]) -> None:
    """Raise an error unless segments of a memory with these settings fit into this buffer.

    :raises MemorySegmentError: with what differs.
    """
    for name, value in memory_settings(buffer).items():
        if saved.get(name) != value:
            raise MemorySegmentError(
                f"the replay memory was saved with {name}={saved.get(name)!r}, here it is {value!r}"
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


def restore_rows(buffer: ReplayBuffer, segments: Iterable[Segment], *, n_written: int) -> None:
    """Replace all that is in a buffer by the newest rows of segments.

    Samples are those of the buffer that was saved, now and after more rows are added to both.

    Rows overwritten since are written too where a segment has them; what replaced them comes later.

    :param segments: in the order of time; read one by one, so that they need not be in memory
        together. Those of which no row counts any more may be left out.
    :param n_written: how many rows had been written; the last segment ends there.
    :raises MemorySegmentError: if a segment is damaged or missing; the buffer is empty then.
    :raises UnknownMemoryError: for a buffer that a checkpoint cannot hold.
    :raises SettingError: if frames shall lie on a card that is not there.
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
            raise MemorySegmentError(
                f"a segment of the replay memory has rows {first} to {end}; one of row {reached}"
                f" on is needed, of {n_written} rows"
            )
        try:
            rows.restore(Times(begin, end), arrays)
        except ReplayFileError as error:
            raise MemorySegmentError(
                f"rows {first} to {end} of the replay memory: {error}"
            ) from error
        reached = end
    if reached != n_written:
        raise MemorySegmentError(f"rows {reached} to {n_written} of the replay memory are missing")
    rows.finish(n_written)


def end_episodes(buffer: ReplayBuffer, envs: Sequence[int]) -> None:
    """Mark the newest row of these environments as cut off, unless their episode ended there.

    For environments that begin a new episode on resume: rewards of several steps are not summed up
    over the gap. As after a time limit, the value of the next observation still counts, where the
    buffer tells the two apart (``handle_timeout_termination``).
    """
    if not buffer.size():
        return
    newest = buffer.pos - 1  # -1: the last row
    running = [env for env in envs if not buffer.dones[newest, env]]
    buffer.dones[newest, running] = 1.0
    if buffer.handle_timeout_termination:
        buffer.timeouts[newest, running] = 1.0


class _Rows(Protocol):
    """What is the same in :class:`PlainRows` and :class:`FrameRows`."""

    @property
    def n_written(self) -> int: ...

    def rings(self) -> dict[str, NDArray[Any]]: ...

    def pack(self, times: Times) -> dict[str, NDArray[Any]]: ...

    def start(self) -> None: ...

    def restore(self, times: Times, arrays: Mapping[str, NDArray[Any]]) -> None: ...

    def finish(self, n_written: int) -> None: ...


def _rows_of(buffer: ReplayBuffer) -> _Rows:
    if isinstance(buffer, FrameReplayBuffer):
        return FrameRows(buffer)
    if type(buffer) in (ReplayBuffer, NStepReplayBuffer, DictReplayBuffer):
        return PlainRows(buffer)
    raise UnknownMemoryError(
        f"a checkpoint cannot hold a {type(buffer).__name__}, only SB3's ReplayBuffer,"
        " NStepReplayBuffer and DictReplayBuffer, and FrameReplayBuffer: what a class derived from"
        " them keeps, nobody here knows"
    )


def _ends_at(buffer: ReplayBuffer, end: int) -> bool:
    """Tell if so many rows may have been written, by what the buffer knows."""
    held, size = _rows_of(buffer).n_written, buffer.buffer_size
    if isinstance(buffer, FrameReplayBuffer):
        return end == held
    return end % size == held % size and (end >= size) == (held >= size)


def _content_of(buffer: ReplayBuffer) -> Any:
    """Return what is another object once the content is another one as a whole."""
    return buffer.stacks if isinstance(buffer, FrameReplayBuffer) else buffer.actions
