"""The replay memory's rows as tensors beside its frames, to be drawn and gathered there."""

from __future__ import annotations

import weakref

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_atari_course.replay import FrameReplayBuffer
from sb3_atari_course.replay.frame_stores import DeviceFrames, send
from sb3_atari_course.replay.stacks import NEXT_OBS, OBS


class DeviceRows:
    """What SB3's buffer does with arrays, done with tensors: nothing waits for the device.

    Batches are those of SB3's ``NStepReplayBuffer``, but the indices come from torch's generator
    of the device instead of numpy's. All tensors keep their addresses.

    :param buffer: its frames lie in :class:`DeviceFrames`; it is not kept alive.
    :param gamma: discount per step.
    """

    def __init__(self, buffer: FrameReplayBuffer, *, gamma: float) -> None:
        self._reference, self._gamma = weakref.ref(buffer), gamma
        store = buffer.stacks.table.store
        assert isinstance(store, DeviceFrames)
        self.device = store.device
        self._n_rows, self._n_envs = buffer.buffer_size, buffer.n_envs
        shape = (self._n_rows, self._n_envs)
        n_stack = buffer.stacks.n_stack
        self._numbers = self._zeros((*shape, 2, n_stack), th.int32)
        self._actions = self._zeros((*shape, buffer.action_dim), th.int64)
        self._rewards = self._zeros(shape, th.float32)
        self._dones = self._zeros(shape, th.float32)
        self._timeouts = self._zeros(shape, th.float32)
        self._n_filled = self._zeros((), th.int64)
        self._newest_row = self._zeros((), th.int64)
        self._discount = th.full((), gamma, dtype=th.float32, device=self.device)
        self._steps = th.arange(buffer.n_steps, device=self.device)
        self._stacks, self._n_written = weakref.ref(buffer.stacks), 0

    def belong_to(self, buffer: ReplayBuffer) -> bool:
        """Return whether these are the rows of this buffer, for as many steps as it has now."""
        return self._reference() is buffer and len(self._steps) == self._buffer.n_steps

    def set_gamma(self, gamma: float) -> None:
        """Take another discount per step, where a graph reads it."""
        if gamma != self._gamma:
            self._gamma = gamma
            self._discount.fill_(gamma)

    @property
    def _buffer(self) -> FrameReplayBuffer:
        buffer = self._reference()
        assert buffer is not None, "the replay buffer is gone"
        return buffer

    @property
    def addresses(self) -> tuple[int, ...]:
        """Where the frames lie: other addresses after the memory grew or was loaded."""
        store = self._buffer.stacks.table.store
        assert isinstance(store, DeviceFrames)
        return store.addresses

    def follow(self) -> None:
        """Copy the rows that were written since the last time."""
        stacks = self._buffer.stacks
        stacks.table.store.reserve(0)  # loaded frames go to the device
        if stacks is not self._stacks():  # emptied, or loaded from a file
            self._stacks, self._n_written = weakref.ref(stacks), 0
        n_new = min(stacks.n_written - self._n_written, self._n_rows)
        if n_new == 0:
            return
        # the row before them too: it may have been marked as cut off since
        first = max(stacks.n_written - min(n_new + 1, self._n_rows), 0)
        rows = np.arange(first, stacks.n_written) % self._n_rows
        places = send(rows, self.device)
        for tensor, array in self._pairs():
            tensor.index_copy_(0, places, send(array[rows], self.device).to(tensor.dtype))
        self._n_filled.fill_(stacks.n_filled)
        self._newest_row.fill_(int(rows[-1]))
        self._n_written = stacks.n_written

    def sample(self, batch_size: int) -> ReplayBufferSamples:
        """Return a batch of random transitions."""
        return self.gather(*self.draw(batch_size))

    def draw(self, batch_size: int) -> tuple[th.Tensor, th.Tensor]:
        """Return rows and environments, (B,) int64 each, evenly from what is filled.

        A graph would keep the bound of ``randint`` for ever, so it is multiplied in.
        """
        chances = th.rand((2, batch_size), dtype=th.float64, device=self.device)
        rows = (chances[0] * self._n_filled).long()
        envs = (chances[1] * self._n_envs).long()
        return th.minimum(rows, self._n_filled - 1), envs.clamp_(max=self._n_envs - 1)

    def gather(self, rows: th.Tensor, envs: th.Tensor) -> ReplayBufferSamples:
        """Return the transitions that begin there, over ``n_steps`` steps or to the episode's end.

        :param rows: (B,) int64.
        :param envs: (B,) int64.
        """
        several = (rows[:, None] + self._steps) % self._n_rows, envs[:, None]  # (B, n_steps)
        ends = (self._dones[several] + self._timeouts[several] > 0).int()
        ends = ends | (several[0] == self._newest_row).int()  # the next row is the oldest
        is_played = ends.cumsum(1) - ends == 0  # no end before it
        n_played = is_played.sum(1, keepdim=True)
        returns = self._rewards[several] * self._discount**self._steps * is_played
        gather = self._buffer.stacks.gather
        last = (rows + n_played[:, 0] - 1) % self._n_rows, envs
        return ReplayBufferSamples(
            observations=gather(self._numbers[rows, envs, OBS]),
            actions=self._actions[rows, envs],
            next_observations=gather(self._numbers[(*last, NEXT_OBS)]),
            dones=(self._dones[last] * (1 - self._timeouts[last]))[:, None],
            rewards=returns.sum(1, keepdim=True),
            discounts=self._discount**n_played,
        )

    def _pairs(self) -> list[tuple[th.Tensor, NDArray[np.generic]]]:
        """Return each tensor with the array that it follows."""
        buffer = self._buffer
        return [
            (self._numbers, buffer.stacks.numbers),
            (self._actions, buffer.actions),
            (self._rewards, buffer.rewards),
            (self._dones, buffer.dones),
            (self._timeouts, buffer.timeouts),
        ]

    def _zeros(self, shape: tuple[int, ...], dtype: th.dtype) -> th.Tensor:
        return th.zeros(shape, dtype=dtype, device=self.device)
