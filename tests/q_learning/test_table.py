"""The Q-table: which row, which action, and what one step teaches; numbers by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sb3_atari_course.q_learning.schedules import ConstantRate, VisitRate
from sb3_atari_course.q_learning.table import QTable, Rate, StateNumbering


def make_table(rows: list[list[float]]) -> QTable:
    values = np.array(rows, np.float64)
    return QTable(values, np.zeros(values.shape, np.int64))


HALF = ConstantRate(0.5)


def update(table: QTable, *step: float | int | None, gamma: float = 0.9, rate: Rate = HALF):
    """Learn from one step (state, action, reward, next state)."""
    state, action, reward, next_state = step
    return table.update([state], [action], [reward], [next_state], gamma, rate)  # type: ignore[list-item]


def test_one_step_moves_one_cell_halfway_to_its_target() -> None:
    table = make_table([[1, 2], [4, 10]])
    error = update(table, 0, 1, 3.0, 1)
    # target 3 + 0.9 * 10 = 12, error 12 - 2 = 10, halfway: 2 + 5
    assert table.values.tolist() == [[1, 7], [4, 10]]
    assert table.visits.tolist() == [[0, 1], [0, 0]]
    assert error == 10


def test_nothing_follows_a_terminal_state() -> None:
    table = make_table([[1, 2], [4, 10]])
    error = update(table, 0, 0, -3.0, None)
    assert table.values.tolist() == [[-1, 2], [4, 10]]  # halfway from 1 to -3
    assert error == 4  # absolute


def test_a_state_that_leads_to_itself_bootstraps_from_its_old_value() -> None:
    table = make_table([[1, 2]])
    update(table, 0, 1, 1.0, 0, gamma=0.5, rate=ConstantRate(1.0))
    assert table.values.tolist() == [[1, 2]]  # 1 + 0.5 * 2


def test_by_visits_a_cell_holds_the_mean_of_its_targets() -> None:
    table = make_table([[100.0]])  # what it held before counts for nothing
    for reward, mean in [(3.0, 3.0), (6.0, 4.5), (0.0, 3.0), (7.0, 4.0)]:
        update(table, 0, 0, reward, None, rate=VisitRate())
        assert table.values[0, 0] == mean
    assert table.visits[0, 0] == 4


def test_two_visits_of_one_cell_in_one_step_count_as_two_in_their_order() -> None:
    table = make_table([[0.0, 0.0], [0.0, 0.0]])
    table.update([0, 0], [1, 1], [8.0, 16.0], [None, None], 0.9, HALF)
    assert table.values.tolist() == [[0, 10], [0, 0]]  # 0 -> 4 -> 10; the other order: 8 -> 8
    assert table.visits[0, 1] == 2


def test_a_later_environment_sees_what_an_earlier_one_wrote() -> None:
    table = make_table([[0.0], [0.0]])
    table.update([0, 1], [0, 0], [8.0, 0.0], [None, 0], 0.5, ConstantRate(1.0))
    assert table.values.tolist() == [[8], [4]]


def test_without_exploration_the_best_action_is_chosen() -> None:
    table, rng = make_table([[0, 3, 1], [2, -1, 1]]), np.random.default_rng(0)
    for _ in range(20):
        assert table.choose([0, 1, 0], 0.0, rng) == [1, 0, 1]


def test_ties_are_broken_at_random_all_best_actions_alike() -> None:
    table, rng = make_table([[5, 1, 5, 5]]), np.random.default_rng(0)
    chosen = table.choose([0] * 3000, 0.0, rng)
    assert np.bincount(chosen, minlength=4)[[0, 2, 3]] == pytest.approx(1000, rel=0.1)
    assert 1 not in chosen


@pytest.mark.parametrize("epsilon", [1.0, 0.4])
def test_epsilon_is_the_share_of_random_actions_all_actions_alike(epsilon: float) -> None:
    table, rng = make_table([[0, 1, 0, 0]]), np.random.default_rng(0)
    counts = np.bincount(table.choose([0] * 8000, epsilon, rng), minlength=4)
    assert counts[[0, 2, 3]] == pytest.approx(8000 * epsilon / 4, rel=0.12)
    assert counts[1] == pytest.approx(8000 * (1 - epsilon * 3 / 4), rel=0.12)


def test_discrete_observations_count_from_their_start() -> None:
    number = StateNumbering(spaces.Discrete(4, start=-2))
    assert number.n_states == 4
    assert number(np.array([-2, 1, 0])) == [0, 3, 2]


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiDiscrete([3, 4, 5]),
        spaces.MultiDiscrete([3, 4, 5], start=[1, -2, 7]),
        spaces.MultiDiscrete(np.array([[2, 3], [4, 2]])),
        spaces.MultiDiscrete([1, 6]),
    ],
)
def test_multi_discrete_observations_are_ravelled_as_numpy_does(space: Any) -> None:
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
        (spaces.Discrete(4), [-1]),
        (spaces.Discrete(4, start=1), [0]),
        (spaces.MultiDiscrete([2, 3]), [[0, 3]]),  # would ravel to a valid state
        (spaces.MultiDiscrete([2, 3]), [[-1, 0]]),
    ],
)
def test_what_lies_outside_is_refused(space: Any, observation: Any) -> None:
    with pytest.raises(ValueError, match=r"state .* lies outside (Multi)?Discrete"):
        StateNumbering(space)(np.array(observation))


def test_fractions_are_no_states() -> None:
    with pytest.raises(ValueError, match=r"observations of Discrete\(4\) are integers"):
        StateNumbering(spaces.Discrete(4))(np.array([1.5]))


@pytest.mark.parametrize(
    ("space", "advice"),
    [
        (spaces.Box(-1, 1, (3,)), "DiscretizeObservations"),
        (spaces.Box(0, 255, (84, 84, 1), np.uint8), "use DQN"),
        (spaces.Tuple([spaces.Discrete(2)]), "TransformObservation"),
        (spaces.MultiBinary(3), "TransformObservation"),
    ],
)
def test_other_spaces_are_refused_with_advice(space: Any, advice: str) -> None:
    with pytest.raises(ValueError, match="needs Discrete or MultiDiscrete") as caught:
        StateNumbering(space)
    assert advice in str(caught.value)
