"""Whether a replay memory will fit: what the full one needs, what there is, what would help."""

from __future__ import annotations

import warnings

from sb3_atari_course._common.errors import ReplayMemoryError
from sb3_atari_course.replay.frame_stores import FrameStore
from sb3_atari_course.replay.lz4_frames import Lz4Frames
from sb3_atari_course.replay.memory import Need, available_memory, in_words
from sb3_atari_course.replay.plain_frames import PlainFrames
from sb3_atari_course.replay.stacks import StackMemory


class Budget:
    """What a replay memory needs and what the machine had for it when learning started.

    Later checks go by that, not by what other programs have taken since: only a better estimate of
    the memory itself can make a training stop.

    :param memory: the stacks, of which some may be there already.
    :param small_bytes: of all that is no stack, when full.
    """

    def __init__(self, memory: StackMemory, small_bytes: int) -> None:
        self._memory, self._small_bytes = memory, small_bytes
        self._store = memory.table.store
        self._on_card = self._store.device.type == "cuda"
        #: Bytes that the memory may take, with those that it has taken; 0 before the start.
        self.available = 0

    def start(self) -> None:
        """Ask the machine what there is, and check.

        :raises ReplayMemoryError: as :meth:`check` does.
        """
        taken = self._store.n_bytes
        if not self._on_card:
            taken += self._other_bytes() * self._memory.n_filled // len(self._memory.numbers)
        self.available = available_memory(self._store.device) + taken
        self.check(warn=True)

    def need(self) -> Need:
        """Return the bytes that the full memory takes on the device where its frames are."""
        return self._need_in(self._store)

    def check(self, *, warn: bool = False) -> None:
        """Raise an error if the full memory needs more than there is.

        :param warn: also tell if only the higher end of an estimate does not fit.
        :raises ReplayMemoryError: if not even the lower end fits.
        """
        need = self.need()
        if need.high <= self.available:
            return
        message = (
            f"the replay memory needs {need} when it is full, {in_words(self.available)} are"
            f" available: choose {', or '.join(self._remedies(need))}"
        )
        if need.low > self.available:
            raise ReplayMemoryError(message)
        if warn:
            warnings.warn(f"this may not fit: {message}", stacklevel=4)

    def _remedies(self, need: Need) -> list[str]:
        """Return the settings that would fit."""
        remedies = []
        if self._on_card:
            remedies.append("storage_device='cpu'")
        if isinstance(self._store, PlainFrames):
            packed = self._need_in(Lz4Frames(self._memory.table.frame_size))
            if packed.low < self.available:
                may = "" if packed.high <= self.available else "perhaps "
                remedies.append(f"{may}compression='lz4', which needs {packed}")
        n_transitions = len(self._memory.numbers) * self._memory.n_envs
        fitting = 0.9 * self.available / need.high * n_transitions
        if fitting >= 1:
            remedies.append(f"buffer_size={_two_digits(fitting)}")
        return remedies or ["another machine, or end other programs"]

    def _need_in(self, store: FrameStore) -> Need:
        """Return the need if the frames were in ``store``."""
        need = store.bytes_of(self._memory.n_frames_when_full())
        return need if self._on_card else need.plus(self._other_bytes())

    def _other_bytes(self) -> int:
        """Return the bytes of all that is no frame, when full."""
        return self._memory.numbers.nbytes + self._small_bytes


def _two_digits(number: float) -> int:
    """Return a number rounded down to two digits: 540123 -> 540000."""
    step = 10 ** max(len(str(int(number))) - 2, 0)
    return int(number // step * step)
