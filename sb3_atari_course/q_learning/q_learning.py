"""Tabular Q-learning: epsilon-greedy actions, environment steps, Q-table updates."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import safe_mean

from sb3_atari_course._common.validation import probability, refuse_unknown
from sb3_atari_course.q_learning.policies import QTablePolicy
from sb3_atari_course.q_learning.schedules import (
    EpisodeDecay,
    Exploration,
    as_exploration,
    epsilon_at,
    learning_rate_at,
)

#: Q-values and visit counts, both of shape (n_states, n_actions).
_Table = tuple[NDArray[np.float64], NDArray[np.int64]]

SelfQLearning = TypeVar("SelfQLearning", bound="QLearning")

#: Arguments passed on to SB3's constructor.
_SB3_ARGUMENTS = (
    "policy_kwargs",
    "stats_window_size",
    "tensorboard_log",
    "verbose",
    "monitor_wrapper",
    "seed",
)


def choose_actions(
    values: NDArray[np.float64], states: Sequence[int], epsilon: float, rng: np.random.Generator
) -> list[int]:
    """Return epsilon-greedy actions, sampled individually for each state.

    Ties are broken uniformly at random. Each state uses one random number, and a second one if its
    action is random or tied. (Python loops, here and in :func:`update_table`, are several times
    faster than NumPy for a handful of environments and actions.)

    :param values: Q-values, (n_states, n_actions).
    :param states: state index of each environment.
    :param epsilon: probability of a random action, 0 to 1.
    :param rng: random generator.
    :return: action index of each environment, from 0.
    """
    random = rng.random
    actions = []
    for state in states:
        if random() < epsilon:
            actions.append(int(random() * values.shape[1]))
            continue
        row = values[state].tolist()
        best = max(row)
        if row.count(best) == 1:
            actions.append(row.index(best))
        else:
            ties = [action for action, value in enumerate(row) if value == best]
            actions.append(ties[int(random() * len(ties))])
    return actions


def update_table(
    values: NDArray[np.float64],
    visits: NDArray[np.int64],
    states: Sequence[int],
    actions: Sequence[int],
    rewards: Sequence[float],
    next_states: Sequence[int | None],
    *,
    gamma: float,
    rate: float | None,
) -> float:
    """Apply the Q-learning update to one transition of each environment, in their order.

    :param values: Q-values, (n_states, n_actions); changed in place.
    :param visits: visit counts of the same shape; changed in place.
    :param states: state index of each environment.
    :param actions: action index of each environment.
    :param rewards: reward of each environment.
    :param next_states: next state of each environment; None if terminal (no bootstrapping).
    :param gamma: discount, 0 to 1.
    :param rate: learning rate; None means 1 / (number of visits, including this one).
    :return: sum of the absolute TD errors.
    """
    sum_error = 0.0
    for state, action, target, next_state in zip(
        states, actions, rewards, next_states, strict=True
    ):
        if next_state is not None:
            target += gamma * max(values[next_state].tolist())
        visit = visits.item(state, action) + 1
        value = values.item(state, action)
        error = target - value
        visits[state, action] = visit
        values[state, action] = value + error * (1.0 / visit if rate is None else rate)
        sum_error += abs(error)
    return sum_error


class QLearning(BaseAlgorithm):
    """Tabular Q-learning as an SB3 algorithm (Watkins 1989; Sutton and Barto 2018, 6.5).

    Each step updates one cell of the Q-table::

        Q(s, a) += learning_rate * (reward + gamma * max Q(s', .) - Q(s, a))

    - After a terminal state the target is the reward alone. After a truncation (time limit) it
      bootstraps from the last observation.
    - Several environments share one Q-table. All actions of a step are selected before it; the
      updates are then applied in the order of the environments.
    - During training, ties are broken at random, otherwise the first action would be preferred in
      a Q-table of zeros. ``predict(deterministic=True)`` takes the lowest of the best actions.
    - ``predict(deterministic=False)`` is epsilon-greedy with the current epsilon, as in SB3's DQN,
      but exploration is sampled for each observation of a batch.
    - ``learning_rate``, ``gamma`` and ``exploration`` are read at each step, so they can be changed
      during training.
    - The update happens before callbacks are called, so no transition is lost if one of them stops
      training.
    - The state of the random generator is saved with the model: after ``load(path, env,
      force_reset=False)``, ``learn(..., reset_num_timesteps=False)`` continues exactly as an
      uninterrupted run.

    :param policy: ``"QTablePolicy"``; ``policy_kwargs={"initial_value": ...}`` sets the initial
        Q-values.
    :param env: environment or id, with ``Discrete`` or ``MultiDiscrete`` observations and
        ``Discrete`` actions.
    :param learning_rate: in (0, 1]: a constant, an SB3 schedule that stays above 0, or
        ``"visits"``, 1 / (number of visits of the cell), which converges slowly in stochastic
        environments. 1.0 is best in deterministic ones.
    :param gamma: discount per step, 0 to 1.
    :param exploration: epsilon, 0 to 1: a constant, an SB3 schedule,
        an :class:`~sb3_atari_course.q_learning.schedules.EpisodeDecay`, or a mapping of the
        arguments of the latter. The default decays from 1 to 0.001 by about 1 % per episode.
    :param device: ignored; the Q-table stays on the CPU.
    :param kwargs: further arguments of SB3's ``BaseAlgorithm``: ``policy_kwargs``,
        ``stats_window_size``, ``tensorboard_log``, ``verbose``, ``monitor_wrapper``, ``seed``.
    :raises ValueError: for a number out of range; for spaces that are not discrete or too large.
    :raises TypeError: for a value that is not a number or schedule; for an unknown argument.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"QTablePolicy": QTablePolicy}
    policy: QTablePolicy

    def __init__(
        self,
        policy: str | type[QTablePolicy],
        env: GymEnv | str | None,
        *,
        learning_rate: float | Schedule | str = 0.5,
        gamma: float = 0.99,
        exploration: Exploration = EpisodeDecay(),  # noqa: B008  # frozen
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        *own, _ = inspect.signature(QLearning).parameters
        refuse_unknown("QLearning", kwargs, [*own, *_SB3_ARGUMENTS])
        learning_rate_at(learning_rate, 1.0)  # fail here rather than during training
        super().__init__(
            policy=policy,
            env=env,
            learning_rate=learning_rate,  # type: ignore[arg-type]
            device="cpu",
            support_multi_env=True,
            **kwargs,
        )
        self.gamma = gamma
        self.exploration = exploration
        #: Epsilon of the last step; before training, that of the first step.
        self.exploration_rate = epsilon_at(as_exploration(exploration), 0, 1.0)
        #: Sum of the absolute TD errors since the last log, and the number of updates at that log.
        self.sum_td_error, self.n_updates_logged = 0.0, 0
        self._rng_state: dict[str, Any] | None = None
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self.learning_rate != 0.0:  # RL Zoo's enjoy loads models with a learning rate of 0
            learning_rate_at(self.learning_rate, 1.0)
        self._read_exploration()
        epsilon_at(self._epsilon, 0, 1.0)
        probability("gamma", self.gamma)
        if not issubclass(self.policy_class, QTablePolicy):
            raise ValueError(f'QLearning needs "QTablePolicy", got {self.policy_class.__name__}')
        self._rng = np.random.default_rng()
        self.set_random_seed(self.seed)
        if self._rng_state is not None and self._rng_state["seed"] == self.seed:
            self._rng.bit_generator.state = self._rng_state["stream"]
        self.policy = self.policy_class(
            self.observation_space, self.action_space, **self.policy_kwargs
        )

    def _read_exploration(self) -> None:
        """Read ``exploration`` again, which may be changed during training."""
        self._read, self._epsilon = self.exploration, as_exploration(self.exploration)

    @property
    def q_table(self) -> NDArray[np.float64]:
        """The Q-table, (n_states, n_actions) float64; a view, not a copy."""
        return self.policy.values.numpy()

    @property
    def current_learning_rate(self) -> float | None:
        """Learning rate of the last step; None for ``"visits"``, where it differs by cell."""
        return learning_rate_at(self.learning_rate, self._current_progress_remaining)

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed this model's random generator and everything that SB3 seeds.

        :param seed: the seed; None changes nothing.
        """
        super().set_random_seed(seed)
        if seed is not None:
            self._rng = np.random.default_rng(seed)

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Return actions, epsilon-greedy unless ``deterministic``.

        :param observation: one observation or a batch, shape ``(n_envs, *obs_shape)``.
        :param state: returned unchanged; the policy is not recurrent.
        :param episode_start: ignored.
        :param deterministic: return greedy actions; False explores with ``exploration_rate``.
        :return: actions, () or (n_envs,) int64, and ``state``.
        :raises ValueError: for an observation outside the observation space.
        """
        actions, state = self.policy.predict(observation, state, episode_start)
        if not deterministic:
            batch = np.asarray(observation).reshape(-1, *(self.observation_space.shape or ()))
            states = self.policy.states(batch)
            columns = choose_actions(self.q_table, states, self.exploration_rate, self._rng)
            actions = np.array(columns, dtype=np.int64).reshape(actions.shape)
            actions += self.policy.first_action
        return actions, state

    def learn(
        self: SelfQLearning,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int | None = 100,
        tb_log_name: str = "QLearning",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfQLearning:
        """Train the model, starting from the current Q-table.

        :param total_timesteps: number of steps, of all environments together; exceeded if it is
            not a multiple of the number of environments.
        :param callback: callback or list of callbacks; a rollout is one step of all environments.
        :param log_interval: episodes between two logs; None disables logging.
        :param tb_log_name: name of the run in TensorBoard.
        :param reset_num_timesteps: restart step count, epsilon and progress; False continues them.
        :param progress_bar: show a progress bar.
        :return: the model.
        :raises ValueError: if the environment returns a state outside its space or a reward that
            is not finite; the Q-table is not changed by that step.
        """
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start(locals(), globals())
        assert self.env is not None
        table = self.policy.values.numpy(), self.policy.visits.numpy()
        states: list[int] | None = None
        while self.num_timesteps < total_timesteps:
            callback.on_rollout_start()
            if states is None:  # not earlier: a callback may have restored a checkpoint
                states = self.policy.states(self._last_obs)  # type: ignore[arg-type]
            n_before = self._episode_num
            states, should_continue = self._step(table, states, callback)
            if log_interval and self._episode_num // log_interval > n_before // log_interval:
                self.dump_logs()
            if not should_continue:
                break
            callback.on_rollout_end()
        callback.on_training_end()
        return self

    def _step(
        self, table: _Table, states: list[int], callback: BaseCallback
    ) -> tuple[list[int], bool]:
        """Step all environments and update the Q-table; return the states, False to stop."""
        assert self.env is not None
        progress = 1.0 - self.num_timesteps / self._total_timesteps
        self._current_progress_remaining = progress
        if self._read is not self.exploration:
            self._read_exploration()
        self.exploration_rate = epsilon_at(self._epsilon, self._episode_num, progress)
        columns = choose_actions(table[0], states, self.exploration_rate, self._rng)
        first = self.policy.first_action
        actions = np.array([first + column for column in columns])
        new_obs, rewards, dones, infos = self.env.step(actions)

        new_states = self.policy.states(new_obs)  # type: ignore[arg-type]
        reward_list = rewards.tolist()
        if not math.isfinite(sum(reward_list)):
            raise ValueError(f"the environments returned a non-finite reward: {reward_list}")
        next_states: list[int | None] = list(new_states)
        if dones.any():
            for i in np.flatnonzero(dones).tolist():
                next_states[i] = self._truncated_state(infos[i])
            self._episode_num += int(dones.sum())
            self._update_info_buffer(infos, dones)
        rate = learning_rate_at(self.learning_rate, progress)
        self.sum_td_error += update_table(
            *table, states, columns, reward_list, next_states, gamma=self.gamma, rate=rate
        )
        self._last_obs = new_obs  # type: ignore[assignment]
        self._n_updates += len(states)
        self.num_timesteps += len(states)

        seen = {"actions": actions, "new_obs": new_obs, "rewards": rewards, "dones": dones}
        callback.update_locals({**seen, "infos": infos})
        return new_states, callback.on_step()

    def _truncated_state(self, info: dict[str, Any]) -> int | None:
        """Return the last state of a truncated episode, None if the episode terminated."""
        if not info.get("TimeLimit.truncated"):
            return None
        return self.policy.states(np.asarray(info["terminal_observation"])[None])[0]

    def dump_logs(self) -> None:
        """Log the metrics of SB3's DQN, the TD error and the share of visited cells.

        ``train/td_error`` is the mean absolute TD error since the last log, ``train/cells_visited``
        the share of Q-table cells that were updated at least once.
        """
        n_updates, rate = self._n_updates - self.n_updates_logged, self.current_learning_rate
        assert self.ep_info_buffer is not None
        assert self.ep_success_buffer is not None
        record = self.logger.record
        if self.ep_info_buffer:
            record("rollout/ep_rew_mean", safe_mean([info["r"] for info in self.ep_info_buffer]))
            record("rollout/ep_len_mean", safe_mean([info["l"] for info in self.ep_info_buffer]))
        if self.ep_success_buffer:
            record("rollout/success_rate", safe_mean(self.ep_success_buffer))
        record("rollout/exploration_rate", self.exploration_rate)
        seconds = max((time.time_ns() - self.start_time) / 1e9, 1e-9)
        n_new = self.num_timesteps - self._num_timesteps_at_start
        record("time/episodes", self._episode_num, exclude="tensorboard")
        record("time/fps", int(n_new / seconds))
        record("time/time_elapsed", int(seconds), exclude="tensorboard")
        record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/cells_visited", float((self.policy.visits > 0).double().mean()))
        if rate is not None:
            record("train/learning_rate", rate)
        if n_updates:
            record("train/td_error", self.sum_td_error / n_updates)
        self.sum_td_error, self.n_updates_logged = 0.0, self._n_updates
        self.logger.dump(step=self.num_timesteps)

    def save(self, path: Any, *args: Any, **kwargs: Any) -> None:
        """Save the model in SB3's format, with the state of the random generator.

        :param path: path of the zip file.
        :param args: as in SB3, like ``kwargs``.
        """
        self._rng_state = {"seed": self.seed, "stream": self._rng.bit_generator.state}
        super().save(path, *args, **kwargs)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_rng", "_epsilon", "_read"]
