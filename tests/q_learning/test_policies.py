"""QTablePolicy: state indices, greedy actions, saving and loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_atari_course.q_learning import QLearning, QTablePolicy
from sb3_atari_course.q_learning.policies import StateNumbering
from tests.fakes import TabularEnv, random_rules


def test_discrete_observations_are_indexed_from_their_start() -> None:
    number = StateNumbering(spaces.Discrete(4, start=-2))
    assert number.n_states == 4
    assert number(np.array([-2, 1, 0])) == [0, 3, 2]


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiDiscrete([3, 4, 5], start=[1, -2, 7]),
        spaces.MultiDiscrete(np.array([[2, 3], [4, 2]])),
        spaces.MultiDiscrete([6]),
    ],
)
def test_multi_discrete_observations_are_ravelled_like_numpy(space: Any) -> None:
    space.seed(0)
    number = StateNumbering(space)
    assert number.n_states == space.nvec.prod()
    observations = np.stack([space.sample() for _ in range(50)])
    indices = (observations - space.start).reshape(50, -1).T
    expected = np.ravel_multi_index(tuple(indices), tuple(space.nvec.ravel()))
    assert number(observations) == expected.tolist()


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (spaces.Discrete(4), [4]),
        (spaces.Discrete(4, start=1), [0]),
        (spaces.MultiDiscrete([2, 3]), [[0, 3]]),  # would ravel to a valid index
        (spaces.MultiDiscrete([2, 3]), [[-1, 0]]),
        (spaces.Discrete(4), [1.0]),
    ],
)
def test_rejects_observations_outside_the_space(space: Any, observation: Any) -> None:
    with pytest.raises(ValueError, match=r"(state|observations) .* (Multi)?Discrete"):
        StateNumbering(space)(np.array(observation))


class HugeEnv(TabularEnv):
    def __init__(self) -> None:
        super().__init__(random_rules(0))
        self.observation_space = spaces.MultiDiscrete([10_000] * 3)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("CartPole-v1", r"needs Discrete or MultiDiscrete observations, got Box.*Discretize"),
        ("Pendulum-v1", r"needs Discrete actions, got Box.*DiscretizeActions"),
        (HugeEnv(), "has 3000000000000 cells, more than 134217728"),  # before allocation
    ],
    ids=str,
)
def test_rejects_spaces_without_a_q_table(env: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QLearning("QTablePolicy", gym.make(env) if isinstance(env, str) else env)


def test_predicts_the_lowest_greedy_action(tmp_path: Path) -> None:
    env = TabularEnv(random_rules(0), first_state=10, first_action=3)
    model = QLearning("QTablePolicy", env, policy_kwargs={"initial_value": 3.0})
    assert (model.q_table == 3.0).all()
    model.q_table[:] = [[0, 1, 0], [5, 0, 0], [0, 0, 2], [3, 3, 0], [0, 0, 0], [-1, -2, -1]]
    model.policy.save(str(tmp_path / "policy.pth"))
    loaded = QTablePolicy.load(str(tmp_path / "policy.pth"))
    assert loaded.initial_value == 3.0
    for player in (model, model.policy, loaded):
        for observation in (11, np.int64(11), np.array(11)):
            action, state = player.predict(observation, deterministic=True)  # type: ignore[arg-type]
            assert (np.shape(action), int(action), state) == ((), 3, None)
        actions, _ = player.predict(np.arange(10, 16), deterministic=True)
        assert actions.tolist() == [4, 3, 5, 3, 3, 3]
        assert env.action_space.contains(actions[0])
