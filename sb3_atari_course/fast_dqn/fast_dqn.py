"""FastDQN as SB3 sees it: acting, training, saving."""

from __future__ import annotations

import inspect
import sys
import time
from typing import Any, TypeVar

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import (
    GymEnv,
    MaybeCallback,
    RolloutReturn,
    TrainFreq,
    TrainFrequencyUnit,
)
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.dqn.policies import DQNPolicy

from sb3_atari_course._common.cuda_device import check_cuda_device
from sb3_atari_course._common.errors import SettingError
from sb3_atari_course._common.validation import boolean, refuse_unknown
from sb3_atari_course.envs import warn_if_stacked_twice
from sb3_atari_course.fast_dqn.compiler import Compiled
from sb3_atari_course.fast_dqn.device_rows import DeviceRows
from sb3_atari_course.fast_dqn.graph_updates import GraphUpdates
from sb3_atari_course.fast_dqn.loss import temporal_difference_loss
from sb3_atari_course.fast_dqn.mean_loss import MeanLoss
from sb3_atari_course.fast_dqn.optimizer import make_fast, plain_state, set_rate
from sb3_atari_course.fast_dqn.overlap import WorkWhilePlaying
from sb3_atari_course.fast_dqn.updates import GradientStep, Updates
from sb3_atari_course.replay import FrameReplayBuffer

SelfFastDQN = TypeVar("SelfFastDQN", bound="FastDQN")

#: Attributes that only speed depends on: neither saved nor copied, made anew where missing.
_FOR_SPEED = ("_updates", "_compiled", "_mean_loss", "_waiting", "_playing")


