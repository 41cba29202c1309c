"""Whether a replay memory will fit: what the full one needs, what there is, what would help."""

from __future__ import annotations

import warnings

from sb3_atari_course.errors import ReplayMemoryError
from sb3_atari_course.replay.frame_stores import FrameStore
from sb3_atari_course.replay.lz4_frames import Lz4Frames
from sb3_atari_course.replay.memory import Need, available_memory, gigabytes
from sb3_atari_course.replay.plain_frames import PlainFrames
from sb3_atari_course.replay.stacks import StackMemory


def need_when_full(memory: StackMemory, *, small_bytes: int) -> Need:
    """Return the bytes that a full memory takes on the device where its frames are.

    :param memory: the stacks so far.
    :param small_bytes: of all that is no stack, when full.
    """
    return _need_in(memory.table.store, memory, small_bytes)


def check_fits(memory: StackMemory, *, small_bytes: int, warn: bool) -> None:
    """Raise an error if the full memory needs more than there is.

    :param small_bytes: of all that is no stack, when full.
    :param warn: also tell if only the higher end of an estimate does not fit.
    :raises ReplayMemoryError: if not even the lower end fits.
    """
    store = memory.table.store
    need = need_when_full(memory, small_bytes=small_bytes)
    available = available_memory(store.device) + store.n_bytes
    if store.device.type == "cpu":
        available += (memory.numbers.nbytes + small_bytes) * memory.n_filled // len(memory.numbers)
    if need.high <= available:
        return
    message = (
        f"the replay memory needs {need} when it is full, {gigabytes(available)} GB are available:"
        f" choose {' or '.join(_remedies(memory, small_bytes, available))}"
    )
    if need.low > available:
        raise ReplayMemoryError(message)
    if warn:
        warnings.warn(f"this may not fit: {message}", stacklevel=2)


def _need_in(store: FrameStore, memory: StackMemory, small_bytes: int) -> Need:
    """Return the need if the frames were in ``store``."""
    need = store.bytes_of(memory.n_frames_when_full())
    return need.plus(memory.numbers.nbytes + small_bytes) if store.device.type == "cpu" else need


def _remedies(memory: StackMemory, small_bytes: int, available: int) -> list[str]:
    """Return the settings that would fit."""
    store = memory.table.store
    remedies = []
    if store.device.type == "cuda":
        remedies.append("storage_device='cpu'")
    if isinstance(store, PlainFrames):
        packed = _need_in(Lz4Frames(memory.table.frame_size), memory, small_bytes)
        if packed.low < available:
            remedies.append(f"compression='lz4', which needs {packed}")
    need = _need_in(store, memory, small_bytes)
    n_transitions = len(memory.numbers) * memory.n_envs
    remedies.append(f"buffer_size={_two_digits(0.9 * available / need.high * n_transitions)}")
    return remedies


def _two_digits(number: float) -> int:
    """Return a number rounded down to two digits: 540123 -> 540000."""
    step = 10 ** max(len(str(int(number))) - 2, 0)
    return int(number // step * step)
