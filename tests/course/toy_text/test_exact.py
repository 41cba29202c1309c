"""What a policy is worth, computed; against hand-made numbers, a naive twin and played games."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

from sb3_atari_course import QLearning, evaluate_games
from sb3_atari_course.course.toy_text import evaluate_exactly
from tests.fakes import World, random_rules
from tests.naive import play_exactly, value_iteration


class Policy:
    """A model that plays the action of a list in each state."""

    def __init__(self, actions: Any, first_state: int = 0) -> None:
        self.actions, self.first_state = np.asarray(actions), first_state

    def predict(
        self, observation: NDArray[Any], *, deterministic: bool = False
    ) -> tuple[NDArray[Any], None]:
        assert deterministic
        return self.actions[observation - self.first_state], None


@pytest.mark.parametrize("seed", range(8))
def test_against_a_naive_twin_that_follows_every_branch(seed: int) -> None:
    rules = random_rules(seed, n_states=4)
    policy = np.random.default_rng(seed).integers(3, size=4)
    starts = [0.5, 0.0, 0.2, 0.3]
    world = World(rules, starts, first_state=7, first_action=2)
    report = evaluate_exactly(Policy(policy + 2, first_state=7), world, max_steps=6)
    expected = [play_exactly(rules, policy.tolist(), start, 6) for start in (0, 2, 3)]
    assert report.starts.tolist() == [7, 9, 10]
    np.testing.assert_allclose(report.returns, [mean for mean, _ in expected])
    np.testing.assert_allclose(report.lengths, [length for _, length in expected])
    means = np.array([0.5, 0.2, 0.3]) @ np.array(expected)
    assert (report.mean_return, report.mean_length) == pytest.approx(tuple(means))


def test_penalties_are_counted() -> None:
    rules = {
        0: {0: [(0.25, 0, -10.0, False), (0.75, 1, -11.0, False)]},
        1: {0: [(1.0, 1, -10.0, True)]},
    }
    report = evaluate_exactly(Policy([0, 0]), World(rules, [1, 0]), max_steps=500, penalty=-10)
    assert report.mean_penalties == pytest.approx(0.25 / 0.75 + 1)
    assert report.mean_length == pytest.approx(1 / 0.75 + 1)
    assert "1.333 penalties" in str(report)
    report = evaluate_exactly(Policy([0, 0]), World(rules, [1, 0]), max_steps=500)
    assert report.mean_penalties is None
    assert "penalties" not in str(report)


def test_the_optimum_of_taxi() -> None:
    rules: Any = gym.make("Taxi-v4").unwrapped.P  # type: ignore[attr-defined]
    best = Policy(value_iteration(rules, 0.99).argmax(axis=1))
    report = evaluate_exactly(best, "Taxi-v4", penalty=-10)
    assert len(report.starts) == 300
    assert report.mean_return == pytest.approx(7.93, abs=1e-9)
    assert (report.returns.min(), report.returns.max()) == (3, 15)
    assert report.mean_penalties == 0
    assert report.max_steps == 200
    assert str(report) == (
        "Taxi-v4: 7.930 a game, 13.07 steps, 0.000 penalties (exact, over 300 starts, at most 200"
        " steps)"
    )


def test_it_is_the_mean_of_played_games() -> None:
    """FrozenLake under a random policy, within its time limit of 100 steps."""
    policy = Policy(np.random.default_rng(3).integers(4, size=16))
    exact = evaluate_exactly(policy, "FrozenLake-v1")
    played = evaluate_games(
        policy, "FrozenLake-v1", n_games=1500, seed=0, epsilon=0.0, random_play=False
    )
    assert exact.mean_return == pytest.approx(played.mean, abs=0.03)
    assert exact.mean_length == pytest.approx(played.mean_length, rel=0.05)


def test_a_policy_that_never_ends_is_cut_off() -> None:
    upwards = Policy(np.zeros(48, int))  # into the wall of CliffWalking, for ever
    report = evaluate_exactly(upwards, "CliffWalking-v1", max_steps=50)
    assert (report.mean_return, report.mean_length) == (-50, 50)


def test_the_time_limit_of_the_id_is_the_default() -> None:
    stay = Policy(np.zeros(500, int))
    report = evaluate_exactly(stay, gym.make("Taxi-v4", max_episode_steps=7))
    assert report.mean_return == pytest.approx(-7)
    world = World({0: {0: [(1.0, 0, 1.0, True)]}})
    assert evaluate_exactly(Policy([0]), TimeLimit(world, 5)).max_steps == 108_000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "CartPole-v1", "CartPole-v1 publishes no transition table"),
        (lambda: gym.make("Taxi-v4", fickle_passenger=True), "plays by more than its"),
    ],
)
def test_worlds_whose_rules_are_not_known(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_exactly(Policy([0]), make())


def test_a_model_of_another_world_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Discrete\(16\).*Discrete\(500\)"):
        evaluate_exactly(QLearning("QTablePolicy", "FrozenLake-v1"), "Taxi-v4")


@pytest.mark.parametrize(("penalty", "error"), [("a", TypeError), (float("nan"), ValueError)])
def test_what_is_no_penalty(penalty: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"penalty must be a (finite )?number"):
        evaluate_exactly(Policy(np.zeros(500, int)), "Taxi-v4", penalty=penalty)


def test_max_steps_is_checked() -> None:
    with pytest.raises(ValueError, match="max_steps must be at least 1, got 0"):
        evaluate_exactly(Policy(np.zeros(500, int)), "Taxi-v4", max_steps=0)