class FastDQN(DQN):
    """SB3's DQN, at the speed of the machine; its files are those of SB3's DQN.

    The same constructor, hyperparameters and updates. What differs:

    1. Each environment draws its own coin for exploring; SB3 draws one for all of them. With one
       environment the actions are the same.
    2. On a CPU the optimiser is fused and images are read channels last: the same numbers up to
       rounding.
    3. On a CUDA card, with ``FrameReplayBuffer`` and its frames there, whole updates are CUDA
       graphs (not with VecNormalize, nor with optimisers that cannot be captured, SGD say).
       Batches then come from torch's generator, and updates run while the emulators play the next
       step. So the weights that choose an action lag behind SB3's by one call of ``train``; so do
       those that a callback sees at the start of a rollout, unless it copies or saves the model.
       Targets are copied at SB3's counts of steps.

    As in SB3, each call of ``train`` reads the settings, networks, optimizer and replay buffer that
    the model has then.

    ``train_freq`` counts steps of all environments at once, as in SB3: the paper's ratio, one
    update for four transitions, is ``train_freq=1, gradient_steps=n_envs // 4`` for a multiple of
    four environments, and ``train_freq=4, gradient_steps=1`` for a single one.

    :param policy: as for SB3's DQN; :class:`~sb3_atari_course.policies.AtariCnnPolicy`, say.
    :param env: as for SB3's DQN, preferably a :class:`~sb3_atari_course.NativeAtariVecEnv`.
    :param args: passed to SB3's DQN, as are ``kwargs``.
    :param double_q: value the online network's best action by the target network, as in Double
        DQN (van Hasselt et al. 2016).
    :param compile: let PyTorch compile the loss; the first update then takes half a minute more.
    :raises ValueError: for ``device="cuda"`` without a card: SB3 would silently take the CPU.
    :raises TypeError: for a ``double_q`` or ``compile`` that is not a bool, also if it is
        set later; for an unknown argument.
    """

    #: Kept from one ``train`` to the next, on a GPU only: the replay buffer's rows and a graph.
    _updates: GraphUpdates | None = None
    _compiled: Compiled[Any, th.Tensor] | None = None
    _mean_loss: MeanLoss | None = None
    #: Updates that were asked for and not begun: how many, of which size, and of which buffer,
    #: which lives until they are done.
    _waiting: tuple[Updates | GraphUpdates, int, int, ReplayBuffer | None] | None = None
    _playing: WorkWhilePlaying | None = None

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
        boolean("double_q", double_q)
        boolean("compile", compile)
        super().__init__(policy, env, *args, _init_setup_model=False, **kwargs)  # type: ignore[misc]
        self.double_q, self.compile = double_q, compile
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._check_flags()
        super()._setup_model()
        warn_if_stacked_twice(self.env)

    def _check_flags(self) -> None:
        for name in ("double_q", "compile"):
            if getattr(self, name) not in (0, 1):  # as files of older versions may have it
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
        if not deterministic and not _is_array(observation):
            self.policy.predict(observation, deterministic=True)  # raises what SB3 raises
            observation = _as_array(observation)
        if deterministic or not self.policy.is_vectorized_observation(observation):
            return super().predict(observation, state, episode_start, deterministic)
        by_key = observation if isinstance(observation, dict) else {"": observation}
        explores = np.random.rand(len(next(iter(by_key.values())))) < self.exploration_rate  # noqa: NPY002  # as SB3
        actions = np.zeros(len(explores), np.int64)
        actions[explores] = [self.action_space.sample() for _ in range(explores.sum())]
        if not explores.all():
            seen = {key: array[~explores] for key, array in by_key.items()}
            greedy = seen if isinstance(observation, dict) else seen[""]
            actions[~explores] = self.policy.predict(greedy, state, episode_start, deterministic)[0]
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
        """Learn, as SB3's DQN.

        :raises SettingError: for a ``train_freq`` by episode with several environments.
        """
        assert isinstance(self.train_freq, TrainFreq)
        if self.n_envs > 1 and self.train_freq.unit == TrainFrequencyUnit.EPISODE:
            raise SettingError(
                f"train_freq=({self.train_freq.frequency}, 'episode') counts episodes, which end at"
                f" different times in {self.n_envs} environments: give it in steps, or take one"
            )
        settings = (log_interval, tb_log_name, reset_num_timesteps, progress_bar)
        try:
            super().learn(total_timesteps, callback, *settings)
        except BaseException:
            self._last_obs = None  # the games may be in the middle of a step: reset them next time
            raise
        finally:
            self._playing = None  # lets the environments go
        self._run_waiting()
        return self

    def collect_rollouts(self, env: VecEnv, *args: Any, **kwargs: Any) -> RolloutReturn:
        """Play, and meanwhile run the updates that wait for it."""
        if self._waiting is not None:
            if self._playing is None or self._playing.venv is not env:
                self._playing = WorkWhilePlaying(env, self._run_waiting)
            env = self._playing
        return super().collect_rollouts(env, *args, **kwargs)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the weights; on a GPU, ask for it with the next step of the environments."""
        self._run_waiting()
        if isinstance(self.replay_buffer, FrameReplayBuffer):
            self.replay_buffer.gamma = self.gamma
        updates = self._make_updates()
        self._update_learning_rate(self.policy.optimizer)
        self._waiting = (updates, gradient_steps, batch_size, self.replay_buffer)
        is_last = self.num_timesteps >= self._total_timesteps
        if is_last or not updates.run_behind:
            self._run_waiting()
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(updates.step.mean_loss))

    def dump_logs(self) -> None:
        """Write SB3's log, with the gradient steps per second of this training."""
        seconds = max((time.time_ns() - self.start_time) / 1e9, sys.float_info.epsilon)
        rate = (self._n_updates - self._n_updates_at_start) / seconds
        self.logger.record("time/gradient_steps_per_second", int(rate))
        super().dump_logs()

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """Return all state dicts as SB3's DQN would, without a trace of what made it fast."""
        self._run_waiting()
        optimizer = self.policy.optimizer
        return {**super().get_parameters(), "policy.optimizer": plain_state(optimizer)}

    def set_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Take over state dicts, FastDQN's or SB3's."""
        self._run_waiting()
        super().set_parameters(*args, **kwargs)

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        self._run_waiting()  # of a training that was interrupted
        self._n_updates_at_start = self._n_updates
        return super()._setup_learn(*args, **kwargs)

    def _run_waiting(self) -> None:
        """Run the updates that were asked for and not begun, or ask the GPU to."""
        if self._waiting is None:
            return
        (updates, n_updates, batch_size, _), self._waiting = self._waiting, None
        was_training = self.policy.training
        self.policy.set_training_mode(True)
        updates.run(n_updates, batch_size)
        if updates.run_behind:  # in the middle of a rollout
            self.policy.set_training_mode(was_training)

    def _update_learning_rate(self, optimizers: Any) -> None:
        learning_rate = self.lr_schedule(self._current_progress_remaining)
        self.logger.record("train/learning_rate", learning_rate)
        set_rate(optimizers, learning_rate)

    def _make_updates(self) -> Updates | GraphUpdates:
        """Return what updates the weights, with all that it reads as the model has it now."""
        self._check_flags()  # they may be set between two trainings
        make_fast(self.policy.optimizer)
        if self.compile and self._compiled is None:
            if self.verbose:
                print("Compiling the loss: the first update takes half a minute or more")
            self._compiled = Compiled(temporal_difference_loss)
        if self._mean_loss is None or self._mean_loss.device != self.device:
            self._mean_loss = MeanLoss(self.device)
        step = GradientStep(
            self,
            self._mean_loss,
            double_q=bool(self.double_q),
            compiled=self._compiled if self.compile else None,
        )
        buffer, env = self.replay_buffer, self._vec_normalize_env
        assert buffer is not None
        if not self._can_be_graphs():
            self._updates = None
            return Updates(step, lambda size: buffer.sample(size, env=env))
        assert isinstance(buffer, FrameReplayBuffer)
        if self._updates is None or not self._updates.read(buffer):
            self._updates = GraphUpdates(step, DeviceRows(buffer, gamma=self.gamma))
        self._updates.renew(step, gamma=self.gamma)
        return self._updates

    def _can_be_graphs(self) -> bool:
        """Return whether updates can be CUDA graphs: all that they read must lie on one GPU."""
        buffer = self.replay_buffer
        return (
            self.device.type == "cuda"
            and isinstance(buffer, FrameReplayBuffer)
            and buffer.lies_on_card
            and _is_same_gpu(buffer.storage_device, self.device)
            and self._vec_normalize_env is None
            and all(group.get("capturable") for group in self.policy.optimizer.param_groups)
        )

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), *_FOR_SPEED, "_n_updates_at_start"]

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle gets: the model without what made it fast."""
        self._run_waiting()
        return {name: value for name, value in self.__dict__.items() if name not in _FOR_SPEED}


def _is_array(observation: Any) -> bool:
    parts = observation.values() if isinstance(observation, dict) else [observation]
    return all(isinstance(part, np.ndarray) for part in parts)


def _as_array(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: np.asarray(part) for key, part in observation.items()}
    return np.asarray(observation)


def _is_same_gpu(first: th.device, second: th.device) -> bool:
    """Return whether two CUDA devices are one; without an index it is the current one."""
    if first == second:
        return True
    current = th.cuda.current_device()
    numbers = [current if device.index is None else device.index for device in (first, second)]
    return numbers[0] == numbers[1]
