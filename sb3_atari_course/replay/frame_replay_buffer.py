"""Replay buffer that stores every frame once, compatible with SB3's ReplayBuffer."""

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
    check_torch_device,
    explain_arguments,
    finite_number,
    integer_at_least,
)
from sb3_atari_course.envs import warn_if_stacked_twice
from sb3_atari_course.replay.frame_stores import DeviceFrames, FrameStore, Lz4Frames, PlainFrames
from sb3_atari_course.replay.ram_budget import (
    CPU,
    MemoryEstimate,
    available_memory,
    check_budget,
    format_bytes,
)
from sb3_atari_course.replay.segments import (
    SMALL_ARRAYS,
    Arrays,
    buffer_settings,
    check_buffer_settings,
    pack_rows,
    restore_rows,
)
from sb3_atari_course.replay.stacks import NEXT_OBS, OBS, StackArray, StackStorage

#: Rows between two estimates of the memory of the full buffer.
ROWS_BETWEEN_CHECKS = 1024


class FrameReplayBuffer(NStepReplayBuffer):
    """Replay buffer for stacked images that stores every frame once, with n-step returns.

    A transition of the DQN paper has eight frames of 84 x 84 pixels, seven of which it shares with
    its neighbors: SB3 needs 56 kB for it, this buffer 7 kB, with LZ4 a few hundred bytes. Stored
    observations are returned bit for bit, including terminal observations and padded stacks. With
    the same state of NumPy's global generator it samples the same batch as SB3's buffer, so
    training gives the same weights. Sampling is SB3's own code, on two
    :class:`~sb3_atari_course.replay.stacks.StackArray` instead of two arrays of observations.

    In Python use ``DQN(..., replay_buffer_class=FrameReplayBuffer, replay_buffer_kwargs={...})``;
    in an RL Zoo yml file::

        replay_buffer_class: get_class_by_name('sb3_atari_course.replay.FrameReplayBuffer')

    Memory is allocated as frames arrive. Before the first transition is added, the memory needed by
    the full buffer is compared with the memory available, and again every 1,024 rows.

    :param buffer_size: maximum number of transitions, of all environments together.
    :param observation_space: (n_stack, h, w) or (h, w, n_stack) uint8; the shortest axis is taken
        as the stack, as in SB3. In a stack of RGB images each channel is stored as a frame.
    :param action_space: any action space that SB3's buffer supports.
    :param device: device of sampled batches.
    :param n_envs: number of environments.
    :param optimize_memory_usage: must be False, since every frame is stored once anyway.
    :param handle_timeout_termination: treat a time limit as truncation, not as termination, as in
        SB3.
    :param n_steps: number of rewards of an n-step return, as in SB3's ``NStepReplayBuffer``. The
        model's own ``n_steps`` must stay 1: SB3 ignores it with a custom buffer class.
    :param gamma: discount factor of n-step returns, per step. Pass the gamma of the model, which
        the buffer has no access to: with SB3's algorithms another value is not detected.
        ``sb3-atari train`` checks RL Zoo's settings, and FastDQN sets it in each ``train()``. With
        None, sampling requires ``n_steps=1``.
    :param compression: None, or ``"lz4"``, which needs a tenth of the memory or less and more time.
    :param storage_device: device that stores the frames: ``"cpu"``, ``"cuda"`` (memory for all of
        them is allocated at once), or ``"auto"``: the GPU if ``device`` is one and there is no
        compression, else the CPU. With ``"auto"``, frames of a saved buffer move to the device of
        the model that loads it.
    :raises ValueError: for observations that are not stacks of images, for a value out of range,
        and for settings that cannot be combined.
    :raises TypeError: for an unknown argument, and for a value of the wrong type.
    :raises SettingError: by the first ``add``, if ``storage_device`` does not exist; by ``sample``,
        if ``n_steps`` is above 1 and ``gamma`` is None.
    :raises ReplayMemoryError: if ``buffer_size`` is too large; by the first ``add``, and by one
        every 1,024 rows, if the full buffer will not fit into memory.
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
                "FrameReplayBuffer already stores every frame once: remove optimize_memory_usage"
                " (SB3's variant loses the observation at the end of an episode)"
            )
        self.compression = compression
        self._storage_device = _checked_device(observation_space, compression, storage_device)
        # skips ReplayBuffer's constructor, which would allocate both arrays of observations
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        self._asked_device = device
        self.buffer_size = max(integer_at_least(1, "buffer_size", buffer_size) // n_envs, 1)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = boolean(
            "handle_timeout_termination", handle_timeout_termination
        )
        self.n_steps = integer_at_least(1, "n_steps", n_steps)
        if gamma is not None and not 0.0 <= finite_number("gamma", gamma) <= 1.0:
            raise ValueError(f"gamma must be a discount factor from 0 to 1, got {gamma!r}")
        self.gamma: float = gamma  # type: ignore[assignment]  # None: n-step returns not possible
        try:
            self._make_small_arrays()
            self._set_stacks(self._make_stacks())
        except MemoryError as error:
            raise ReplayMemoryError(
                f"buffer_size={buffer_size} is too large, even without any frame: {error}"
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
        """Store one transition of each environment.

        :param obs: observations ``(n_envs, *observation_space.shape)``, uint8.
        :param next_obs: observations after the step; at the end of an episode the terminal ones.
        :param action: (n_envs,) or (n_envs, action_dim).
        :param reward: (n_envs,).
        :param done: (n_envs,), terminated or truncated.
        :param infos: info of each environment, of which ``TimeLimit.truncated`` is used.
        :raises ValueError: for observations of another shape.
        :raises SettingError: in the first call, if ``storage_device`` does not exist.
        :raises ReplayMemoryError: if the full buffer will not fit into memory.
        """
        obs, next_obs = self.stacks.checked(obs), self.stacks.checked(next_obs)
        if not self._is_checked:
            self._check_before_first_add()
        elif self.pos % ROWS_BETWEEN_CHECKS == 0:
            self._check_memory()
        row = self.stacks.next_row
        frame_ids, breaks = self.stacks.store_frames(obs, next_obs)
        if breaks:
            self._mark_gaps(breaks)
        self.actions[row] = action.reshape(self.n_envs, self.action_dim)
        self.rewards[row] = reward
        self.dones[row] = done
        is_truncated = [info.get("TimeLimit.truncated", False) for info in infos]
        self.timeouts[row] = is_truncated if self.handle_timeout_termination else 0.0
        self.stacks.append(frame_ids)  # from here on an interruption keeps the row
        self._sync_position()

    def reset(self) -> None:
        """Remove all transitions."""
        super().reset()
        self._set_stacks(self._make_stacks())

    @property
    def device(self) -> th.device:
        """Device of sampled batches; SB3 sets it when a model loads a buffer."""
        return self._device

    @device.setter
    def device(self, device: th.device) -> None:
        place = self.storage_device if "stacks" in self.__dict__ else None
        self._device = self._asked_device = th.device(device)
        if place not in (None, self.storage_device):  # move the frames
            self._replace_content(self._packed_rows(), self.stacks.n_written)

    @property
    def storage_device(self) -> th.device:
        """Device that stores the frames; for ``"auto"`` the current one."""
        if isinstance(self._storage_device, th.device):
            return self._storage_device
        follows = self.device.type == "cuda" and self.compression is None
        return self.device if follows else CPU

    @storage_device.setter
    def storage_device(self, device: th.device) -> None:
        self._storage_device = device

    @property
    def frames_on_gpu(self) -> bool:
        """Whether frames are stored on a GPU."""
        return self.storage_device.type == "cuda"

    def memory_needed(self) -> MemoryEstimate:
        """Return the bytes that the full buffer will take on the device of its frames.

        Exact without compression, unless very short episodes add many first frames. With LZ4 it is
        an estimate, at first from other games, later from the frames stored so far.

        :return: lower and upper bound in bytes, the fields ``low`` and ``high``.
        """
        return self._memory_with(self.stacks.table.store)

    def check_valid(self) -> None:
        """Check the consistency of rows, frame indices and stored frames, for tests.

        :raises AssertionError: if they do not agree.
        """
        n_filled = self.stacks.n_filled
        assert n_filled == self.size(), f"{n_filled} rows are filled, SB3 counts {self.size()}"
        if self.size():
            self.stacks.check_valid()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the filled part to a file without pickle (npz and JSON, with checksums).

        :param path: of the file; an existing one is replaced once the new one is complete.
        :raises OSError: if the file cannot be written; an existing one is unchanged.
        """
        header = {
            "settings": buffer_settings(self),
            "n_written": self.stacks.n_written,
            "n_frames": self.stacks.table.n_frames,
        }
        write_archive(Path(path), self._packed_rows(), header)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Replace the content of the buffer by a file written by :meth:`save`.

        The current content is kept, and takes memory, until the file is read and verified. The
        compression and the storage device may differ from those of the saved buffer.

        :param path: of the file.
        :raises ReplayFileError: if the file is damaged, or was saved with other settings; the
            buffer is unchanged.
        :raises ReplayMemoryError: if the file does not fit into memory.
        """
        path = Path(path)
        header = read_header(path)
        if "n_frames" not in header:
            raise ReplayFileError(f"{path} is not a saved replay buffer")
        check_buffer_settings(self, header["settings"], str(path))
        needed = path.stat().st_size
        if not self.frames_on_gpu:
            needed += self.stacks.table.store.bytes_of(header["n_frames"]).low
        available = available_memory(CPU)
        if needed > available:
            raise ReplayMemoryError(
                f"{path} needs {format_bytes(needed)} of RAM, {format_bytes(available)} are"
                " available: use compression='lz4', or end other programs"
            )
        self._replace_content(read_archive(path), header["n_written"])

    def _set_stacks(self, stacks: StackStorage) -> None:
        """Replace the observations, and the position of the next row."""
        self.stacks = stacks
        self.observations = cast(Any, StackArray(stacks, OBS))
        self.next_observations = cast(Any, StackArray(stacks, NEXT_OBS))
        self._sync_position()
        self._is_checked = False

    def _make_stacks(self) -> StackStorage:
        """Return an empty storage for the settings, which allocates memory when written."""
        shape, n_rows = self.obs_shape, self.buffer_size
        channels_first = is_image_space_channels_first(cast(spaces.Box, self.observation_space))
        n_stack = shape[0 if channels_first else 2]
        frame_size, n_expected = math.prod(shape) // n_stack, self.n_envs * (n_rows + n_stack) + 1
        store: FrameStore
        if self.compression == "lz4":
            store = Lz4Frames(frame_size)
        elif self.frames_on_gpu:
            store = DeviceFrames(frame_size, n_expected, self.storage_device)
        else:
            store = PlainFrames(frame_size, n_expected)
        return StackStorage(
            store, n_rows=n_rows, n_envs=self.n_envs, shape=shape, channels_first=channels_first
        )

    def to_torch(self, array: Any, copy: bool = False) -> th.Tensor:
        """Return an array as a tensor on the device of the buffer; sampled arrays need no copy.

        :param array: an array or a tensor.
        :param copy: copy the data even if that is not necessary.
        """
        return super().to_torch(array, copy=copy)

    @staticmethod
    def _normalize_obs(obs: Any, env: VecNormalize | None = None) -> Any:
        if env is not None and isinstance(obs, th.Tensor):
            obs = obs.cpu().numpy()
        return NStepReplayBuffer._normalize_obs(obs, env)

    def _get_samples(
        self, batch_inds: NDArray[np.int64], env: VecNormalize | None = None
    ) -> ReplayBufferSamples:
        if self.n_steps == 1:  # SB3's DQN expects no discounts
            return ReplayBuffer._get_samples(self, batch_inds, env)
        if self.gamma is None:
            raise SettingError(
                f"replay_buffer_kwargs: gamma is None, but n-step returns with"
                f" n_steps={self.n_steps} need it: set it to the model's gamma"
            )
        return super()._get_samples(batch_inds, env)

    def _make_small_arrays(self) -> None:
        """Create SB3's arrays of everything but the observations."""
        rows = (self.buffer_size, self.n_envs)
        action_dtype = self._maybe_cast_dtype(self.action_space.dtype)
        self.actions = np.zeros((*rows, self.action_dim), action_dtype)
        self.rewards = np.zeros(rows, np.float32)
        self.dones = np.zeros(rows, np.float32)
        self.timeouts = np.zeros(rows, np.float32)

    def _mark_gaps(self, envs: list[int]) -> None:
        """Mark the last row as truncated in these environments, unless an episode ended there.

        Their next observation does not follow on it, for example after an interruption, so n-step
        returns must not extend over the gap.
        """
        if self.stacks.n_filled:
            last = self.stacks.next_row - 1
            self.timeouts[last, [env for env in envs if not self.dones[last, env]]] = 1.0

    def _sync_position(self) -> None:
        """Set SB3's position to that of the stacks, which is right after an interruption."""
        self.pos, self.full = self.stacks.next_row, self.stacks.n_filled == self.buffer_size

    def _check_before_first_add(self) -> None:
        """Check the GPU and the available memory, which may differ between creation and use."""
        check_torch_device("storage_device", self.storage_device)
        store = self.stacks.table.store
        taken = store.n_bytes
        if not self.frames_on_gpu:
            taken += self._bytes_without_frames() * self.stacks.n_filled // self.buffer_size
        #: Also used by later checks: memory that other programs take later must not stop training.
        self._available = available_memory(store.device) + taken
        self._check_memory(warn=True)
        self._is_checked = True

    def _check_memory(self, *, warn: bool = False) -> None:
        store, remedies = self.stacks.table.store, []
        if self.frames_on_gpu:
            remedies.append("storage_device='cpu'")
        if isinstance(store, PlainFrames):
            packed = self._memory_with(Lz4Frames(store.frame_size))
            if packed.low < self._available:
                remedies.append(f"compression='lz4', which needs {packed}")
        n_transitions = self.buffer_size * self.n_envs
        check_budget(self.memory_needed(), self._available, n_transitions, remedies, warn=warn)

    def _memory_with(self, store: FrameStore) -> MemoryEstimate:
        """Return the memory of the full buffer if its frames were in this store."""
        memory = store.bytes_of(self.stacks.n_frames_when_full())
        return memory if self.frames_on_gpu else memory.plus(self._bytes_without_frames())

    def _bytes_without_frames(self) -> int:
        small_bytes = sum(getattr(self, name).nbytes for name in SMALL_ARRAYS)
        return self.stacks.frame_ids.nbytes + int(small_bytes)

    def _packed_rows(self) -> dict[str, NDArray[Any]]:
        """Return all filled rows."""
        self._sync_position()
        return pack_rows(self, 0, self.stacks.n_written)

    def _replace_content(self, rows: Arrays, n_written: int) -> None:
        """Replace all rows by packed ones; if that fails, the buffer is unchanged."""
        fresh = object.__new__(type(self))
        vars(fresh).update(vars(self))
        fresh._make_small_arrays()
        restore_rows(fresh, [(0, n_written, rows)], n_written=n_written)
        vars(self).update(vars(fresh))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the filled rows only, packed as in a file."""
        left_out = {"stacks", "observations", "next_observations", *SMALL_ARRAYS}
        state = {name: value for name, value in self.__dict__.items() if name not in left_out}
        return {**state, "n_written": self.stacks.n_written, "rows": seal(self._packed_rows())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "rows" not in state:
            raise ReplayFileError(
                "the replay buffer was saved by an earlier version of sb3_atari_course: load it"
                " with that version, or remove its file and collect transitions again"
            )
        rows, n_written = unseal(*state.pop("rows")), state.pop("n_written")
        self.__dict__.update(state)
        self._device = get_device(self._asked_device)  # the CPU if the GPU does not exist here
        self._make_small_arrays()
        restore_rows(self, [(0, n_written, rows)], n_written=n_written)


def _checked_device(
    space: spaces.Space[Any], compression: str | None, device: Any
) -> th.device | Literal["auto"]:
    """Return the storage device, after checking the settings.

    :raises ValueError: for observations that are not stacks of images, for an unknown compression
        or device, and for compression on a GPU.
    """
    if not isinstance(space, spaces.Box) or len(space.shape) != 3 or space.dtype != np.uint8:
        raise ValueError(
            "FrameReplayBuffer needs stacked image observations (a uint8 Box of shape"
            f" (n_stack, h, w) or (h, w, n_stack), as from VecFrameStack), got {space}: use SB3's"
            " ReplayBuffer or DictReplayBuffer for other observations; with VecNormalize set"
            " norm_obs=False"
        )
    if compression not in (None, "lz4"):
        raise ValueError(f"compression must be None or 'lz4', got {compression!r}")
    if device == "auto":
        return "auto"
    if str(device).split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"storage_device must be 'cpu', 'cuda' or 'auto', got {device!r}")
    if th.device(device).type == "cuda" and compression:
        raise ValueError(
            "compression='lz4' is not supported on a GPU: use it with storage_device='cpu', or"
            " storage_device='cuda' without compression"
        )
    return th.device(device)
