"""What the agent may do: a few chosen values of a continuous action, for DQN and tables."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_atari_course._common.validation import (
    RecordConstructorArgs,
    explain_arguments,
    integer_at_least,
)

#: More would be no use to a table or a Q-network.
_MAX_ACTIONS = 10_000


class DiscretizeActions(gym.ActionWrapper[Any, np.int64, NDArray[Any]], RecordConstructorArgs):
    """Offers ``n_bins`` evenly spaced values of each continuous action, its bounds among them.

    Action ``i`` of the ``n_bins ** d`` discrete ones stands for row ``i`` of ``values``; the last
    dimension turns fastest.

    :param env: an environment whose actions are a bounded Box with d numbers.
    :param n_bins: values per dimension, at least 2.
    :raises TypeError: if the actions are no Box (a Dict, say, or already discrete).
    :raises ValueError: if a bound is infinite, if ``n_bins`` is below 2, if there would be more
        than 10,000 actions.

    >>> env = DiscretizeActions(gym.make("Pendulum-v1"), n_bins=5)
    >>> env.action_space, env.values.ravel().tolist()
    (Discrete(5), [-2.0, -1.0, 0.0, 1.0, 2.0])
    """

    @explain_arguments
    def __init__(self, env: gym.Env[Any, NDArray[Any]], *, n_bins: int) -> None:
        RecordConstructorArgs.__init__(self, n_bins=n_bins)
        super().__init__(env)
        self.n_bins = integer_at_least(2, "n_bins", n_bins)
        space = env.action_space
        if not isinstance(space, spaces.Box):
            raise TypeError(
                f"DiscretizeActions needs a Box action space, got {space}:"
                " discrete actions need no bins, and Dict or Tuple actions must be flattened"
                " first (gymnasium.spaces.flatten_space)"
            )
        if not space.is_bounded():
            raise ValueError(
                f"DiscretizeActions needs finite bounds, got {space}: put"
                " gymnasium.wrappers.RescaleAction or ClipAction with bounds inside"
            )
        n_actions = self.n_bins**space.low.size
        if n_actions > _MAX_ACTIONS:
            raise ValueError(
                f"n_bins={self.n_bins} for each of {space.low.size} dimensions makes"
                f" {n_actions} actions, more than {_MAX_ACTIONS}: choose fewer bins, or an"
                " algorithm for continuous actions (SAC, PPO)"
            )
        axes = np.linspace(space.low.ravel(), space.high.ravel(), self.n_bins, axis=-1)
        grid = np.meshgrid(*axes, indexing="ij")
        #: (n_bins ** d, *shape of the continuous action)
        self.values = np.stack(grid, axis=-1).reshape(-1, *space.shape).astype(space.dtype)
        self.action_space = spaces.Discrete(len(self.values))

    def action(self, action: np.int64 | int) -> NDArray[Any]:
        """Return the continuous action of one discrete ``action``."""
        value: NDArray[Any] = self.values[action].copy()
        return value
