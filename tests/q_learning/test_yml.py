"""hyperparams/q_learning.yml solves its environments within a tutorial's number of episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
from rl_zoo3.utils import get_wrapper_class
from stable_baselines3.common.env_util import make_vec_env

from sb3_atari_course import QLearning, evaluate_games
from sb3_atari_course.course.toy_text import evaluate_exactly
from sb3_atari_course.hyperparams import load_hyperparams
from sb3_atari_course.zoo.experiment import CourseExperimentManager
from tests.course.test_toy_text import Policy
from tests.naive import value_iteration

Wrapper = Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]

#: Number of episodes in the tutorial cited in the yml file for each environment.
TUTORIAL_EPISODES = {
    "Taxi-v4": 2_000,
    "FrozenLake-v1": 10_000,
    "FrozenLake8x8-v1": 15_000,
    "CliffWalking-v1": 500,
    "CartPole-v1": 100_000,
    "MountainCar-v0": 5_000,
}


def train(env_id: str, seed: int, **env_kwargs: Any) -> tuple[QLearning, Wrapper | None]:
    """Train with the yml file like RL Zoo, and check the number of episodes."""
    hyperparams = dict(load_hyperparams("q_learning")[env_id])
    wrapper = get_wrapper_class(hyperparams)
    hyperparams.pop("env_wrapper", None)
    n_steps, n_envs = hyperparams.pop("n_timesteps"), hyperparams.pop("n_envs", 1)
    env_kwargs = {**hyperparams.pop("env_kwargs", {}), **env_kwargs}
    hyperparams = CourseExperimentManager._preprocess_schedules(hyperparams)
    envs = make_vec_env(env_id, n_envs, seed, env_kwargs=env_kwargs, wrapper_class=wrapper)
    model = QLearning(env=envs, seed=seed, **hyperparams)
    model.learn(n_steps)
    assert model._episode_num <= 2 * TUTORIAL_EPISODES[env_id]
    return model, wrapper


def test_every_environment_has_an_entry() -> None:
    assert list(load_hyperparams("q_learning")) == ["default", *TUTORIAL_EPISODES]


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]


@pytest.mark.parametrize("seed", SEEDS)
def test_taxi_is_solved_optimally_from_every_start(seed: int) -> None:
    model, _ = train("Taxi-v4", seed)
    report = evaluate_exactly(model, "Taxi-v4", penalty=-10)
    assert report.mean_return >= 7.92
    assert report.mean_penalties == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_cliff_walking_finds_the_shortest_path(seed: int) -> None:
    model, _ = train("CliffWalking-v1", seed)
    report = evaluate_exactly(model, "CliffWalking-v1", max_steps=200)
    assert (report.mean_return, report.mean_length) == (-13, 13)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "slippery", "best"),
    [
        ("FrozenLake-v1", True, 0.740),
        ("FrozenLake-v1", False, 1.0),
        ("FrozenLake8x8-v1", True, 0.863),
        ("FrozenLake8x8-v1", False, 1.0),
    ],
)
def test_frozen_lake_matches_value_iteration(env_id: str, slippery: bool, best: float) -> None:
    """The return is within 0.02 of value iteration's, both with the time limit."""
    model, _ = train(env_id, 1, is_slippery=slippery)
    env: Any = gym.make(env_id, is_slippery=slippery)
    policy = Policy(value_iteration(env.unwrapped.P, 0.99).argmax(axis=1))
    assert evaluate_exactly(policy, env).mean_return == pytest.approx(best, abs=0.001)
    assert evaluate_exactly(model, env).mean_return >= best - 0.02


@pytest.mark.slow
@pytest.mark.parametrize(("env_id", "threshold"), [("CartPole-v1", 475), ("MountainCar-v0", -120)])
def test_discretized_environments_are_solved(env_id: str, threshold: float) -> None:
    model, wrapper = train(env_id, 0)
    report = evaluate_games(model, env_id, n_games=50, seed=0, epsilon=0.0, env_wrapper=wrapper)
    assert report.mean >= threshold
