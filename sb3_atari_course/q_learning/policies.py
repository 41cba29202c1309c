"""The table of action values, and the greedy policy that it means."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs

from sb3_atari_course._common.validation import finite_number
from sb3_atari_course.q_learning.table import QTable, StateNumbering

#: Most cells of a table: 1 GiB of values and as much of visits.
MAX_CELLS = 2**27


class TableShapeError(ValueError, RuntimeError):
    """A saved table that does not fit (a RuntimeError too, as torch raises for a state dict)."""


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

    #: The names of the tensors in a saved file: (n_states, n_actions) float64 and int64.
    TENSORS: ClassVar = ("values", "visits")
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
                f"a table needs Discrete actions, got {action_space}: "
                + (
                    "put sb3_atari_course.wrappers.DiscretizeActions around the environment (in a"
                    " yml: env_wrapper)"
                    if isinstance(action_space, spaces.Box)
                    else "number them with gymnasium.wrappers.TransformAction"
                )
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

    def table(self) -> QTable:
        """Return the table itself, not a copy, as numpy sees it."""
        return QTable(self.values.numpy(), self.visits.numpy())

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Return the best action of each observation, ``deterministic`` or not.

        :param observation: one observation, or (n_envs, *shape of the space).
        :param state: of a recurrent policy; returned as it is.
        :return: actions, an array of shape () or (n_envs,) int64, and ``state``.
        :raises ValueError: for an observation outside the space.
        """
        batch, is_batch = self.to_batch(observation)
        actions = self.first_action + self.values.numpy()[self.states(batch)].argmax(axis=1)
        return (actions if is_batch else actions.squeeze(axis=0)), state

    def to_batch(self, observation: Any) -> tuple[NDArray[Any], bool]:
        """Return one or many observations as many, and whether they were many."""
        if isinstance(observation, tuple) and isinstance(observation[-1], dict):
            raise ValueError(f"{observation!r} is a pair: of env.reset() pass the first part")
        array, shape = np.asarray(observation), self.observation_space.shape
        if array.shape == shape:
            return array[None], False
        if array.shape[1:] == shape and array.ndim:
            return array, True
        raise ValueError(
            f"observations of {self.observation_space} have the shape {shape}, or (n, ...) for"
            f" many, got {observation!r}"
        )

    def forward(self, observation: th.Tensor) -> th.Tensor:
        """Return the best action of each observation, (n,) int64."""
        return self._predict(observation)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        assert isinstance(observation, th.Tensor)
        return th.as_tensor(self.predict(observation.numpy())[0])

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Take over a saved table.

        :raises TableShapeError: if it has another shape; nothing was changed then.
        """
        wanted = tuple(self.values.shape)
        for name in self.TENSORS:
            found = tuple(state_dict[name].shape) if name in state_dict else wanted
            if found != wanted:
                raise TableShapeError(
                    f"the saved table ({name}) has the shape {found}, (states, actions), but this"
                    f" one {wanted}: it was trained on another environment"
                )
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "initial_value": self.initial_value,
        }
