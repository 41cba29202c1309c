"""A policy, drawn as arrows."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_atari_course.course.toy_text import draw_policy, taxi_grid
from tests.course.toy_text.test_exact import Policy
from tests.fakes import World
from tests.naive import value_iteration


def best_policy(env_id: str, **kwargs: Any) -> tuple[Policy, gym.Env[Any, Any]]:
    env = gym.make(env_id, **kwargs)
    table = value_iteration(env.unwrapped.P, 0.99)  # type: ignore[attr-defined]
    return Policy(table.round(9).argmax(axis=1)), env


def test_the_best_policy_of_slippery_ice() -> None:
    """As every textbook has it: away from the holes, whatever the ice does."""
    policy, env = best_policy("FrozenLake-v1")
    assert draw_policy(policy, env) == "←↑↑↑\n←·←·\n↑↓←·\n·→↓·"


def test_every_arrow_leads_where_it_points() -> None:
    """Walked along the drawing alone: to the goal by the shortest way, around the cliff."""
    policy, env = best_policy("CliffWalking-v1")
    rows = draw_policy(policy, env).split("\n")
    assert [len(row) for row in rows] == [12] * 4
    row, column, n_steps = 3, 0, 0
    while (row, column) != (3, 11):
        down, right = {"←": (0, -1), "→": (0, 1), "↑": (-1, 0), "↓": (1, 0)}[rows[row][column]]
        row, column, n_steps = row + down, column + right, n_steps + 1
    assert n_steps == 13
    assert rows[3] == "↑" + "·" * 11


def test_a_taxi_drives_to_its_passenger() -> None:
    policy, env = best_policy("Taxi-v4")
    fetching = draw_policy(policy, env, states=taxi_grid(passenger=0, destination=1)).split("\n")
    assert fetching[0][0] == "P"  # red is top left
    assert [row[0] for row in fetching[1:]] == ["↑"] * 4
    grid = taxi_grid(passenger=4, destination=3)
    bringing = draw_policy(policy, "Taxi-v4", states=grid).split("\n")
    assert bringing[4][3] == "D"  # blue is in the last row
    assert "".join(bringing).count("D") == 1
    world: Any = env.unwrapped
    for (row, column), state in np.ndenumerate(grid):
        down, right = {"←": (0, -1), "→": (0, 1), "↑": (-1, 0), "↓": (1, 0), "D": (0, 0)}[
            bringing[row][column]
        ]
        ((_, next_state, _, _),) = world.P[state][policy.actions[state]]
        place = list(world.decode(next_state))[:2]
        assert place == [row + down, column + right]  # where Gymnasium says the action leads


def test_taxi_states_are_gymnasiums() -> None:
    world: Any = gym.make("Taxi-v4").unwrapped
    for passenger, destination in ((0, 1), (4, 3), (2, 2)):
        grid = taxi_grid(passenger=passenger, destination=destination)
        for row in range(5):
            for column in range(5):
                assert grid[row, column] == world.encode(row, column, passenger, destination)


def test_a_grid_world_of_ones_own() -> None:
    world = World({s: {a: [(1.0, s, 0.0, False)] for a in range(2)} for s in range(6)})
    states = [[0, 1, 2], [3, 4, 5]]
    assert draw_policy(Policy([0, 1, 1, 0, 0, 1]), world, states=states, signs="<>") == "<>>\n<<>"


def test_actions_need_not_begin_at_zero() -> None:
    rules = {s: {a: [(1.0, s, 0.0, False)] for a in range(2)} for s in range(2)}
    world = World(rules, first_action=5)
    assert draw_policy(Policy([6, 5]), world, states=[[0, 1]], signs="<>") == "><"


@pytest.mark.parametrize(
    ("env", "kwargs", "message"),
    [
        ("Taxi-v4", {}, r"pass states.*taxi_grid\(passenger=0, destination=1\)"),
        ("FrozenLake-v1", {"signs": "<>"}, "FrozenLakeEnv has 4 actions, got the signs '<>'"),
        ("CartPole-v1", {}, "the actions of CartPoleEnv have no signs yet"),
        ("CartPole-v1", {"signs": "<>"}, "the cells of CartPoleEnv are not known: pass states"),
    ],
)
def test_worlds_that_are_not_known(env: str, kwargs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_policy(Policy(np.zeros(500, int)), env, **kwargs)


@pytest.mark.parametrize("where", [{"passenger": 5}, {"destination": 4}, {"passenger": -1}])
def test_places_that_taxi_does_not_have(where: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="passenger is 0 to 4"):
        taxi_grid(**{"passenger": 0, "destination": 0, **where})
