"""What a replay buffer saves and takes over: all that is filled, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from sb3_atari_course.replay.files import saved_array
from sb3_atari_course.replay.packed_frames import converted

if TYPE_CHECKING:
    from sb3_atari_course.replay.frame_replay_buffer import FrameReplayBuffer

#: What SB3 keeps of a transition beside its observations.
SMALL_ARRAYS = ("actions", "rewards", "dones", "timeouts")


def settings_of(buffer: FrameReplayBuffer) -> dict[str, Any]:
    """Return what a saved buffer must agree with to be taken over; frames may be packed or not."""
    return {
        "n_envs": buffer.n_envs,
        "buffer_size": buffer.buffer_size * buffer.n_envs,
        "observations": list(buffer.obs_shape),
        "actions": str(buffer.action_space),
        "handle_timeout_termination": buffer.handle_timeout_termination,
    }


def arrays_of(buffer: FrameReplayBuffer) -> dict[str, NDArray[Any]]:
    """Return all that is filled, as arrays of plain numbers."""
    n_rows = buffer.stacks.n_filled
    small = {name: getattr(buffer, name)[:n_rows] for name in SMALL_ARRAYS}
    return {**small, **buffer.stacks.arrays()}


def take_over(
    buffer: FrameReplayBuffer, arrays: dict[str, NDArray[Any]], *, pos: int, full: bool
) -> None:
    """Put saved arrays in place of what a buffer has.

    :param pos: the row to be written next.
    :param full: if all rows are filled.
    :raises ReplayFileError: if the arrays do not fit together; nothing is changed.
    :raises ReplayMemoryError: if packed frames do not fit into memory unpacked.
    """
    n_rows = buffer.buffer_size if full else pos
    for name in SMALL_ARRAYS:
        own = getattr(buffer, name)
        saved_array(arrays, name, own.dtype, (n_rows, *own.shape[1:]))
    stacks = buffer.empty_stacks()
    is_packed, frame_size = buffer.compression is not None, stacks.table.frame_size
    stacks.restore(converted(arrays, frame_size, packed=is_packed), pos=pos, full=full)
    for name in SMALL_ARRAYS:
        getattr(buffer, name)[:n_rows] = arrays[name]
    buffer.keep_stacks_in(stacks)
