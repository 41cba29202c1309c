"""Which row of the table an observation is: states numbered from 0."""

from __future__ import annotations

import math
from typing import Any

from gymnasium import spaces
from numpy.typing import NDArray


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
