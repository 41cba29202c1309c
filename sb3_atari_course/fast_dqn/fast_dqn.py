"""FastDQN, the SB3 algorithm class: acting, training, saving."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, RolloutReturn
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.dqn.policies import DQNPolicy

from sb3_atari_course._common.validation import boolean, check_torch_device, refuse_unknown
from sb3_atari_course.envs import warn_if_stacked_twice
from sb3_atari_course.fast_dqn.cuda_graphs import DeviceRows, GraphUpdates, PendingUpdates
from sb3_atari_course.fast_dqn.updates import (
    Compiled,
    GradientStep,
    enable_fused,
    portable_state,
    set_learning_rate,
    temporal_difference_loss,
)
from sb3_atari_course.replay import FrameReplayBuffer

SelfFastDQN = TypeVar("SelfFastDQN", bound="FastDQN")

#: Attributes that are neither saved nor copied; they are created again when missing.
_TRANSIENT = ("_graph_updates", "_compiled", "_pending")


class FastDQN(DQN):
    """Deep Q-Network (DQN), a faster drop-in replacement for ``stable_baselines3.DQN``.

    Constructor, hyperparameters, updates and saved files are those of SB3's DQN, with these
    differences:

    1. Epsilon-greedy exploration is sampled per environment; SB3 uses one random number for all
       environments. With one environment the actions are identical.
    2. On a CPU the optimizer is fused and images use the channels-last memory format. Results are
       equal up to rounding.
    3. On a GPU, with a :class:`~sb3_atari_course.replay.FrameReplayBuffer` that stores its frames
       there, updates are CUDA graphs (except with ``VecNormalize`` and with optimizers that do not
       support capture, such as SGD). Batches are then sampled with PyTorch's generator, and updates
       run during the next step of the environments. The weights that select actions therefore lag
       behind SB3's by one call of ``train()``, as do those that a callback sees at the start of a
       rollout, unless it copies or saves the model. The target network is updated at the same
       timesteps as in SB3.

    As in SB3, each call of ``train()`` reads the current settings, networks, optimizer and replay
    buffer of the model.

    ``train_freq`` counts vectorized steps, as in SB3. The ratio of Mnih et al. (2015), one update
    per four transitions, is ``train_freq=1, gradient_steps=n_envs // 4`` if ``n_envs`` is a
    multiple of four, and ``train_freq=4, gradient_steps=1`` for a single environment.

    :param policy: policy class or alias, as in SB3's DQN, for example
        :class:`~sb3_atari_course.policies.AtariCnnPolicy`.
    :param env: environment or id, as in SB3's DQN; a
        :class:`~sb3_atari_course.envs.native.NativeAtariVecEnv` is the fastest.
    :param args: further positional arguments of SB3's DQN.
    :param double_q: use the Double DQN target (van Hasselt et al. 2016): the target network's value
        of the online network's greedy action.
    :param compile: compile the loss with ``torch.compile``, which takes about half a minute at the
        first update.
    :param kwargs: further keyword arguments of SB3's DQN.
    :raises ValueError: for a CUDA ``device`` that does not exist (SB3 falls back to the CPU).
    :raises TypeError: for an unknown argument; for a ``double_q`` or ``compile`` that is not a
        bool, also when it is set later.
    """

    #: CUDA graphs, kept between calls of ``train()``.
    _graph_updates: GraphUpdates | None = None
    _compiled: Compiled | None = None

    def __init__(
        self,
        policy: str | type[DQNPolicy],
        env: GymEnv | str,
        *args: Any,
        double_q: bool = False,
        compile: bool = False,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        own = ("double_q", "compile")
        refuse_unknown("FastDQN", kwargs, [*own, *inspect.signature(DQN).parameters])
        check_torch_device("device", kwargs.get("device", "auto"))
        super().__init__(policy, env, *args, _init_setup_model=False, **kwargs)  # type: ignore[misc]
        self.double_q, self.compile = double_q, compile
        self._pending = PendingUpdates()
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._check_flags()
        super()._setup_model()
        warn_if_stacked_twice(self.observation_space)

    def _check_flags(self) -> None:
        for name in ("double_q", "compile"):
            boolean(name, getattr(self, name))

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Return actions, epsilon-greedy unless ``deterministic``.

        :param observation: one observation or a batch, shape ``(n_envs, *obs_shape)``.
        :param state: returned unchanged; DQN is not recurrent.
        :param episode_start: ignored.
        :param deterministic: return greedy actions; False explores with ``exploration_rate``,
            sampled individually for each observation.
        :return: actions, () or (n_envs,) int64, and ``state``.
        :raises ValueError: for observations of a wrong shape, and for the tuple returned by
            Gymnasium's ``env.reset()``.
        """
        policy = self.policy  # random numbers come from NumPy's global generator, as in SB3
        if deterministic:
            return policy.predict(observation, state, episode_start, deterministic)
        if isinstance(observation, np.ndarray) and policy.is_vectorized_observation(observation):
            actions = np.zeros(len(observation), np.int64)
            explores = np.random.random(len(actions)) < self.exploration_rate  # noqa: NPY002
            if not explores.all():  # the network evaluates only the greedy ones
                greedy = observation[~explores]
                actions[~explores], state = policy.predict(greedy, state, episode_start)
        else:
            actions, state = policy.predict(observation, state, episode_start)
            explores = np.random.random(actions.shape) < self.exploration_rate  # noqa: NPY002
        n_exploring = np.count_nonzero(explores)
        actions[explores] = [self.action_space.sample() for _ in range(n_exploring)]
        return actions, state

    def learn(
        self: SelfFastDQN,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "FastDQN",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfFastDQN:
        """Train the model, as ``DQN.learn()``.

        :param total_timesteps: number of agent steps, of all environments together.
        :param callback: callback or list of callbacks, called at every step.
        :param log_interval: episodes between two logs.
        :param tb_log_name: name of the run in TensorBoard.
        :param reset_num_timesteps: restart the step count at 0; False continues it.
        :param progress_bar: show a progress bar.
        :return: the model.
        """
        settings = (log_interval, tb_log_name, reset_num_timesteps, progress_bar)
        try:
            return super().learn(total_timesteps, callback, *settings)
        except BaseException:
            self._last_obs = None  # a step may be incomplete: reset the environments next time
            raise
        finally:
            self._pending.close()

    def collect_rollouts(self, env: VecEnv, *args: Any, **kwargs: Any) -> RolloutReturn:
        """Collect transitions, launching pending updates during the first step."""
        return super().collect_rollouts(self._pending.flush_during_step(env), *args, **kwargs)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the weights; with CUDA graphs, during the next step of the environments.

        :param gradient_steps: number of gradient steps.
        :param batch_size: transitions per gradient step.
        """
        self._pending.flush()
        self._check_flags()  # they may have been set since the last call
        enable_fused(self.policy.optimizer)  # before _can_use_graphs, which reads "capturable"
        self._update_learning_rate(self.policy.optimizer)
        if isinstance(self.replay_buffer, FrameReplayBuffer):
            self.replay_buffer.gamma = self.gamma
        step = GradientStep(self, double_q=bool(self.double_q), compiled=self._compiled_loss())
        if self._can_use_graphs():
            loss = self._submit_updates(step, gradient_steps, batch_size)
        else:
            self._graph_updates = None
            loss = self._update_eagerly(step, gradient_steps, batch_size)
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", loss)

    def _update_eagerly(self, step: GradientStep, n_updates: int, batch_size: int) -> float:
        """Update the weights immediately and return the mean loss."""
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        losses = [
            step(self.replay_buffer.sample(batch_size, env=self._vec_normalize_env))
            for _ in range(n_updates)
        ]
        return float(np.mean([float(loss) for loss in losses]))

    def _submit_updates(self, step: GradientStep, n_updates: int, batch_size: int) -> float:
        """Submit updates as CUDA graphs and return the mean loss of an earlier call."""
        buffer, updates = self.replay_buffer, self._graph_updates
        assert isinstance(buffer, FrameReplayBuffer)
        if updates is None or not updates.rows.matches(buffer):
            updates = self._graph_updates = GraphUpdates(step, DeviceRows(buffer))
        updates.step = step
        self._pending.submit(updates, n_updates, batch_size)
        if self.num_timesteps >= self._total_timesteps:  # there is no further environment step
            self._pending.flush()
        return updates.mean_loss

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """Return the state dicts in SB3's format, loadable by ``DQN`` and on any device.

        :return: name -> state dict of the policy and its optimizer.
        """
        self._pending.flush()
        optimizer = self.policy.optimizer
        return {**super().get_parameters(), "policy.optimizer": portable_state(optimizer)}

    def set_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Load state dicts of a FastDQN or SB3 DQN model; arguments as in SB3."""
        self._pending.flush()
        super().set_parameters(*args, **kwargs)

    def _update_learning_rate(self, optimizers: Any) -> None:
        learning_rate = self.lr_schedule(self._current_progress_remaining)
        self.logger.record("train/learning_rate", learning_rate)
        set_learning_rate(optimizers, learning_rate)

    def _compiled_loss(self) -> Compiled | None:
        if not self.compile:
            return None
        if self._compiled is None:
            if self.verbose:
                print("torch.compile: compiling the loss at the first update, takes 30 s or more")
            self._compiled = Compiled(temporal_difference_loss)
        return self._compiled

    def _can_use_graphs(self) -> bool:
        """Return whether updates can be CUDA graphs: all their inputs must be on one GPU."""
        buffer = self.replay_buffer
        return (
            isinstance(buffer, FrameReplayBuffer)
            and _are_same_gpu(self.device, buffer.storage_device)
            and self._vec_normalize_env is None
            and all(group.get("capturable") for group in self.policy.optimizer.param_groups)
        )

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), *_TRANSIENT]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and pickles, without graphs and compiled functions."""
        self._pending.flush()
        return {name: value for name, value in self.__dict__.items() if name not in _TRANSIENT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pending = PendingUpdates()


def _are_same_gpu(*devices: th.device) -> bool:
    """Return whether all are the same CUDA device; no index means the current device."""
    if any(device.type != "cuda" for device in devices):
        return False
    current = th.cuda.current_device()
    return len({current if device.index is None else device.index for device in devices}) == 1
