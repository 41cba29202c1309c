"""FastDQN as SB3 sees it: acting, training, saving."""

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

from sb3_atari_course._common.validation import boolean, check_cuda_device, refuse_unknown
from sb3_atari_course.envs import warn_if_stacked_twice
from sb3_atari_course.fast_dqn.cuda_graphs import DeviceRows, GraphUpdates, PendingUpdates
from sb3_atari_course.fast_dqn.updates import (
    Compiled,
    GradientStep,
    make_fast,
    plain_state,
    set_rate,
    temporal_difference_loss,
)
from sb3_atari_course.replay import FrameReplayBuffer

SelfFastDQN = TypeVar("SelfFastDQN", bound="FastDQN")

#: Attributes that only speed depends on: neither saved nor copied, made again where missing.
_FOR_SPEED = ("_graph_updates", "_compiled", "_pending")


class FastDQN(DQN):
    """SB3's DQN, faster on the same machine; its files are those of SB3's DQN.

    The same constructor, hyperparameters and updates. What differs:

    1. Each environment explores by a separate random number; SB3 takes one for all of them. With
       one environment the actions are the same.
    2. On a CPU the optimizer is fused and images are read channels last: the same numbers up to
       rounding.
    3. On a GPU, with ``FrameReplayBuffer`` and its frames there, whole updates are CUDA graphs
       (not with VecNormalize, nor with optimizers that cannot be captured, for example SGD).
       Batches then come from torch's generator, and updates run during the next step of the
       environments. So the weights that choose an action lag behind SB3's by one call of
       ``train``; so do those that a callback sees at the start of a rollout, unless it copies or
       saves the model. Targets are copied at SB3's counts of steps.

    As in SB3, each call of ``train`` reads the settings, networks, optimizer and replay buffer that
    the model has then.

    ``train_freq`` counts steps of all environments at once, as in SB3: the paper's ratio, one
    update for four transitions, is ``train_freq=1, gradient_steps=n_envs // 4`` for a multiple of
    four environments, and ``train_freq=4, gradient_steps=1`` for a single one.

    :param policy: as for SB3's DQN; :class:`~sb3_atari_course.policies.AtariCnnPolicy` or SB3's.
    :param env: as for SB3's DQN, preferably a :class:`~sb3_atari_course.NativeAtariVecEnv`.
    :param args: passed to SB3's DQN, as are ``kwargs``.
    :param double_q: value the online network's best action by the target network, as in Double
        DQN (van Hasselt et al. 2016).
    :param compile: let PyTorch compile the loss; the first update then takes half a minute more.
    :raises ValueError: for ``device="cuda"`` without a GPU: SB3 would silently take the CPU.
    :raises TypeError: for a ``double_q`` or ``compile`` that is not a bool, also if it is
        set later; for an unknown argument.
    """

    #: On a GPU, kept from one ``train`` to the next.
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
        check_cuda_device("device", kwargs.get("device", "auto"))
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
        """Return actions; unless ``deterministic``, each is random with probability epsilon.

        :param observation: one observation, or (n_envs, *shape of the space); lists are converted.
        :raises ValueError: as SB3, for observations of another shape and for the pair that
            ``env.reset()`` of Gymnasium returns.
        """
        policy = self.policy  # random numbers come from NumPy's global generator, as in SB3
        if deterministic:
            return policy.predict(observation, state, episode_start, deterministic)
        if isinstance(observation, np.ndarray) and policy.is_vectorized_observation(observation):
            actions = np.zeros(len(observation), np.int64)
            explores = np.random.random(len(actions)) < self.exploration_rate  # noqa: NPY002
            if not explores.all():  # the network is asked for the others only
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
        """Learn, as SB3's DQN."""
        settings = (log_interval, tb_log_name, reset_num_timesteps, progress_bar)
        try:
            return super().learn(total_timesteps, callback, *settings)
        except BaseException:
            self._last_obs = None  # the games may be in the middle of a step: reset them next time
            raise
        finally:
            self._pending.close()

    def collect_rollouts(self, env: VecEnv, *args: Any, **kwargs: Any) -> RolloutReturn:
        """Play, and run pending updates during the first step."""
        return super().collect_rollouts(self._pending.flush_while_playing(env), *args, **kwargs)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the weights; with CUDA graphs, during the next step of the environments."""
        self._pending.flush()
        self._check_flags()  # they may be set between two trainings
        make_fast(self.policy.optimizer)  # before _can_be_graphs, which asks what it has set
        self._update_learning_rate(self.policy.optimizer)
        if isinstance(self.replay_buffer, FrameReplayBuffer):
            self.replay_buffer.gamma = self.gamma
        step = GradientStep(self, double_q=bool(self.double_q), compiled=self._compiled_loss())
        if self._can_be_graphs():
            loss = self._update_later(step, gradient_steps, batch_size)
        else:
            self._graph_updates = None
            loss = self._update_now(step, gradient_steps, batch_size)
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", loss)

    def _update_now(self, step: GradientStep, n_updates: int, batch_size: int) -> float:
        """Update the weights now, and return the mean loss."""
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        losses = [
            step(self.replay_buffer.sample(batch_size, env=self._vec_normalize_env))
            for _ in range(n_updates)
        ]
        return float(np.mean([float(loss) for loss in losses]))

    def _update_later(self, step: GradientStep, n_updates: int, batch_size: int) -> float:
        """Let the weights be updated by CUDA graphs, and return a mean loss from before."""
        buffer, updates = self.replay_buffer, self._graph_updates
        assert isinstance(buffer, FrameReplayBuffer)
        if updates is None or not updates.rows.belong_to(buffer):
            updates = self._graph_updates = GraphUpdates(step, DeviceRows(buffer))
        updates.step = step
        self._pending.submit(updates, n_updates, batch_size)
        if self.num_timesteps >= self._total_timesteps:  # no environment steps any more
            self._pending.flush()
        return updates.mean_loss

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """Return all state dicts as SB3's DQN would, without a trace of what made it fast."""
        self._pending.flush()
        optimizer = self.policy.optimizer
        return {**super().get_parameters(), "policy.optimizer": plain_state(optimizer)}

    def set_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Take over state dicts, FastDQN's or SB3's."""
        self._pending.flush()
        super().set_parameters(*args, **kwargs)

    def _update_learning_rate(self, optimizers: Any) -> None:
        learning_rate = self.lr_schedule(self._current_progress_remaining)
        self.logger.record("train/learning_rate", learning_rate)
        set_rate(optimizers, learning_rate)

    def _compiled_loss(self) -> Compiled | None:
        if not self.compile:
            return None
        if self._compiled is None:
            if self.verbose:
                print("Compiling the loss: the first update takes half a minute or more")
            self._compiled = Compiled(temporal_difference_loss)
        return self._compiled

    def _can_be_graphs(self) -> bool:
        """Return whether updates can be CUDA graphs: all that they read must lie on one GPU."""
        buffer = self.replay_buffer
        return (
            isinstance(buffer, FrameReplayBuffer)
            and _are_one_gpu(self.device, buffer.storage_device)
            and self._vec_normalize_env is None
            and all(group.get("capturable") for group in self.policy.optimizer.param_groups)
        )

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), *_FOR_SPEED]

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle gets: the model without what made it fast."""
        self._pending.flush()
        return {name: value for name, value in self.__dict__.items() if name not in _FOR_SPEED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pending = PendingUpdates()


def _are_one_gpu(*devices: th.device) -> bool:
    """Return whether all are the same CUDA device; without an index it is the current one."""
    if any(device.type != "cuda" for device in devices):
        return False
    current = th.cuda.current_device()
    return len({current if device.index is None else device.index for device in devices}) == 1
