"""Q-table with a greedy policy, and the indexing of its states."""

from __future__ import annotations

import math
from typing import Any

import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs

from sb3_atari_course._common.validation import finite_number

#: Maximum number of cells: 1 GiB of values and 1 GiB of visit counts.
MAX_CELLS = 2**27


class QTablePolicy(BasePolicy):
    """Q-table policy: greedy with respect to a table of action values.

    The Q-table is a buffer of the module, so SB3 saves it as tensors without pickle. It stays on
    the CPU, where NumPy and PyTorch share its memory. Ties are broken in favor of the lowest
    action, so predictions depend on the Q-table only.

    :param observation_space: ``Discrete``, or ``MultiDiscrete``, which is ravelled in C order.
    :param action_space: ``Discrete``.
    :param initial_value: initial Q-value of every cell; a value above all true ones encourages
        exploration (optimistic initial values; Sutton and Barto 2018, section 2.6).
    :raises ValueError: for other spaces, and for more than 2**27 cells.
    """

    #: Q-values, (n_states, n_actions) float64.
    values: th.Tensor
    #: Number of updates of each cell, (n_states, n_actions) int64.
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
                f"QTablePolicy needs Discrete actions, got {action_space}: for a Box wrap the"
                " environment in sb3_atari_course.wrappers.DiscretizeActions (in a yml:"
                " env_wrapper), for others use gymnasium.wrappers.TransformAction"
            )
        self.states = StateNumbering(observation_space)
        self.initial_value = finite_number("initial_value", initial_value)
        self.n_actions, self.first_action = int(action_space.n), int(action_space.start)
        shape = (self.states.n_states, self.n_actions)
        if shape[0] * shape[1] > MAX_CELLS:
            raise ValueError(
                f"the Q-table for {observation_space} and {action_space} has {shape[0] * shape[1]}"
                f" cells, more than {MAX_CELLS}: use fewer bins, or DQN"
            )
        self.register_buffer("values", th.full(shape, initial_value, dtype=th.float64))
        self.register_buffer("visits", th.zeros(shape, dtype=th.int64))

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        """Return the greedy action of each observation, (n,) int64."""
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
    """Mapping from the observations of a finite space to state indices from 0.

    A ``Discrete`` observation counts from its ``start``; a ``MultiDiscrete`` one is ravelled in C
    order (the last component fastest), as :func:`numpy.ravel_multi_index` does.

    :param space: the observation space, ``Discrete`` or ``MultiDiscrete``.
    :raises ValueError: for another space.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        if isinstance(space, spaces.Discrete):
            self._starts, self._sizes = [int(space.start)], [int(space.n)]
        elif isinstance(space, spaces.MultiDiscrete):
            self._starts, self._sizes = space.start.ravel().tolist(), space.nvec.ravel().tolist()
        else:
            raise ValueError(
                f"QTablePolicy needs Discrete or MultiDiscrete observations, got {space}: for a"
                " one-dimensional Box wrap the environment in"
                " sb3_atari_course.wrappers.DiscretizeObservations (in a yml: env_wrapper), for"
                " others use gymnasium.wrappers.TransformObservation, for images use DQN"
            )
        self.space, self.n_states = space, math.prod(self._sizes)

    def __call__(self, observations: NDArray[Any]) -> list[int]:
        """Return the state index of each observation.

        :param observations: integers, shape ``(n, *space.shape)``.
        :return: n state indices, 0 to ``n_states - 1``.
        :raises ValueError: if one is not an integer or lies outside the space.
        """
        if observations.dtype.kind not in "iu":
            raise ValueError(f"observations of {self.space} must be integers, got {observations!r}")
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
