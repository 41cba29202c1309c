"""What a table sees: the bin of each component of a continuous observation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from sb3_atari_course._common.validation import (
    RecordConstructorArgs,
    explain_arguments,
    integer_at_least,
)


class DiscretizeObservations(
    gym.ObservationWrapper[NDArray[np.int64], Any, NDArray[Any]], RecordConstructorArgs
):
    """Cut each component of a continuous observation into bins of equal width.

    What lies outside the bounds belongs to the first or last bin. Gymnasium's
    ``DiscretizeObservation`` makes the same bins where the space is bounded, in three times the
    time; here bounds may be given, which velocities without limits (CartPole) need.

    :param env: with a one-dimensional ``Box`` of observations, shape (d,).
    :param n_bins: number of bins, at least 1, for all components or for each of them; with 1 a
        component is ignored.
    :param low: lower bounds (d,), in the units of the observation; default: those of the space.
    :param high: upper bounds (d,).
    :raises TypeError: if the observations are no ``Box``.
    :raises ValueError: for another shape, for bounds that are missing, infinite or in the wrong
        order; while playing, for an observation that is not a number.

    >>> env = DiscretizeObservations(gym.make("MountainCar-v0"), n_bins=[18, 14])
    >>> env.observation_space, env.observation(np.array([-0.5, 0.0])).tolist()
    (MultiDiscrete([18 14]), [7, 7])
    """

    @explain_arguments
    def __init__(
        self,
        env: gym.Env[NDArray[Any], Any],
        *,
        n_bins: int | Sequence[int],
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
    ) -> None:
        RecordConstructorArgs.__init__(self, n_bins=n_bins, low=low, high=high)
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, spaces.Box):
            raise TypeError(
                f"DiscretizeObservations needs a Box of observations, got {space}: discrete ones"
                " need no bins, and Dict or Tuple ones must be flattened first"
                " (gymnasium.wrappers.FlattenObservation)"
            )
        if len(space.shape) != 1:
            raise ValueError(
                f"DiscretizeObservations needs observations of shape (d,), got {space}: flatten"
                " them first (gymnasium.wrappers.FlattenObservation); images have far too many"
                " components for bins"
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
                f"n_bins is one number or one for each of {n_components} components, got {n_bins!r}"
            )
        self.n_bins = np.array([integer_at_least(1, "n_bins", number) for number in numbers])
        self.observation_space = spaces.MultiDiscrete(self.n_bins)
        self._bins_per_unit = self.n_bins / (self.high - self.low)

    def observation(self, observation: NDArray[Any]) -> NDArray[np.int64]:
        """Return the bin of each component, shape (d,), 0 to ``n_bins - 1``."""
        position = (observation - self.low) * self._bins_per_unit
        if np.isnan(position).any():
            raise ValueError(f"the environment returned {observation}, which is not a number")
        bins: NDArray[np.int64] = np.clip(position, 0, self.n_bins - 1).astype(np.int64)
        return bins


def _bounds(values: ArrayLike, name: str, n_components: int) -> NDArray[np.float64]:
    """Return finite bounds, one for each component."""
    bounds = np.asarray(values, dtype=np.float64)
    if bounds.shape != (n_components,):
        raise ValueError(
            f"{name} has one bound for each of {n_components} components, got {values!r}"
        )
    if not np.isfinite(bounds).all():
        raise ValueError(
            f"{name} must be finite, got {bounds.tolist()}: give bounds within which the agent"
            " mostly is, e.g. low=[-2.4, -3, -0.21, -3] for CartPole"
        )
    return bounds
