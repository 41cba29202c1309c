"""SB3's replay buffer with every frame kept once."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.preprocessing import is_image_space_channels_first
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.utils import get_device
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_course._common.errors import ReplayFileError, ReplayMemoryError, SettingError
from sb3_atari_course._common.state_tree import (
    read_archive,
    read_header,
    seal,
    unseal,
    write_archive,
)
from sb3_atari_course._common.validation import (
    boolean,
    check_cuda_device,
    explain_arguments,
    finite_number,
    integer_at_least,
)
from sb3_atari_course.envs import warn_if_stacked_twice
from sb3_atari_course.replay.frame_stores import DeviceFrames, FrameStore, Lz4Frames, PlainFrames
from sb3_atari_course.replay.ram_budget import (
    CPU,
    Need,
    available_memory,
    check_budget,
    in_words,
)
from sb3_atari_course.replay.segments import (
    SMALL_ARRAYS,
    Arrays,
    buffer_settings,
    check_buffer_settings,
    pack_rows,
    restore_rows,
)
from sb3_atari_course.replay.stacks import NEXT_OBS, OBS, StackArray, StackMemory

#: Rows between two estimates of the bytes that the full buffer will take.
ROWS_BETWEEN_CHECKS = 1024


class FrameReplayBuffer(NStepReplayBuffer):
    """SB3's replay buffer for stacked images, with every frame kept once.

    A transition of the DQN paper has eight frames of 84 x 84; seven of them are in its neighbours
    too, so SB3 needs 56 kB for it, this buffer 7 kB, and with LZ4 a few hundred bytes. What goes
    in comes out to the bit, terminal observations and padded stacks too, and the same state of
    numpy's global generator draws the same batch as SB3's buffer does, so a training ends with
    the same weights. Sampling is SB3's own code, over two arrays of observations for which
    :class:`~sb3_atari_course.replay.stacks.StackArray` stands.

    In Python ``DQN(..., replay_buffer_class=FrameReplayBuffer, replay_buffer_kwargs={...})``; in a
    yml ``replay_buffer_class: get_class_by_name('sb3_atari_course.replay.FrameReplayBuffer')``.

    Memory is taken as frames come in. When learning starts, what the full buffer will need is
    compared with what there is, and again as the estimate gets better.

    :param buffer_size: transitions kept, of all environments together.
    :param observation_space: (n_stack, h, w) or (h, w, n_stack) uint8; the axis that is shortest
        is the stack, as SB3 has it. A stack of colour images works, with each colour a frame.
    :param action_space: as for SB3's buffer.
    :param device: where batches go.
    :param n_envs: number of environments.
    :param optimize_memory_usage: must be False: every frame is kept once anyway.
    :param handle_timeout_termination: a time limit is no end of the task (as SB3 has it).
    :param n_steps: rewards summed up in a sample (n-step return), as in SB3's
        ``NStepReplayBuffer``. The model's own ``n_steps`` must stay 1: SB3 ignores it with a buffer
        class of one's own.
    :param gamma: discount of those rewards, per step: state the model's gamma here too, since the
        buffer does not know its model. With SB3's own algorithms another value goes unnoticed: the
        n-step returns are then discounted by it. RL Zoo's settings are checked by our launcher,
        and FastDQN writes its gamma into the buffer at each ``train``. None cannot be sampled with
        ``n_steps`` above 1.
    :param compression: None, or ``"lz4"``: a tenth of the memory or less, for some more time.
    :param storage_device: where frames are kept and gathered: ``"cpu"``, ``"cuda"``, where the
        memory for all of them is taken at once, or ``"auto"``: on the GPU if batches go there and
        there is no compression, else on the CPU; frames of a saved buffer follow the model that
        loads it.
    :raises ValueError: for observations that are no stacks of images, and for settings that do
        not go together.
    :raises TypeError: for an unknown argument, and for a flag that is not a bool.
    :raises SettingError: when learning starts, without the GPU that was asked for; by ``sample``
        without a gamma.
    :raises ReplayMemoryError: when learning starts, or once a better estimate shows it: the full
        buffer will not fit into memory.
    """

    @explain_arguments
    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        *,
        n_steps: int = 1,
        gamma: float | None = 0.99,
        compression: Literal["lz4"] | None = None,
        storage_device: str = "cpu",
    ) -> None:
        if boolean("optimize_memory_usage", optimize_memory_usage):
            raise ValueError(
                "FrameReplayBuffer keeps every frame once already: leave out optimize_memory_usage"
                " (SB3's variant forgets the observation at the end of an episode)"
            )
        self.compression = compression
        self._storage_device = _checked_device(observation_space, compression, storage_device)
        # past ReplayBuffer's own constructor, which would allocate both arrays of observations
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        self._asked_device = device
        self.buffer_size = max(integer_at_least(1, "buffer_size", buffer_size) // n_envs, 1)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = boolean(
            "handle_timeout_termination", handle_timeout_termination
        )
        self.n_steps = integer_at_least(1, "n_steps", n_steps)
        if gamma is not None and not 0.0 <= finite_number("gamma", gamma) <= 1.0:
            raise ValueError(f"gamma is a discount, 0 to 1, got {gamma!r}")
        self.gamma: float = gamma  # type: ignore[assignment]  # None: cannot discount
        try:
            self._make_small_arrays()
            self.keep_stacks_in(self.empty_stacks())
        except MemoryError as error:
            raise ReplayMemoryError(
                f"buffer_size={buffer_size} is too large, even without a frame: {error}"
            ) from error
        warn_if_stacked_twice(observation_space)

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Keep one transition of each environment.

        :param obs: stacks (n_envs, *shape) uint8.
        :param next_obs: the stacks after the step, at the end of an episode the terminal ones.
        :param action: (n_envs,) or (n_envs, action_dim).
        :param reward: (n_envs,).
        :param done: (n_envs,), terminated or truncated.
        :param infos: of each environment; ``TimeLimit.truncated`` is read.
        :raises SettingError: the first time, see the class.
        :raises ReplayMemoryError: see the class.
        """
        obs, next_obs = self.stacks.checked(obs), self.stacks.checked(next_obs)
        if not self._learning:
            self._learning_starts()
        elif self.pos % ROWS_BETWEEN_CHECKS == 0:
            self._check_memory()
        row = self.stacks.next_row
        numbers, breaks = self.stacks.number(obs, next_obs)
        if breaks:
            self._end_returns(breaks)
        self.actions[row] = action.reshape(self.n_envs, self.action_dim)
        self.rewards[row] = reward
        self.dones[row] = done
        is_cut_off = [info.get("TimeLimit.truncated", False) for info in infos]
        self.timeouts[row] = is_cut_off if self.handle_timeout_termination else 0.0
        self.stacks.append(numbers)  # from here on the row counts, whatever interrupts
        self._follow_stacks()

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self.keep_stacks_in(self.empty_stacks())

    @property
    def device(self) -> th.device:
        """Where batches go; SB3 sets it when a model loads a buffer."""
        return self._device

    @device.setter
    def device(self, device: th.device) -> None:
        place = self.storage_device if "stacks" in self.__dict__ else None
        self._device = self._asked_device = th.device(device)
        if place not in (None, self.storage_device):  # frames follow
            self._take_over(self._packed(), self.stacks.n_written)

    @property
    def storage_device(self) -> th.device:
        """Where frames are kept, of ``"auto"`` at this moment."""
        if isinstance(self._storage_device, th.device):
            return self._storage_device
        follows = self.device.type == "cuda" and self.compression is None
        return self.device if follows else CPU

    @storage_device.setter
    def storage_device(self, device: th.device) -> None:
        self._storage_device = device

    @property
    def lies_on_card(self) -> bool:
        """Whether frames are kept and gathered on a GPU."""
        return self.storage_device.type == "cuda"

    def memory_needed(self) -> Need:
        """Return the bytes that the full buffer will take where its frames are.

        Without compression exact, as long as episodes are not so short that their first frames
        count; with LZ4 an estimate, at first from other games, then from the frames so far.
        """
        return self._need_with(self.stacks.table.store)

    def check_valid(self) -> None:
        """Assert that rows, numbers of frames, their uses and their places agree."""
        n_filled = self.stacks.n_filled
        assert n_filled == self.size(), f"{n_filled} rows are filled, SB3 counts {self.size()}"
        if self.size():
            self.stacks.check_valid()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what is filled into a file without pickle (npz and JSON, with checksums)."""
        header = {
            "settings": buffer_settings(self),
            "n_written": self.stacks.n_written,
            "n_frames": self.stacks.table.n_frames,
        }
        write_archive(Path(path), self._packed(), header)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take over what :meth:`save` wrote, in place of all that is here.

        Until all of it is read and checked, what is here stays, and takes its memory. How and where
        frames are kept may differ.

        :raises ReplayFileError: if the file is damaged or of other settings; nothing is changed.
        :raises ReplayMemoryError: if the machine has not the memory that it needs.
        """
        path = Path(path)
        header = read_header(path)
        if "n_frames" not in header:
            raise ReplayFileError(f"{path} is not a saved replay buffer")
        check_buffer_settings(self, header["settings"], str(path))
        needed = path.stat().st_size
        if not self.lies_on_card:
            needed += self.stacks.table.store.bytes_of(header["n_frames"]).low
        available = available_memory(CPU)
        if needed > available:
            raise ReplayMemoryError(
                f"{path}: {in_words(needed)} of memory are needed, {in_words(available)} are"
                " available: choose compression='lz4', or end other programs"
            )
        self._take_over(read_archive(path), header["n_written"])

    def keep_stacks_in(self, stacks: StackMemory) -> None:
        """Give SB3's code other arrays of observations to read; the row to write next is theirs."""
        self.stacks = stacks
        self.observations = cast(Any, StackArray(stacks, OBS))
        self.next_observations = cast(Any, StackArray(stacks, NEXT_OBS))
        self._follow_stacks()
        self._learning = False

    def empty_stacks(self) -> StackMemory:
        """Return stacks for these settings, without a frame; they take memory once written."""
        shape, n_rows = self.obs_shape, self.buffer_size
        channels_first = is_image_space_channels_first(cast(spaces.Box, self.observation_space))
        n_stack = shape[0 if channels_first else 2]
        frame_size, n_expected = math.prod(shape) // n_stack, self.n_envs * (n_rows + n_stack) + 1
        store: FrameStore
        if self.compression == "lz4":
            store = Lz4Frames(frame_size)
        elif self.lies_on_card:
            store = DeviceFrames(frame_size, n_expected, self.storage_device)
        else:
            store = PlainFrames(frame_size, n_expected)
        return StackMemory(
            store, n_rows=n_rows, n_envs=self.n_envs, shape=shape, channels_first=channels_first
        )

    def to_torch(self, array: Any, copy: bool = False) -> th.Tensor:
        """Return an array or tensor on the buffer's device; sampled arrays need no copy."""
        return super().to_torch(array, copy=copy)

    @staticmethod
    def _normalize_obs(obs: Any, env: VecNormalize | None = None) -> Any:
        if env is not None and isinstance(obs, th.Tensor):
            obs = obs.cpu().numpy()
        return NStepReplayBuffer._normalize_obs(obs, env)

    def _get_samples(
        self, batch_inds: NDArray[np.int64], env: VecNormalize | None = None
    ) -> ReplayBufferSamples:
        if self.n_steps == 1:  # without discounts, as SB3's DQN expects
            return ReplayBuffer._get_samples(self, batch_inds, env)
        if self.gamma is None:
            raise SettingError(
                f"replay_buffer_kwargs: gamma is None, but n_steps={self.n_steps} rewards are to be"
                " discounted: set it to the model's gamma"
            )
        return super()._get_samples(batch_inds, env)

    def _make_small_arrays(self) -> None:
        """Make SB3's arrays of all that is no observation."""
        rows = (self.buffer_size, self.n_envs)
        action_dtype = self._maybe_cast_dtype(self.action_space.dtype)
        self.actions = np.zeros((*rows, self.action_dim), action_dtype)
        self.rewards = np.zeros(rows, np.float32)
        self.dones = np.zeros(rows, np.float32)
        self.timeouts = np.zeros(rows, np.float32)

    def _end_returns(self, envs: list[int]) -> None:
        """Mark the last row as cut off in these environments, unless an episode ended there.

        Where one has not ended play was interrupted, and no n-step return may go over the gap.
        """
        if self.stacks.n_filled:
            last = self.stacks.next_row - 1
            self.timeouts[last, [env for env in envs if not self.dones[last, env]]] = 1.0

    def _follow_stacks(self) -> None:
        """Let SB3's count of rows be that of the stacks, which an interruption leaves right."""
        self.pos, self.full = self.stacks.next_row, self.stacks.n_filled == self.buffer_size

    def _learning_starts(self) -> None:
        """Check what can only be known now: the GPU, the machine's memory."""
        check_cuda_device("storage_device", self.storage_device)
        store = self.stacks.table.store
        taken = store.n_bytes
        if not self.lies_on_card:
            taken += self._bytes_beside_frames() * self.stacks.n_filled // self.buffer_size
        #: Later checks go by it too: what other programs take meanwhile does not end a training.
        self._available = available_memory(store.device) + taken
        self._check_memory(warn=True)
        self._learning = True

    def _check_memory(self, *, warn: bool = False) -> None:
        store, remedies = self.stacks.table.store, []
        if self.lies_on_card:
            remedies.append("storage_device='cpu'")
        if isinstance(store, PlainFrames):
            packed = self._need_with(Lz4Frames(store.frame_size))
            if packed.low < self._available:
                remedies.append(f"compression='lz4', which needs {packed}")
        n_transitions = self.buffer_size * self.n_envs
        check_budget(self.memory_needed(), self._available, n_transitions, remedies, warn=warn)

    def _need_with(self, store: FrameStore) -> Need:
        """Return the bytes of the full buffer on the device of its frames, if they were there."""
        need = store.bytes_of(self.stacks.n_frames_when_full())
        return need if self.lies_on_card else need.plus(self._bytes_beside_frames())

    def _bytes_beside_frames(self) -> int:
        small_bytes = sum(getattr(self, name).nbytes for name in SMALL_ARRAYS)
        return self.stacks.numbers.nbytes + int(small_bytes)

    def _packed(self) -> dict[str, NDArray[Any]]:
        """Return all that is filled."""
        self._follow_stacks()
        return pack_rows(self, 0, self.stacks.n_written)

    def _take_over(self, rows: Arrays, n_written: int) -> None:
        """Put packed rows in place of what is here; if that fails, nothing is changed."""
        fresh = object.__new__(type(self))
        vars(fresh).update(vars(self))
        fresh._make_small_arrays()
        restore_rows(fresh, [(0, n_written, rows)], n_written=n_written)
        vars(self).update(vars(fresh))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with only what is filled, packed as in a file."""
        left_out = {"stacks", "observations", "next_observations", *SMALL_ARRAYS}
        state = {name: value for name, value in self.__dict__.items() if name not in left_out}
        return {**state, "n_written": self.stacks.n_written, "rows": seal(self._packed())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "rows" not in state:
            raise ReplayFileError(
                "the replay buffer was saved by an earlier version of sb3_atari_course: load it"
                " with that version, or remove its file and collect transitions again"
            )
        rows, n_written = unseal(*state.pop("rows")), state.pop("n_written")
        self.__dict__.update(state)
        self._device = get_device(self._asked_device)  # the CPU, without the GPU of then
        self._make_small_arrays()
        restore_rows(self, [(0, n_written, rows)], n_written=n_written)


def _checked_device(
    space: spaces.Space[Any], compression: str | None, device: Any
) -> th.device | Literal["auto"]:
    """Return the device of the frames.

    :raises ValueError: for observations that are not stacks of images, for an unknown compression
        or device, and for a compression on a GPU.
    """
    if not isinstance(space, spaces.Box) or len(space.shape) != 3 or space.dtype != np.uint8:
        raise ValueError(
            "FrameReplayBuffer keeps stacks of images, uint8 boxes of shape (n_stack, h, w) or"
            f" (h, w, n_stack), as VecFrameStack or our FrameStack makes them; got {space}."
            " For other observations use SB3's own ReplayBuffer or DictReplayBuffer, and with"
            " VecNormalize norm_obs=False"
        )
    if compression not in (None, "lz4"):
        raise ValueError(f"compression must be None or 'lz4', got {compression!r}")
    if device == "auto":
        return "auto"
    if str(device).split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"storage_device must be 'cpu', 'cuda' or 'auto', got {device!r}")
    if th.device(device).type == "cuda" and compression:
        raise ValueError(
            "frames on a GPU cannot be unpacked there: choose compression='lz4' with"
            " storage_device='cpu', or storage_device='cuda' without compression"
        )
    return th.device(device)
