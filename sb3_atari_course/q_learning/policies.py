"""The Q-table with its greedy policy, and the numbers of its states."""

from __future__ import annotations

import math
from typing import Any

import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs

from sb3_atari_course._common.validation import finite_number

#: Most cells of a table: 1 GiB of values and as much of visits.
MAX_CELLS = 2**27


class QTablePolicy(BasePolicy):
    """A table of action values: what each action is worth in each state.

    The table is a buffer of the module, so that SB3 saves it as tensors, without pickle; it stays
    on the CPU, where numpy and torch share its memory. The policy is greedy; of several best
    actions it takes the one with the lowest number, so that it depends on the table only.

    :param observation_space: ``Discrete``, or ``MultiDiscrete``, which is ravelled.
    :param action_space: ``Discrete``.
    :param initial_value: of every cell before learning; above all true values it makes the agent
        try everything (optimistic start; Sutton and Barto 2018, section 2.6).
    :raises ValueError: for spaces that no table can hold, for more than 2**27 cells.
    """

    #: Both of shape (n_states, n_actions): float64 and int64.
    values: th.Tensor
    visits: th.Tensor

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        initial_value: float = 0.0,
    ) -> None:
        super().__init__(observation_space, action_space)
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(
                f"a table needs Discrete actions, got {action_space}: for a Box put"
                " sb3_atari_course.wrappers.DiscretizeActions around the environment (in a yml:"
                " env_wrapper), number others with gymnasium.wrappers.TransformAction"
            )
        self.states = StateNumbering(observation_space)
        self.initial_value = finite_number("initial_value", initial_value)
        self.n_actions, self.first_action = int(action_space.n), int(action_space.start)
        shape = (self.states.n_states, self.n_actions)
        if shape[0] * shape[1] > MAX_CELLS:
            raise ValueError(
                f"a table for {observation_space} and {action_space} has {shape[0] * shape[1]}"
                f" cells, more than {MAX_CELLS}: choose fewer bins, or DQN"
            )
        self.register_buffer("values", th.full(shape, initial_value, dtype=th.float64))
        self.register_buffer("visits", th.zeros(shape, dtype=th.int64))

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        """Return the best action of each observation, (n,) int64, ``deterministic`` or not."""
        assert isinstance(observation, th.Tensor)
        states = self.states(observation.numpy())
        return th.from_numpy(self.first_action + self.values.numpy()[states].argmax(axis=1))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "initial_value": self.initial_value,
        }


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
                f"a table needs Discrete or MultiDiscrete observations, got {space}: for a Box of"
                " one dimension put sb3_atari_course.wrappers.DiscretizeObservations around the"
                " environment (in a yml: env_wrapper), number others with"
                " gymnasium.wrappers.TransformObservation, and for images use DQN"
            )
        self.space, self.n_states = space, math.prod(self._sizes)

    def __call__(self, observations: NDArray[Any]) -> list[int]:
        """Return the state number of each observation.

        :param observations: integers, shape (n, *shape of the space).
        :raises ValueError: if one is not an integer or lies outside the space.
        """
        if observations.dtype.kind not in "iu":
            raise ValueError(f"observations of {self.space} are integers, got {observations!r}")
        starts, sizes = self._starts, self._sizes
        states = []
        if observations.ndim == 1:  # Discrete
            for component in observations.tolist():
                state = component - starts[0]
                if not 0 <= state < sizes[0]:
                    raise ValueError(f"state {component} lies outside {self.space}")
                states.append(state)
            return states
        for components in observations.reshape(len(observations), len(sizes)).tolist():
            state = 0
            for component, start, size in zip(components, starts, sizes, strict=True):
                index = component - start
                if not 0 <= index < size:
                    raise ValueError(f"state {components} lies outside {self.space}")
                state = state * size + index
            states.append(state)
        return states
