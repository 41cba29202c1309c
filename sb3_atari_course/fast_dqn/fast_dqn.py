"""FastDQN as SB3 sees it: acting, training, saving."""

from __future__ import annotations

import sys
import time
from typing import Any, TypeVar, cast

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import (
    GymEnv,
    MaybeCallback,
    ReplayBufferSamples,
    RolloutReturn,
    TrainFreq,
    TrainFrequencyUnit,
)
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.dqn.policies import DQNPolicy

from sb3_atari_course.cards import check_card
from sb3_atari_course.envs import warn_if_stacked_twice
from sb3_atari_course.errors import SettingError
from sb3_atari_course.fast_dqn.compiler import Compiled
from sb3_atari_course.fast_dqn.device_rows import DeviceRows
from sb3_atari_course.fast_dqn.graph_updates import GraphUpdates
from sb3_atari_course.fast_dqn.images import q_function
from sb3_atari_course.fast_dqn.loss import temporal_difference_loss
from sb3_atari_course.fast_dqn.mean_loss import MeanLoss
from sb3_atari_course.fast_dqn.optimizer import make_fast, plain_state, set_rate
from sb3_atari_course.fast_dqn.overlap import WorkWhilePlaying
from sb3_atari_course.fast_dqn.updates import GradientStep, Updates
from sb3_atari_course.replay import FrameReplayBuffer

SelfFastDQN = TypeVar("SelfFastDQN", bound="FastDQN")


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
       step. So the weights that choose an action lag behind SB3's by one call of ``train``.
       Targets are copied at SB3's counts of steps.

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
    :raises TypeError: for a ``double_q`` or ``compile`` that is neither true nor false.
    """

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
        check_card("device", kwargs.get("device", "auto"))
        for name, value in (("double_q", double_q), ("compile", compile)):
            if value not in (False, True):
                raise TypeError(f"{name} must be True or False, got {value!r}")
        super().__init__(policy, env, *args, _init_setup_model=False, **kwargs)  # type: ignore[misc]
        self.double_q, self.compile = double_q, compile
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        warn_if_stacked_twice(self.env)
        self._updates: Updates | GraphUpdates | None = None
        self._sampled: ReplayBuffer | None = None  # for which the updates were made
        self._waiting: tuple[int, int] | None = None  # updates and batch size
        self._playing: WorkWhilePlaying | None = None

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Return actions; unless ``deterministic``, each is random with the chance of epsilon."""
        if deterministic or not self.policy.is_vectorized_observation(observation):
            return super().predict(observation, state, episode_start, deterministic)
        by_key = observation if isinstance(observation, dict) else {"": observation}
        explores = np.random.rand(len(next(iter(by_key.values())))) < self.exploration_rate  # noqa: NPY002  # as SB3
        actions = np.array([self.action_space.sample() if random else 0 for random in explores])
        if not explores.all():
            seen = {key: array[~explores] for key, array in by_key.items()}
            greedy = seen if isinstance(observation, dict) else seen[""]
            actions[~explores] = self.policy.predict(greedy, deterministic=True)[0]
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
        """Update the weights; on a card, ask for it with the next step of the environments."""
        self._run_waiting()
        if self._updates is None or self._sampled is not self.replay_buffer:
            self._updates, self._sampled = self._make_updates(), self.replay_buffer
        self._waiting = (gradient_steps, batch_size)
        if not self._updates.run_behind:
            self._run_waiting()
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(self._updates.step.mean_loss))

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
        self._updates = None  # a loaded optimiser is plain, and lies elsewhere than captured

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        self._run_waiting()  # of a training that was interrupted
        self._n_updates_at_start = self._n_updates
        return super()._setup_learn(*args, **kwargs)

    def _run_waiting(self) -> None:
        """Run the updates that were asked for and not begun, or ask the card to."""
        if self._waiting is None:
            return
        assert self._updates is not None
        waiting, self._waiting = self._waiting, None
        was_training = self.policy.training
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        self._updates.run(*waiting)
        self.policy.set_training_mode(was_training)

    def _update_learning_rate(self, optimizers: Any) -> None:
        learning_rate = self.lr_schedule(self._current_progress_remaining)
        self.logger.record("train/learning_rate", learning_rate)
        set_rate(optimizers, learning_rate)

    def _make_updates(self) -> Updates | GraphUpdates:
        """Build what updates the weights; so late because loading sets up a model twice."""
        make_fast(self.policy.optimizer)
        if self.compile and self.verbose:
            print("Compiling the loss: the first update takes half a minute or more")
        nets = q_function(self.q_net), q_function(self.q_net_target)
        gamma, double_q = self.gamma, self.double_q

        def compute_loss(batch: ReplayBufferSamples) -> th.Tensor:
            return temporal_difference_loss(batch, *nets, gamma=gamma, double_q=double_q)

        step = GradientStep(
            Compiled(compute_loss) if self.compile else compute_loss,
            self.policy.optimizer,
            list(self.policy.parameters()),
            self.max_grad_norm,
            MeanLoss(self.device),
        )
        buffer = self.replay_buffer
        assert buffer is not None
        if self._can_be_graphs():
            return GraphUpdates(step, DeviceRows(cast(FrameReplayBuffer, buffer), gamma=gamma))
        return Updates(step, lambda size: buffer.sample(size, env=self._vec_normalize_env))

    def _can_be_graphs(self) -> bool:
        """Tell whether updates can be CUDA graphs: all that they read must lie on the card."""
        buffer = self.replay_buffer
        return (
            self.device.type == "cuda"
            and isinstance(buffer, FrameReplayBuffer)
            and buffer.lies_on_card
            and self._vec_normalize_env is None
            and all(group.get("capturable") for group in self.policy.optimizer.param_groups)
        )

    def _excluded_save_params(self) -> list[str]:
        ours = ["_updates", "_sampled", "_waiting", "_playing", "_n_updates_at_start"]
        return [*super()._excluded_save_params(), *ours]
