"""Which row of the table an observation is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sb3_atari_course.q_learning.states import StateNumbering


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
