"""Epsilon and learning rate over a training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.utils import LinearSchedule

from sb3_atari_course.q_learning.schedules import (
    EpisodeDecay,
    EpsilonSchedule,
    LearningRate,
)


def test_the_seeds_decay() -> None:
    epsilon = EpisodeDecay(initial_eps=1.0, final_eps=0.001, decay=0.01)
    assert epsilon(0) == 1.0
    assert epsilon(100) == pytest.approx(0.001 + 0.999 * math.e**-1)
    assert epsilon(1999) == pytest.approx(0.001, abs=1e-8)


def test_epsilon_by_episode_by_progress_or_constant() -> None:
    by_episode = EpsilonSchedule({"initial_eps": 0.9, "final_eps": 0.1, "decay": math.log(2)})
    assert [by_episode(n, 0.5) for n in (0, 1, 2)] == pytest.approx([0.9, 0.5, 0.3])
    by_progress = EpsilonSchedule(LinearSchedule(1.0, 0.2, 0.5))
    assert [by_progress(7, p) for p in (1.0, 0.75, 0.5, 0.0)] == pytest.approx([1, 0.6, 0.2, 0.2])
    assert EpsilonSchedule(0.3)(5, 0.1) == 0.3
    assert EpsilonSchedule(1)(5, 0.1) == EpsilonSchedule(np.float32(1))(5, 0.1) == 1


@pytest.mark.parametrize(
    ("exploration", "error", "message"),
    [
        (1.5, ValueError, "exploration is a probability, 0 to 1, got 1.5"),
        (-0.1, ValueError, "exploration is a probability"),
        (float("nan"), ValueError, "exploration must be a finite number, got nan"),
        ({"decay": float("inf")}, ValueError, "decay must be a finite number"),
        ({"decay": "fast"}, TypeError, "decay must be a number, got 'fast'"),
        (lambda progress: 2.0, ValueError, "exploration at progress_remaining 1 .* got 2.0"),
        ({"initial_eps": 2.0}, ValueError, "initial_eps is a probability, 0 to 1, got 2.0"),
        ({"final_eps": -1}, ValueError, "final_eps is a probability"),
        ({"decay": -0.1}, ValueError, "decay is a rate per episode, at least 0, got -0.1"),
        ({"epsilon": 0.1}, ValueError, "has the keys initial_eps, final_eps and decay"),
        ("0.1", TypeError, "exploration is a number, a schedule"),
        (True, TypeError, "exploration is a number, a schedule"),
        (None, TypeError, "exploration is a number, a schedule"),
    ],
)
def test_what_is_no_exploration(exploration: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        EpsilonSchedule(exploration)


def test_a_schedule_that_leaves_the_range_is_named_when_it_does() -> None:
    epsilon = EpsilonSchedule(lambda progress: 2 - progress)
    assert epsilon(0, 1.0) == 1
    with pytest.raises(ValueError, match=r"exploration at progress_remaining 0.5 .* got 1.5"):
        epsilon(0, 0.5)


def test_learning_rates() -> None:
    assert [LearningRate(0.5)(0.1)(n_visits) for n_visits in (1, 4)] == [0.5, 0.5]
    assert [LearningRate("visits")(0.1)(n_visits) for n_visits in (1, 4)] == [1.0, 0.25]
    assert LearningRate(LinearSchedule(1.0, 0.0, 1.0))(0.25)(4) == 0.25
    for rate in (0.5, 1, "visits", LinearSchedule(1.0, 0.0, 1.0), np.float32(0.5), np.int64(1)):
        LearningRate(rate)(1.0)


@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (0.0, ValueError, r"learning_rate must lie in \(0, 1\], got 0.0$"),
        (-1, ValueError, r"learning_rate must lie in"),
        (1.01, ValueError, r"learning_rate must lie in \(0, 1\], got 1.01"),
        (float("nan"), ValueError, r"learning_rate must lie in"),
        (lambda progress: 2.0, ValueError, r"got 2.0 at progress_remaining 1"),
        ("visit", ValueError, "or \"visits\", got 'visit'"),
        (True, TypeError, "learning_rate is a number in"),
        (None, TypeError, "learning_rate is a number in"),
    ],
)
def test_what_is_no_learning_rate(rate: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LearningRate(rate)(1.0)
