"""Small worlds in which the judge lets a solution play, and which remember what it did."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.base import WrongError

#: Steps of one episode that no exercise needs.
_MOST_STEPS = 5000


@dataclass(frozen=True)
class Step:
    """One step that a world has seen.

    :param episode: number of the episode, from 0.
    :param state: observation before it.
    :param action: what was done.
    :param reward: what it paid.
    :param next_state: observation after it.
    :param terminated: the world has ended the episode.
    :param truncated: its time limit has.
    """

    episode: int
    state: Any
    action: int
    reward: float
    next_state: Any
    terminated: bool
    truncated: bool


class WatchedWorld(gym.Env[Any, np.int64]):
    """Remembers every step, and names what no loop may do: to step on after the end, say.

    :param time_limit: steps after which an episode is truncated, None for no limit.
    """

    render_mode = "ansi"

    def __init__(self, n_actions: int, time_limit: int | None = None) -> None:
        self.action_space = spaces.Discrete(n_actions, seed=0)
        self.n_actions = n_actions
        self.time_limit = time_limit
        self.log: list[Step] = []
        #: Length of each episode so far, in steps; a reset begins one.
        self.lengths: list[int] = []
        self._playing = False
        self._state: Any = None

    @abstractmethod
    def first_state(self) -> Any:
        """Return the observation with which an episode begins."""

    @abstractmethod
    def outcome(self, action: int) -> tuple[Any, float, bool]:
        """Return next observation, reward, and whether that ends the episode."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        self.lengths.append(0)
        self._playing, self._state = True, self.first_state()
        return self._state, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Play a step; told at once if there is no episode to play in."""
        if not self.lengths:
            raise WrongError("env.step was called before env.reset")
        if not self._playing:
            raise WrongError(
                f"env.step was called after the episode had ended at step {self.lengths[-1]}:"
                " an episode ends when it is terminated or truncated, then comes a reset"
            )
        if not self.action_space.contains(np.int64(action)):
            raise WrongError(
                f"env.step got the action {action!r}, which is not in 0..{self.n_actions - 1}"
            )
        self.lengths[-1] += 1
        if self.lengths[-1] > _MOST_STEPS:
            raise WrongError(
                f"an episode has gone on for {_MOST_STEPS} steps: max_steps must end it, too"
            )
        next_state, reward, terminated = self.outcome(int(action))
        truncated = self.lengths[-1] == self.time_limit and not terminated
        step = Step(
            len(self.lengths) - 1,
            self._state,
            int(action),
            reward,
            next_state,
            terminated,
            truncated,
        )
        self.log.append(step)
        self._state, self._playing = next_state, not (terminated or truncated)
        return next_state, reward, terminated, truncated, {}

    def render(self) -> str:
        """Return a line of text."""
        return f"{self._state}\n"


class TableWorld(WatchedWorld):
    """A world of numbered states whose rules are a table.

    :param rules: (state, action) -> (next state, reward, terminated); what is missing stays where
        it is and pays nothing.
    :param n_states: number of states.
    :param n_actions: number of actions.
    :param start: state in which each episode begins.
    :param time_limit: see :class:`WatchedWorld`.
    """

    def __init__(
        self,
        rules: Mapping[tuple[int, int], tuple[int, float, bool]],
        *,
        n_states: int,
        n_actions: int,
        start: int = 0,
        time_limit: int | None = None,
    ) -> None:
        super().__init__(n_actions, time_limit)
        self.observation_space = spaces.Discrete(n_states)
        self.rules, self.start = rules, start

    def first_state(self) -> int:
        """Return the start."""
        return self.start

    def outcome(self, action: int) -> tuple[int, float, bool]:
        """Look it up."""
        return self.rules.get((self._state, action), (self._state, 0.0, False))


class CorridorWorld(WatchedWorld):
    """A corridor: action 1 leads right, 0 left; its last place pays 1 and ends the episode.

    Observations are one-hot, (n_places,) float32.

    :param n_places: its length; an episode begins at the left.
    """

    def __init__(self, n_places: int) -> None:
        super().__init__(2)
        self.observation_space = spaces.Box(0.0, 1.0, (n_places,), np.float32)
        self._places: NDArray[Any] = np.eye(n_places, dtype=np.float32)
        self._place = 0

    def first_state(self) -> Any:
        """Return the left end."""
        self._place = 0
        return self._places[0]

    def outcome(self, action: int) -> tuple[NDArray[Any], float, bool]:
        """Walk."""
        self._place = max(self._place + (1 if action else -1), 0)
        ends = self._place == len(self._places) - 1
        return self._places[self._place], float(ends), ends
