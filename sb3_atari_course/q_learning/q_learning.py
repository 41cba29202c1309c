"""Tabular Q-learning: act, observe, move one cell towards its target."""

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

#: Values and visits, both of shape (n_states, n_actions).
_Table = tuple[NDArray[np.float64], NDArray[np.int64]]

SelfQLearning = TypeVar("SelfQLearning", bound="QLearning")

#: Arguments that SB3's constructor takes.
_OF_SB3 = (
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
    """Return for each state a random action with probability ``epsilon``, else a best one.

    Ties are broken at random, all best actions alike. Each state draws one random number, and a
    second one if its action is random or tied. (Loops in Python, as in :func:`update_table`: for a
    handful of environments and actions they are several times faster than NumPy.)

    :param values: (n_states, n_actions).
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
    """Learn from one step of each environment, one after the other.

    :param values: (n_states, n_actions); changed in place, as ``visits`` of the same shape.
    :param next_states: where the steps led to; None after a terminal state: nothing follows.
    :param gamma: discount of what follows, 0 to 1.
    :param rate: learning rate; None: 1 / (visits of the cell), this one included.
    :return: the sum of the absolute TD errors, target minus old value.
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
    """Q-learning with a table as an SB3 algorithm (Watkins 1989; Sutton and Barto 2018, 6.5).

    After each step the cell of the state and action moves towards what the step has shown::

        Q(s, a) += learning_rate * (reward + gamma * max Q(s', .) - Q(s, a))

    - After a terminal state nothing follows: the target is the reward alone. After a truncation (a
      time limit) the episode would have gone on: s' is its last observation, as after any step.
    - Several environments share one table. Their actions are chosen from the table before the
      step; then they learn one after the other, in their order: two visits of one cell in the same
      step count as two, and the second sees what the first has written.
    - While learning, ties between best actions are broken at random: in a table of zeros the first
      action would be the favourite otherwise. ``predict(deterministic=True)`` takes the lowest.
    - ``predict(deterministic=False)`` is epsilon-greedy with the current epsilon, as SB3's DQN, but
      each observation of a batch gets a coin of its own, from the generator that learning uses.
    - Each step reads ``learning_rate``, ``gamma`` and ``exploration``, so they may be changed.
    - A step is learned before callbacks see it: one that stops the training loses nothing.
    - A saved model brings its random stream along: after ``load(path, env, force_reset=False)``,
      ``learn(..., reset_num_timesteps=False)`` goes on as if it had never stopped.

    :param policy: ``"QTablePolicy"``; ``policy_kwargs={"initial_value": ...}`` fills the table.
    :param env: with ``Discrete`` or ``MultiDiscrete`` observations and ``Discrete`` actions.
    :param learning_rate: in (0, 1]: a constant, an SB3 schedule that stays above 0, or
        ``"visits"``, 1 / (visits of the cell): a cell then holds the mean of the targets that it
        has seen, which converges, slowly, where rewards or transitions are random. Where nothing is
        random 1.0 is best.
    :param gamma: discount per step, 0 to 1.
    :param exploration: epsilon, 0 to 1: a constant, an SB3 schedule, or an ``EpisodeDecay``, also
        as the mapping of its numbers. By default it falls from 1 to 0.001 by 1 % an episode.
    :param device: accepted and left alone; a table stays on the CPU.
    :param kwargs: SB3's own: ``policy_kwargs``, ``stats_window_size``, ``tensorboard_log``,
        ``verbose``, ``monitor_wrapper``, ``seed``.
    :raises ValueError: for a number out of range, for spaces that no table can hold.
    :raises TypeError: for what is not a number or schedule, for an unknown argument.
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
        refuse_unknown("QLearning", kwargs, [*own, *_OF_SB3])
        learning_rate_at(learning_rate, 1.0)  # refused here, not while training
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
        #: Epsilon of the last step, of the first one before the training.
        self.exploration_rate = epsilon_at(as_exploration(exploration), 0, 1.0)
        #: Sum of the absolute TD errors since the last log, and the number of updates before it.
        self.sum_td_error, self.n_updates_logged = 0.0, 0
        self._rng_state: dict[str, Any] | None = None
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self.learning_rate != 0.0:  # with which SB3's loaders open a model that only plays
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
        """Take over ``exploration``, which may change while learning."""
        self._read, self._epsilon = self.exploration, as_exploration(self.exploration)

    @property
    def q_table(self) -> NDArray[np.float64]:
        """The table itself, not a copy: (n_states, n_actions) float64."""
        return self.policy.values.numpy()

    @property
    def current_learning_rate(self) -> float | None:
        """The learning rate of the last step; None if it differs from cell to cell."""
        return learning_rate_at(self.learning_rate, self._current_progress_remaining)

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed the generator of this model, and what SB3 seeds.

        :param seed: None changes nothing.
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
        """Return the best action of each observation, or the epsilon-greedy one.

        :param deterministic: False: epsilon-greedy with the current ``exploration_rate``.
        Otherwise as :meth:`QTablePolicy.predict`.
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
        """Play and learn; the table goes on from what it holds.

        :param total_timesteps: steps of all environments together; the last round may exceed it.
        :param callback: of SB3; a rollout is one step of all environments.
        :param log_interval: episodes between two logs, None for none.
        :param reset_num_timesteps: begin counting, epsilon and progress anew.
        :raises ValueError: if the environment returns a state outside its space; the table holds
            what was learned before that step.
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
            if states is None:  # now: a checkpoint may have been put back
                states = self.policy.states(self._last_obs)  # type: ignore[arg-type]
            n_before = self._episode_num
            states, go_on = self._step(table, states, callback)
            if log_interval and self._episode_num // log_interval > n_before // log_interval:
                self.dump_logs()
            if not go_on:
                break
            callback.on_rollout_end()
        callback.on_training_end()
        return self

    def _step(
        self, table: _Table, states: list[int], callback: BaseCallback
    ) -> tuple[list[int], bool]:
        """Step all environments once and learn from it; return the states and whether to go on."""
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

        new_states, paid = self.policy.states(new_obs), rewards.tolist()  # type: ignore[arg-type]
        if not math.isfinite(sum(paid)):
            raise ValueError(f"rewards must be finite numbers, the environments returned {paid}")
        next_states: list[int | None] = list(new_states)
        if dones.any():
            for i in np.flatnonzero(dones).tolist():
                next_states[i] = self._state_after_the_last_step(infos[i])
            self._episode_num += int(dones.sum())
            self._update_info_buffer(infos, dones)
        rate = learning_rate_at(self.learning_rate, progress)
        self.sum_td_error += update_table(
            *table, states, columns, paid, next_states, gamma=self.gamma, rate=rate
        )
        self._last_obs = new_obs  # type: ignore[assignment]
        self._n_updates += len(states)
        self.num_timesteps += len(states)

        seen = {"actions": actions, "new_obs": new_obs, "rewards": rewards, "dones": dones}
        callback.update_locals({**seen, "infos": infos})
        return new_states, callback.on_step()

    def _state_after_the_last_step(self, info: dict[str, Any]) -> int | None:
        """Return the state in which a time limit ended an episode, None if it terminated."""
        if not info.get("TimeLimit.truncated"):
            return None
        return self.policy.states(np.asarray(info["terminal_observation"])[None])[0]

    def dump_logs(self) -> None:
        """Write to SB3's logger: what DQN writes, the TD error, the share of cells ever tried.

        ``train/td_error`` is the mean of the absolute TD errors since the last time.
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
        """Save as SB3 does: the table as tensors (``policy.pth``), the random stream as JSON."""
        self._rng_state = {"seed": self.seed, "stream": self._rng.bit_generator.state}
        super().save(path, *args, **kwargs)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_rng", "_epsilon", "_read"]
