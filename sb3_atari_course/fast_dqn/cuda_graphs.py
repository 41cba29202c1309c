"""CUDA graphs for gradient steps, sampled and computed on the GPU while the environments step."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sb3_atari_course.fast_dqn.updates import GradientStep
from sb3_atari_course.replay import FrameReplayBuffer
from sb3_atari_course.replay.frame_stores import DeviceFrames, send
from sb3_atari_course.replay.stacks import NEXT_OBS, OBS

#: Eager updates before the capture, in which libraries select kernels; they count as updates.
N_WARM_UPS = 3


class PendingUpdates:
    """Queue of submitted gradient steps, at most those of one call of ``train()``.

    They run in :meth:`flush`, or during the next step of the environments.
    """

    def __init__(self) -> None:
        self._submitted: tuple[GraphUpdates, int, int, ReplayBuffer] | None = None
        self._env: OverlapWrapper | None = None

    def submit(self, updates: GraphUpdates, n_updates: int, batch_size: int) -> None:
        """Queue updates with the current settings and replay buffer, which is kept alive."""
        self._submitted = updates, n_updates, batch_size, updates.rows.buffer

    def flush(self) -> None:
        """Launch the pending updates on the GPU without waiting for them."""
        if self._submitted is not None:
            (updates, n_updates, batch_size, _), self._submitted = self._submitted, None
            updates.run(n_updates, batch_size)

    def flush_during_step(self, env: VecEnv) -> VecEnv:
        """Return the environments, wrapped to launch pending updates during their next step."""
        if self._submitted is None:
            return env
        if self._env is None or self._env.venv is not env:
            self._env = OverlapWrapper(env, self.flush)
        return self._env

    def close(self) -> None:
        """Launch the pending updates and drop the reference to the environments."""
        self._env = None
        self.flush()


class OverlapWrapper(VecEnvWrapper):
    """Wrapper that calls a function between ``step_async`` and ``step_wait``.

    :param venv: an environment whose ``step_async`` starts the step, such as
        ``NativeAtariVecEnv`` or ``SubprocVecEnv``.
    :param work: function called while the environments step.
    """

    def __init__(self, venv: VecEnv, work: Callable[[], None]) -> None:
        super().__init__(venv)
        self._work = work

    def reset(self) -> VecEnvObs:
        """Reset the environments."""
        return self.venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Send the actions, then call the function."""
        self.venv.step_async(actions)
        self._work()

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the results of the step."""
        return self.venv.step_wait()


class GraphUpdates:
    """Gradient steps replayed as a CUDA graph while the environments step.

    An update of a small network consists of about forty kernels of a few microseconds each;
    launching them one by one takes longer than running them. A graph launches all of them at once.
    It holds addresses and constants, so it is captured again when a tensor or setting was replaced
    (a loaded optimizer, a replay buffer that grew, another ``max_grad_norm``).

    :param step: the gradient step; replaced in each call of ``train()``.
    :param rows: copy of the replay buffer's rows on the GPU.
    """

    def __init__(self, step: GradientStep, rows: DeviceRows) -> None:
        self.step, self.rows = step, rows
        self._graph: th.cuda.CUDAGraph | None = None
        self._captured: tuple[object, ...] = ()
        self._n_warm_ups = 0
        self._warm_up_stream: th.cuda.Stream | None = None
        self._sum_of_losses = th.zeros((), device=rows.device)
        self._mean_loss = th.full((), math.nan, pin_memory=rows.device.type == "cuda")

    @property
    def mean_loss(self) -> float:
        """Mean loss of the last :meth:`run` whose result has arrived; NaN before the first.

        CUDA runs asynchronously; reading a later loss would synchronize.
        """
        return float(self._mean_loss)

    def run(self, n_updates: int, batch_size: int) -> None:
        """Launch ``n_updates`` updates, each on a separate batch, without synchronizing."""
        policy = self.step.policy
        was_training = policy.training  # False during a rollout
        policy.set_training_mode(True)
        self.rows.refresh(self.step.gamma)
        with th.cuda.device_of(self.step.weights[0]):  # type: ignore[no-untyped-call]
            if self._graph is not None and self._captured != self._fingerprint(batch_size):
                self._graph, self._n_warm_ups = None, 0
            for _ in range(n_updates):
                self._update(batch_size)
        self._mean_loss.copy_(self._sum_of_losses / n_updates, non_blocking=True)
        self._sum_of_losses.zero_()
        policy.set_training_mode(was_training)

    def _update(self, batch_size: int) -> None:
        if self._n_warm_ups < N_WARM_UPS:
            self._n_warm_ups += 1
            self._warm_up(batch_size)
            return
        if self._graph is None:
            self._graph = self._capture(batch_size)
            self._captured = self._fingerprint(batch_size)
        self._graph.replay()

    def _step(self, batch_size: int) -> None:
        """Sample a batch and update the weights: the operations that the graph records."""
        self._sum_of_losses += self.step(self.rows.sample(batch_size))

    def _warm_up(self, batch_size: int) -> None:
        """Run one update on a side stream, which is required before a capture."""
        self._warm_up_stream = self._warm_up_stream or th.cuda.Stream()  # type: ignore[no-untyped-call]
        self._warm_up_stream.wait_stream(th.cuda.current_stream())
        with th.cuda.stream(self._warm_up_stream):
            self._step(batch_size)
        th.cuda.current_stream().wait_stream(self._warm_up_stream)

    def _capture(self, batch_size: int) -> th.cuda.CUDAGraph:
        """Capture the graph of one update; capturing does not run it."""
        self.step.optimizer.zero_grad()  # gradients must be allocated in the graph's memory pool
        graph = th.cuda.CUDAGraph()
        with th.cuda.graph(graph):
            self._step(batch_size)
        return graph

    def _fingerprint(self, batch_size: int) -> tuple[object, ...]:
        """Return everything a captured graph depends on: tensor addresses, layers and constants.

        ``gamma`` is not included, because batches for a graph contain their discounts.
        """
        step = self.step
        held: list[Any] = [batch_size, step.max_grad_norm, step.double_q, step.compiled]
        held += [step.optimizer, *step.weights]
        for net in step.nets:
            held += [*net.modules(), *net.buffers()]
        for group in step.optimizer.param_groups:
            held += [*group["params"], *(group[name] for name in group if name != "params")]
        for state in step.optimizer.state.values():
            held += state.values()
        return (*self.rows.addresses, *map(_identity, held))


def _identity(held: Any) -> Any:
    if isinstance(held, th.Tensor):
        return held.data_ptr(), held.requires_grad
    return held


class DeviceRows:
    """Copy of the replay buffer's rows on the GPU, sampled there without synchronizing.

    Batches equal those of SB3's ``NStepReplayBuffer``, but the indices come from PyTorch's
    generator of the device instead of NumPy's. All tensors keep their addresses.

    :param buffer: a replay buffer with its frames in :class:`DeviceFrames`; only weakly referenced.
    """

    def __init__(self, buffer: FrameReplayBuffer) -> None:
        self._buffer, self._stacks = weakref.ref(buffer), weakref.ref(buffer.stacks)
        self._n_written = 0  # the buffer's n_written at the last copy
        self.device = _store(buffer).device
        self._n_rows, self._n_envs = buffer.buffer_size, buffer.n_envs
        self._copies = {
            name: th.zeros_like(th.from_numpy(array), device=self.device)
            for name, array in _arrays(buffer).items()
        }
        self._n_filled = th.zeros((), dtype=th.int64, device=self.device)
        self._newest_row = self._n_filled.clone()
        self._gamma = th.zeros((), dtype=th.float32, device=self.device)
        self._steps = th.arange(buffer.n_steps, device=self.device)

    @property
    def buffer(self) -> FrameReplayBuffer:
        """The replay buffer."""
        buffer = self._buffer()
        assert buffer is not None, "the replay buffer was deleted"
        return buffer

    @property
    def addresses(self) -> tuple[int, ...]:
        """Device addresses of the frames, which change when the buffer grows or is loaded."""
        return _store(self.buffer).addresses

    def matches(self, buffer: ReplayBuffer) -> bool:
        """Return whether these are the rows of this buffer, with its current ``n_steps``."""
        return self._buffer() is buffer and len(self._steps) == self.buffer.n_steps

    def refresh(self, gamma: float) -> None:
        """Copy the rows written since the last call.

        :param gamma: discount per step of the next batches.
        """
        self._gamma.fill_(gamma)
        stacks = self.buffer.stacks
        if stacks is not self._stacks():  # the buffer was reset or loaded from a file
            self._stacks, self._n_written = weakref.ref(stacks), 0
        n_new = min(stacks.n_written - self._n_written, self._n_rows)
        if n_new == 0:
            return
        # the row before them too, which may have been marked as truncated since
        first = max(stacks.n_written - min(n_new + 1, self._n_rows), 0)
        rows = np.arange(first, stacks.n_written) % self._n_rows
        places = send(rows, self.device)
        for name, array in _arrays(self.buffer).items():
            self._copies[name].index_copy_(0, places, send(array[rows], self.device))
        self._n_filled.fill_(stacks.n_filled)
        self._newest_row.fill_(int(rows[-1]))
        self._n_written = stacks.n_written

    def sample(self, batch_size: int) -> ReplayBufferSamples:
        """Sample a batch of transitions."""
        return self.gather(*self.sample_indices(batch_size))

    def sample_indices(self, batch_size: int) -> tuple[th.Tensor, th.Tensor]:
        """Sample row and environment indices, (B,) int64 each, uniformly from the filled rows.

        ``randint`` is not used, because a graph would capture its upper bound as a constant.
        """
        uniform = th.rand((2, batch_size), dtype=th.float64, device=self.device)
        rows = (uniform[0] * self._n_filled).long()
        envs = (uniform[1] * self._n_envs).long()
        return th.minimum(rows, self._n_filled - 1), envs.clamp_(max=self._n_envs - 1)

    def gather(self, rows: th.Tensor, envs: th.Tensor) -> ReplayBufferSamples:
        """Return the n-step transitions that start at the given indices.

        :param rows: row indices, (B,) int64.
        :param envs: environment indices, (B,) int64.
        """
        frame_ids, actions, rewards, dones, timeouts = self._copies.values()
        several = (rows[:, None] + self._steps) % self._n_rows, envs[:, None]  # (B, n_steps)
        ends = (dones[several] + timeouts[several] > 0).int()
        ends = ends | (several[0] == self._newest_row).int()  # the next row is the oldest
        is_played = ends.cumsum(1) - ends == 0  # no episode end before this step
        n_played = is_played.sum(1, keepdim=True)
        returns = rewards[several] * self._gamma**self._steps * is_played
        gather = self.buffer.stacks.gather
        last = (rows + n_played[:, 0] - 1) % self._n_rows, envs
        return ReplayBufferSamples(
            observations=gather(frame_ids[rows, envs, OBS]),
            actions=actions[rows, envs],
            next_observations=gather(frame_ids[(*last, NEXT_OBS)]),
            dones=(dones[last] * (1 - timeouts[last]))[:, None],
            rewards=returns.sum(1, keepdim=True),
            discounts=self._gamma**n_played,
        )


def _arrays(buffer: FrameReplayBuffer) -> dict[str, NDArray[Any]]:
    """Return the arrays that make up the rows, each (n_rows, n_envs, ...)."""
    names = ("actions", "rewards", "dones", "timeouts")
    small = {name: getattr(buffer, name) for name in names}
    return {"frame_ids": buffer.stacks.frame_ids, **small}


def _store(buffer: FrameReplayBuffer) -> DeviceFrames:
    store = buffer.stacks.table.store
    assert isinstance(store, DeviceFrames)
    return store
