"""What the agent may do."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TransformAction

from sb3_atari_course.wrappers import DiscretizeActions


class Echo(gym.Env[Any, Any]):
    """Returns the action it got in ``info``."""

    observation_space = spaces.Discrete(1)

    def __init__(self, action_space: spaces.Space[Any]) -> None:
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        return 0, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return 0, 0.0, False, False, {"action": action}


def test_pendulum_gets_evenly_spaced_torques() -> None:
    env = DiscretizeActions(gym.make("Pendulum-v1"), n_bins=11)
    assert env.action_space == spaces.Discrete(11)
    np.testing.assert_allclose(
        env.values[:, 0], [-2, -1.6, -1.2, -0.8, -0.4, 0, 0.4, 0.8, 1.2, 1.6, 2], atol=1e-6
    )
    env.reset(seed=0)
    assert env.step(10)[1] != env.step(0)[1]


def test_every_combination_of_several_dimensions_is_an_action() -> None:
    space = spaces.Box(np.float32([0.0, -1.0]), np.float32([1.0, 1.0]))
    env = DiscretizeActions(Echo(space), n_bins=3)
    expected = [[a, b] for a in (0.0, 0.5, 1.0) for b in (-1.0, 0.0, 1.0)]
    assert env.action_space == spaces.Discrete(9)
    for action, value in enumerate(expected):
        got = env.step(action)[-1]["action"]
        assert got.tolist() == value
        assert got.dtype == np.float32
        assert got in space


def test_the_shape_of_the_action_is_kept() -> None:
    env = DiscretizeActions(Echo(spaces.Box(-1, 1, (1, 2), np.float32)), n_bins=2)
    assert env.step(3)[-1]["action"].tolist() == [[1.0, 1.0]]


def test_a_changed_action_does_not_change_the_table() -> None:
    env = DiscretizeActions(Echo(spaces.Box(-1, 1, (1,), np.float32)), n_bins=2)
    env.step(0)[-1]["action"][:] = 9
    assert env.step(0)[-1]["action"].tolist() == [-1.0]


@pytest.mark.parametrize(
    "space",
    [spaces.Dict({"x": spaces.Box(-1, 1)}), spaces.Tuple([spaces.Discrete(2)]), spaces.Discrete(3)],
)
def test_only_box_actions_can_be_binned(space: spaces.Space[Any]) -> None:
    with pytest.raises(TypeError, match=r"needs a Box action space, got (Dict|Tuple|Discrete)"):
        DiscretizeActions(Echo(space), n_bins=3)


def test_infinite_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"needs finite bounds, got Box.*RescaleAction"):
        DiscretizeActions(Echo(spaces.Box(-np.inf, 1, (1,), np.float32)), n_bins=3)


@pytest.mark.parametrize(("n_bins", "error"), [(1, ValueError), (0, ValueError), (2.0, TypeError)])
def test_a_wrong_number_of_bins_is_named(n_bins: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"n_bins must be .* got {n_bins!r}"):
        DiscretizeActions(gym.make("Pendulum-v1"), n_bins=n_bins)


def test_too_many_actions_are_refused() -> None:
    space = spaces.Box(-1, 1, (17,), np.float32)
    with pytest.raises(ValueError, match=r"n_bins=11 for each of 17 dimensions makes \d+ actions"):
        DiscretizeActions(Echo(space), n_bins=11)


def test_it_stands_around_other_action_wrappers() -> None:
    inner = TransformAction(gym.make("Pendulum-v1"), lambda a: a, spaces.Box(-1, 1, (1,)))
    assert DiscretizeActions(inner, n_bins=3).values.ravel().tolist() == [-1.0, 0.0, 1.0]
