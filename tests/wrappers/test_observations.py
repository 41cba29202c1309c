"""What a table sees of continuous observations."""

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
from sb3_atari_course.wrappers import DiscretizeActions, DiscretizeObservations

CARTPOLE = {"low": [-2.4, -3.0, -0.21, -3.0], "high": [2.4, 3.0, 0.21, 3.0]}


def test_bins_of_equal_width_by_hand() -> None:
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


def test_against_gymnasiums_wrapper_where_the_space_is_bounded() -> None:
    ours = DiscretizeObservations(gym.make("MountainCar-v0"), n_bins=[18, 14])
    theirs = DiscretizeObservation(gym.make("MountainCar-v0"), (18, 14), multidiscrete=True)
    rng = np.random.default_rng(0)
    low, high = ours.env.observation_space.low, ours.env.observation_space.high  # type: ignore[attr-defined]
    for _ in range(500):
        observation = rng.uniform(low, high).astype(np.float32)
        np.testing.assert_array_equal(
            ours.observation(observation), theirs.observation(observation)
        )


def test_unbounded_velocities_get_bounds() -> None:
    env = DiscretizeObservations(gym.make("CartPole-v1"), n_bins=6, **CARTPOLE)
    check_env(env, warn=False)
    obs, _ = env.reset(seed=0)
    assert obs.tolist() == [3, 2, 2, 2]  # 0.014, -0.023, -0.046, -0.048
    assert env.observation(np.array([0.1, -9, 0.1, 9])).tolist() == [3, 0, 4, 5]


def test_one_bin_ignores_a_component() -> None:
    env = DiscretizeObservations(gym.make("CartPole-v1"), n_bins=[1, 1, 6, 12], **CARTPOLE)
    for x in (-3.0, 0.0, 3.0):
        assert env.observation(np.array([x, x, 0.0, 0.0])).tolist() == [0, 0, 3, 6]


def test_bins_may_be_an_array() -> None:
    env = DiscretizeObservations(gym.make("MountainCar-v0"), n_bins=np.array([3, 4]))  # type: ignore[arg-type]
    assert env.observation_space == spaces.MultiDiscrete([3, 4])


def test_it_can_be_made_again_from_its_spec() -> None:
    env = DiscretizeObservations(gym.make("CartPole-v1"), n_bins=6, **CARTPOLE)
    assert env.spec is not None
    again = gym.make(env.spec)
    assert again.observation_space == env.observation_space


def test_what_is_not_a_number_is_refused() -> None:
    env = DiscretizeObservations(gym.make("MountainCar-v0"), n_bins=4)
    with pytest.raises(ValueError, match="which is not a number"):
        env.observation(np.array([np.nan, 0.0]))


@pytest.mark.parametrize(
    ("env_id", "kwargs", "error", "message"),
    [
        ("Taxi-v4", {"n_bins": 4}, TypeError, "needs a Box of observations, got Discrete"),
        ("BreakoutNoFrameskip-v4", {"n_bins": 4}, ValueError, r"of shape \(d,\), got Box"),
        ("CartPole-v1", {"n_bins": 4}, ValueError, "low must be finite.*give bounds"),
        ("MountainCar-v0", {"n_bins": 0}, ValueError, "n_bins must be at least 1, got 0"),
        ("MountainCar-v0", {"n_bins": [3, 0]}, ValueError, "n_bins must be at least 1, got 0"),
        ("MountainCar-v0", {"n_bins": 2.5}, TypeError, "n_bins must be an integer.*got 2.5"),
        ("MountainCar-v0", {"n_bins": [3]}, ValueError, r"one for each of 2 components, got \[3\]"),
        ("MountainCar-v0", {"n_bins": 3, "low": [0]}, ValueError, "low has one bound for each"),
        ("MountainCar-v0", {"n_bins": 3, "low": [9, 9]}, ValueError, "low must be below high"),
        (
            "MountainCar-v0",
            {"n_bins": 3, "low": [0, 0], "high": [1, 0]},
            ValueError,
            "must be below",
        ),
        ("MountainCar-v0", {"n_bins": 3, "high": [1, np.inf]}, ValueError, "high must be finite"),
    ],
)
def test_arguments_that_make_no_bins(
    env_id: str, kwargs: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DiscretizeObservations(gym.make(env_id), **kwargs)


def test_a_spec_with_bounds_of_numpy_goes_to_json() -> None:
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


def test_numbers_of_numpy_go_to_json_with_any_wrapper() -> None:
    four, crop = np.int64(4), (np.int32(30), 195, 5, 155)
    env = wrap_atari(
        make_game("BreakoutNoFrameskip-v4"), frame_skip=four, noop_max=four, n_stack=four, crop=crop
    )
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert (
        again.observation_space
        == env.observation_space
        == spaces.Box(0, 255, (84, 84, 4), np.uint8)
    )
    env.close()
    again.close()
    cart = DiscretizeActions(gym.make("Pendulum-v1"), n_bins=np.int16(5))  # type: ignore[arg-type]
    assert cart.spec is not None
    assert gym.make(EnvSpec.from_json(cart.spec.to_json())).action_space == spaces.Discrete(5)
