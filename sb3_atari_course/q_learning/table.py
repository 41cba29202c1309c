"""The Q-table: state numbers, epsilon-greedy actions, the update of its cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

#: Learning rate of a cell by its number of visits, at one moment of the training.
Rate = Callable[[int], float]


class QTable:
    """What each action is worth in each state, and how often it was tried there.

    The loops are plain Python: for a handful of environments and actions that is several times
    faster than numpy.

    :param values: (n_states, n_actions) float64; changed in place.
    :param visits: (n_states, n_actions) int64; changed in place.
    """

    def __init__(self, values: NDArray[np.float64], visits: NDArray[np.int64]) -> None:
        self.values = values
        self.visits = visits

    def choose(self, states: Sequence[int], epsilon: float, rng: np.random.Generator) -> list[int]:
        """Return for each state a random action with probability ``epsilon``, else a best one.

        Ties are broken at random, all best actions alike. Each state draws one random number, and
        a second one if its action is random or tied.
        """
        values, random = self.values, rng.random
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

    def update(
        self,
        states: Sequence[int],
        actions: Sequence[int],
        rewards: Sequence[float],
        next_states: Sequence[int | None],
        gamma: float,
        rate: Rate,
    ) -> float:
        """Learn from one step of each environment, one after the other.

        :param next_states: where the steps led to; None after a terminal state: nothing follows.
        :param gamma: discount of what follows, 0 to 1.
        :param rate: learning rate by the visits of the cell, this one included.
        :return: the sum of the absolute TD errors, target minus old value.
        """
        values, visits = self.values, self.visits
        sum_error = 0.0
        for i, state in enumerate(states):
            action, next_state, target = actions[i], next_states[i], rewards[i]
            if next_state is not None:
                target += gamma * max(values[next_state].tolist())
            visit = visits.item(state, action) + 1
            value = values.item(state, action)
            error = target - value
            visits[state, action] = visit
            values[state, action] = value + error * rate(visit)
            sum_error += abs(error)
        return sum_error


class StateNumbering:
    """Numbers the observations of a finite space from 0.

    A ``Discrete`` observation counts from its ``start``; a ``MultiDiscrete`` one is ravelled in C
    order (the last component fastest), as :func:`numpy.ravel_multi_index` does.

    :param space: the observation space.
    :raises ValueError: for a space that is not finite in this sense, with what to do about it.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        if isinstance(space, spaces.Discrete):
            self._starts, self._sizes = [int(space.start)], [int(space.n)]
        elif isinstance(space, spaces.MultiDiscrete):
            self._starts, self._sizes = space.start.ravel().tolist(), space.nvec.ravel().tolist()
        else:
            raise ValueError(
                f"a table needs Discrete or MultiDiscrete observations, got {space}:"
                f" {_advice(space)}"
            )
        self.space, self.is_discrete = space, isinstance(space, spaces.Discrete)
        self.n_states = math.prod(self._sizes)

    def __call__(self, observations: NDArray[Any]) -> list[int]:
        """Return the state number of each observation.

        :param observations: integers, shape (n, *shape of the space).
        :raises ValueError: if one is no integer or lies outside the space.
        """
        if observations.dtype.kind not in "iu":
            raise ValueError(f"observations of {self.space} are integers, got {observations!r}")
        if not self.is_discrete:
            rows = observations.reshape(len(observations), len(self._sizes)).tolist()
            return [self._ravel(components) for components in rows]
        start, n_states = self._starts[0], self.n_states
        states = []
        for observation in observations.tolist():
            state = observation - start
            if not 0 <= state < n_states:
                raise ValueError(f"state {observation} lies outside {self.space}")
            states.append(state)
        return states

    def _ravel(self, components: list[int]) -> int:
        state = 0
        for component, start, size in zip(components, self._starts, self._sizes, strict=True):
            index = component - start
            if not 0 <= index < size:
                raise ValueError(f"state {components} lies outside {self.space}")
            state = state * size + index
        return state


def _advice(space: spaces.Space[Any]) -> str:
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return (
            "put sb3_atari_course.wrappers.DiscretizeObservations around the environment (in a yml:"
            " env_wrapper)"
        )
    if isinstance(space, spaces.Box):
        return "no table has a row for each image; use DQN"
    return "number its observations with gymnasium.wrappers.TransformObservation"
