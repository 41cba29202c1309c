"""Discretization of action and observation spaces, and reward clipping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import ArrayLike, NDArray

from sb3_atari_course._common.validation import explain_arguments, integer_at_least

#: A Q-table or Q-network cannot learn usefully with more.
_MAX_ACTIONS = 10_000


class DiscretizeActions(gym.ActionWrapper[Any, np.int64, NDArray[Any]], RecordConstructorArgs):
    """Discrete actions for a continuous action space: evenly spaced values, bounds included.

    Discrete action ``i`` of the ``n_bins ** d`` stands for row ``i`` of ``values``; the last
    dimension varies fastest.

    :param env: environment with a bounded ``Box`` action space of d components.
    :param n_bins: values per component, at least 2.
    :raises TypeError: if the action space is not a ``Box``, if ``n_bins`` is not an integer.
    :raises ValueError: if a bound is infinite, if ``n_bins`` is below 2, if there would be more
        than 10,000 actions.

    >>> env = DiscretizeActions(gym.make("Pendulum-v1"), n_bins=5)
    >>> env.action_space, env.values.ravel().tolist()
    (Discrete(5), [-2.0, -1.0, 0.0, 1.0, 2.0])
    """

    checkpoint_fields = ()

    @explain_arguments
    def __init__(self, env: gym.Env[Any, NDArray[Any]], *, n_bins: int) -> None:
        super().__init__(env)
        self.n_bins = integer_at_least(2, "n_bins", n_bins)
        RecordConstructorArgs.__init__(self, n_bins=self.n_bins)
        space = env.action_space
        if not isinstance(space, spaces.Box):
            raise TypeError(
                f"DiscretizeActions needs a Box action space, got {space}: omit it for discrete"
                " actions; flatten Dict or Tuple actions first (gymnasium.spaces.flatten_space)"
            )
        if not space.is_bounded():
            raise ValueError(
                f"DiscretizeActions needs a bounded action space, got {space}: set bounds first"
                " (gymnasium.wrappers.TransformAction with a bounded action_space)"
            )
        n_actions = self.n_bins**space.low.size
        if n_actions > _MAX_ACTIONS:
            raise ValueError(
                f"n_bins={self.n_bins} in each of {space.low.size} dimensions gives {n_actions}"
                f" actions, more than {_MAX_ACTIONS}: use fewer bins, or an algorithm for"
                " continuous actions (SAC, PPO)"
            )
        axes = np.linspace(space.low.ravel(), space.high.ravel(), self.n_bins, axis=-1)
        grid = np.meshgrid(*axes, indexing="ij")
        #: Continuous action of each discrete one, shape ``(n_bins ** d, *env.action_space.shape)``.
        self.values = np.stack(grid, axis=-1).reshape(-1, *space.shape).astype(space.dtype)
        self.action_space = spaces.Discrete(len(self.values))

    def action(self, action: np.int64 | int) -> NDArray[Any]:
        """Return the continuous action that a discrete ``action`` stands for."""
        value: NDArray[Any] = self.values[action].copy()
        return value


class DiscretizeObservations(
    gym.ObservationWrapper[NDArray[np.int64], Any, NDArray[Any]], RecordConstructorArgs
):
    """Discretize a continuous observation into bins of equal width, component by component.

    Values outside the bounds fall into the first or last bin. Gymnasium's
    ``DiscretizeObservation`` gives the same bins for a bounded space and takes three times as long;
    here the bounds can be set, which unbounded velocities (CartPole) need.

    :param env: environment with a one-dimensional ``Box`` observation space, shape (d,).
    :param n_bins: number of bins, at least 1, for all components or for each; a component with 1
        bin is ignored.
    :param low: lower bounds (d,) in the units of the observation; by default those of the space.
    :param high: upper bounds (d,), likewise.
    :raises TypeError: if the observation space is not a ``Box``, if ``n_bins`` is not an integer.
    :raises ValueError: for another shape, for bounds that are missing, infinite or in the wrong
        order; in ``reset`` and ``step`` for an observation that is NaN.

    >>> env = DiscretizeObservations(gym.make("MountainCar-v0"), n_bins=[18, 14])
    >>> env.observation_space, env.observation(np.array([-0.5, 0.0])).tolist()
    (MultiDiscrete([18 14]), [7, 7])
    """

    checkpoint_fields = ()

    @explain_arguments
    def __init__(
        self,
        env: gym.Env[NDArray[Any], Any],
        *,
        n_bins: int | Sequence[int],
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
    ) -> None:
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, spaces.Box):
            raise TypeError(
                f"DiscretizeObservations needs a Box observation space, got {space}: omit it for"
                " discrete observations; flatten Dict or Tuple ones first"
                " (gymnasium.wrappers.FlattenObservation)"
            )
        if len(space.shape) != 1:
            raise ValueError(
                f"DiscretizeObservations needs observations of shape (d,), got {space}: flatten"
                " them first (gymnasium.wrappers.FlattenObservation); images have too many"
                " components to discretize"
            )
        (n_components,) = space.shape
        self.low = _bounds(space.low if low is None else low, "low", n_components)
        self.high = _bounds(space.high if high is None else high, "high", n_components)
        if not (self.low < self.high).all():
            raise ValueError(
                f"low must be below high, got {self.low.tolist()} and {self.high.tolist()}"
            )
        numbers: list[Any] = list(n_bins) if np.ndim(n_bins) else [n_bins] * n_components  # type: ignore[arg-type]
        if len(numbers) != n_components:
            raise ValueError(
                f"n_bins must be one integer, or one for each of {n_components} components, got"
                f" {n_bins!r}"
            )
        self.n_bins = np.array([integer_at_least(1, "n_bins", number) for number in numbers])
        # lists, so that env.spec can be written as JSON
        RecordConstructorArgs.__init__(
            self, n_bins=self.n_bins.tolist(), low=self.low.tolist(), high=self.high.tolist()
        )
        self.observation_space = spaces.MultiDiscrete(self.n_bins)
        self._bins_per_unit = self.n_bins / (self.high - self.low)

    def observation(self, observation: NDArray[Any]) -> NDArray[np.int64]:
        """Return the bin of each component, shape (d,), 0 to ``n_bins - 1``."""
        position = (observation - self.low) * self._bins_per_unit
        if np.isnan(position).any():
            raise ValueError(f"the environment returned a NaN observation: {observation}")
        bins: NDArray[np.int64] = np.clip(position, 0, self.n_bins - 1).astype(np.int64)
        return bins


class ClipReward(gym.RewardWrapper[Any, Any], RecordConstructorArgs):
    """Reward clipping to the sign of the reward: -1.0, 0.0 or 1.0.

    Makes one learning rate suitable for all games (Mnih et al. 2015, Methods, "Training details":
    clipping to [-1, 1], which is the sign for integer scores). Mirrors SB3's ``ClipRewardEnv``. A
    Monitor inside this wrapper still records the unclipped return.

    :param env: any environment.
    """

    checkpoint_fields = ()

    @explain_arguments
    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def reward(self, reward: SupportsFloat) -> float:
        """Return the sign of the reward.

        >>> clip = ClipReward(gym.make("CartPole-v1"))
        >>> clip.reward(7.0), clip.reward(0.0), clip.reward(-4.0)
        (1.0, 0.0, -1.0)
        """
        value = float(reward)
        return float((value > 0) - (value < 0))  # ten times as fast as numpy's sign of a scalar


def _bounds(values: ArrayLike, name: str, n_components: int) -> NDArray[np.float64]:
    """Return the bounds as an array (n_components,), checked to be finite."""
    bounds = np.asarray(values, dtype=np.float64)
    if bounds.shape != (n_components,):
        raise ValueError(
            f"{name} must have one bound for each of {n_components} components, got {values!r}"
        )
    if not np.isfinite(bounds).all():
        raise ValueError(
            f"{name} must be finite, got {bounds.tolist()}: set the bounds to the range that the"
            " agent mostly visits, e.g. low=[-2.4, -3, -0.21, -3] for CartPole"
        )
    return bounds
