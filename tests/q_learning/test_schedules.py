"""Schedules of epsilon and the learning rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.utils import LinearSchedule

from sb3_atari_course.q_learning.schedules import (
    EpisodeDecay,
    as_exploration,
    epsilon_at,
    learning_rate_at,
)


def test_epsilon_is_constant_by_progress_or_by_episode() -> None:
    by_default = EpisodeDecay(initial_eps=1.0, final_eps=0.001, decay=0.01)
    assert by_default(100) == pytest.approx(0.001 + 0.999 * math.e**-1)
    by_episode = as_exploration({"initial_eps": 0.9, "final_eps": 0.1, "decay": math.log(2)})
    found = [epsilon_at(by_episode, n, 0.5) for n in (0, 1, 2)]
    assert found == pytest.approx([0.9, 0.5, 0.3])
    falling = LinearSchedule(1.0, 0.2, 0.5)
    found = [epsilon_at(falling, 7, p) for p in (1.0, 0.75, 0.5, 0.0)]
    assert found == pytest.approx([1, 0.6, 0.2, 0.2])
    assert epsilon_at(np.float32(1), 5, 0.1) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("exploration", "error", "message"),
    [
        (-0.1, ValueError, "exploration .* -0.1"),
        (float("nan"), ValueError, "exploration .* nan"),
        (lambda progress: 2.0, ValueError, "exploration at progress_remaining 1 .* 2.0"),
        ({"initial_eps": 2.0}, ValueError, "initial_eps .* 2.0"),
        ({"final_eps": -1}, ValueError, "final_eps .* -1"),
        ({"decay": -0.1}, ValueError, "decay .* -0.1"),
        ({"decay": "fast"}, TypeError, "decay .* 'fast'"),
        ({"epsilon": 0.1}, TypeError, "'epsilon'"),
        ("0.1", TypeError, "exploration .* '0.1'"),
    ],
)
def test_rejects_invalid_exploration(
    exploration: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        epsilon_at(as_exploration(exploration), 0, 1.0)


def test_learning_rate_is_constant_scheduled_or_by_visits() -> None:
    assert learning_rate_at("visits", 0.1) is None
    assert learning_rate_at(LinearSchedule(1.0, 0.0, 1.0), 0.25) == 0.25
    for rate in (0.5, 1, np.float32(0.5), np.int64(1)):
        assert learning_rate_at(rate, 1.0) == rate  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (0.0, ValueError, "learning_rate .* 0.0"),
        (1.01, ValueError, "learning_rate .* 1.01"),
        (float("nan"), ValueError, "learning_rate .* nan"),
        (lambda progress: 2.0, ValueError, "2.0 at progress_remaining 1"),
        ("visit", ValueError, "'visit'"),
        (True, TypeError, "True"),
    ],
)
def test_rejects_invalid_learning_rate(rate: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        learning_rate_at(rate, 1.0)
