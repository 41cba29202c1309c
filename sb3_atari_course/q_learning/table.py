"""The table as numpy sees it: epsilon-greedy actions, and the update of its cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


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
        rate: float | None,
    ) -> float:
        """Learn from one step of each environment, one after the other.

        :param next_states: where the steps led to; None after a terminal state: nothing follows.
        :param gamma: discount of what follows, 0 to 1.
        :param rate: part of the way, in (0, 1]; None: 1 / (visits of the cell, this one included).
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
            values[state, action] = value + error * (1.0 / visit if rate is None else rate)
            sum_error += abs(error)
        return sum_error
