"""Tests of discretization and reward clipping."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import DiscretizeObservation
from stable_baselines3.common.env_checker import check_env

from sb3_atari_course.envs import make_game, wrap_atari
from sb3_atari_course.wrappers import ClipReward, DiscretizeActions, DiscretizeObservations
from tests.fakes import FakeGame

CARTPOLE = {"low": [-2.4, -3.0, -0.21, -3.0], "high": [2.4, 3.0, 0.21, 3.0]}


class Echo(gym.Env[Any, Any]):
    """Environment that returns its action in ``info``."""

    observation_space = spaces.Discrete(1)

    def __init__(self, action_space: spaces.Space[Any]) -> None:
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        return 0, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return 0, 0.0, False, False, {"action": action}


def test_discrete_actions_are_evenly_spaced() -> None:
    env = DiscretizeActions(gym.make("Pendulum-v1"), n_bins=11)
    assert env.action_space == spaces.Discrete(11)
    np.testing.assert_allclose(
        env.values[:, 0], [-2, -1.6, -1.2, -0.8, -0.4, 0, 0.4, 0.8, 1.2, 1.6, 2], atol=1e-6
    )
    env.reset(seed=0)
    assert env.step(10)[1] != env.step(0)[1]


def test_discrete_actions_cover_the_grid_of_all_dimensions() -> None:
    space = spaces.Box(np.float32([0.0, -1.0]), np.float32([1.0, 1.0]))
    env = DiscretizeActions(Echo(space), n_bins=3)
    expected = [[a, b] for a in (0.0, 0.5, 1.0) for b in (-1.0, 0.0, 1.0)]
    assert env.action_space == spaces.Discrete(9)
    for action, value in enumerate(expected):
        got = env.step(action)[-1]["action"]
        assert got.tolist() == value
        assert got.dtype == np.float32
        assert got in space


def test_discrete_actions_keep_the_action_shape() -> None:
    env = DiscretizeActions(Echo(spaces.Box(-1, 1, (1, 2), np.float32)), n_bins=2)
    assert env.step(3)[-1]["action"].tolist() == [[1.0, 1.0]]


def test_changing_a_returned_action_does_not_change_later_ones() -> None:
    env = DiscretizeActions(Echo(spaces.Box(-1, 1, (1,), np.float32)), n_bins=2)
    env.step(0)[-1]["action"][:] = 9
    assert env.step(0)[-1]["action"].tolist() == [-1.0]


@pytest.mark.parametrize(
    ("space", "n_bins", "error", "named"),
    [
        (spaces.Dict({"x": spaces.Box(-1, 1)}), 3, TypeError, "Dict"),
        (spaces.Discrete(3), 3, TypeError, "Discrete"),
        (spaces.Box(-np.inf, 1, (1,), np.float32), 3, ValueError, "-inf"),
        (spaces.Box(-1, 1, (17,), np.float32), 11, ValueError, "17 dimensions"),
        (spaces.Box(-1, 1), 1, ValueError, "n_bins .* 1"),
        (spaces.Box(-1, 1), 2.0, TypeError, r"n_bins .* 2\.0"),
    ],
)
def test_rejects_action_spaces_that_cannot_be_discretized(
    space: spaces.Space[Any], n_bins: Any, error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        DiscretizeActions(Echo(space), n_bins=n_bins)


def test_bins_have_equal_width() -> None:
    env = DiscretizeObservations(
        gym.make("MountainCar-v0"), n_bins=[4, 2], low=[0.0, -1.0], high=[8.0, 1.0]
    )
    assert env.observation_space == spaces.MultiDiscrete([4, 2])
    expected = {
        (0.0, -1.0): [0, 0],
        (1.99, -0.01): [0, 0],
        (2.0, 0.0): [1, 1],
        (7.99, 0.99): [3, 1],
        (8.0, 1.0): [3, 1],  # the upper bound belongs to the last bin
        (-5.0, -np.inf): [0, 0],
        (1e9, np.inf): [3, 1],
    }
    for observation, bins in expected.items():
        assert env.observation(np.array(observation)).tolist() == bins


def test_bins_equal_gymnasiums_for_a_bounded_space() -> None:
    ours = DiscretizeObservations(gym.make("MountainCar-v0"), n_bins=[18, 14])
    theirs = DiscretizeObservation(gym.make("MountainCar-v0"), (18, 14), multidiscrete=True)
    rng = np.random.default_rng(0)
    low, high = ours.env.observation_space.low, ours.env.observation_space.high  # type: ignore[attr-defined]
    for _ in range(500):
        observation = rng.uniform(low, high).astype(np.float32)
        np.testing.assert_array_equal(
            ours.observation(observation), theirs.observation(observation)
        )


def test_bounds_can_be_set_for_unbounded_components() -> None:
    env = DiscretizeObservations(gym.make("CartPole-v1"), n_bins=6, **CARTPOLE)
    check_env(env, warn=False)
    obs, _ = env.reset(seed=0)
    assert obs.tolist() == [3, 2, 2, 2]  # 0.014, -0.023, -0.046, -0.048
    assert env.observation(np.array([0.1, -9, 0.1, 9])).tolist() == [3, 0, 4, 5]


def test_component_with_one_bin_is_ignored() -> None:
    env = DiscretizeObservations(gym.make("CartPole-v1"), n_bins=[1, 1, 6, 12], **CARTPOLE)
    for x in (-3.0, 0.0, 3.0):
        assert env.observation(np.array([x, x, 0.0, 0.0])).tolist() == [0, 0, 3, 6]


def test_rejects_nan_observations() -> None:
    env = DiscretizeObservations(gym.make("MountainCar-v0"), n_bins=4)
    with pytest.raises(ValueError, match="nan"):
        env.observation(np.array([np.nan, 0.0]))


@pytest.mark.parametrize(
    ("env_id", "kwargs", "error", "message"),
    [
        ("Taxi-v4", {"n_bins": 4}, TypeError, "Discrete"),
        ("BreakoutNoFrameskip-v4", {"n_bins": 4}, ValueError, r"\(210, 160, 3\)"),
        ("CartPole-v1", {"n_bins": 4}, ValueError, "low .*-inf"),
        ("MountainCar-v0", {"n_bins": [3, 0]}, ValueError, "n_bins .* 0"),
        ("MountainCar-v0", {"n_bins": 2.5}, TypeError, r"n_bins .* 2\.5"),
        ("MountainCar-v0", {"n_bins": [3]}, ValueError, r"\[3\]"),
        ("MountainCar-v0", {"n_bins": 3, "low": [0]}, ValueError, r"low .* \[0\]"),
        ("MountainCar-v0", {"n_bins": 3, "low": [0, 0], "high": [1, 0]}, ValueError, r"\[1.0, 0"),
    ],
)
def test_rejects_invalid_bins_and_bounds(
    env_id: str, kwargs: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DiscretizeObservations(gym.make(env_id), **kwargs)


def test_spec_with_numpy_bounds_can_be_written_as_json() -> None:
    env = DiscretizeObservations(
        gym.make("MountainCar-v0"),
        n_bins=np.array([3, 5]),  # type: ignore[arg-type]
        low=np.array([-1.0, -0.05], np.float32),
        high=(np.float64(0.5), 0.05),
    )
    assert env.spec is not None
    again: Any = gym.make(EnvSpec.from_json(env.spec.to_json()))
    for name in ("low", "high", "n_bins"):
        np.testing.assert_array_equal(getattr(again, name), getattr(env, name))
    assert again.observation_space == env.observation_space


def test_spec_with_numpy_arguments_of_any_wrapper_can_be_written_as_json() -> None:
    four, crop = np.int64(4), (np.int32(30), 195, 5, 155)
    game = make_game("BreakoutNoFrameskip-v4")
    settings: dict[str, Any] = {"frame_skip": four, "noop_max": four, "n_stack": four, "crop": crop}
    cart = DiscretizeActions(gym.make("Pendulum-v1"), n_bins=np.int16(5))  # type: ignore[arg-type]
    for env in (wrap_atari(game, **settings), cart):
        assert env.spec is not None
        again = gym.make(EnvSpec.from_json(env.spec.to_json()))
        assert again.observation_space == env.observation_space
        assert again.action_space == env.action_space


@pytest.mark.parametrize(
    ("reward", "sign"), [(7.0, 1.0), (0.5, 1.0), (0.0, 0.0), (-0.5, -1.0), (-400.0, -1.0)]
)
def test_reward_is_clipped_to_its_sign(reward: float, sign: float) -> None:
    env = ClipReward(FakeGame(step_reward=reward))
    env.reset()
    reward = env.step(0)[1]
    assert reward == sign
    assert type(reward) is float
