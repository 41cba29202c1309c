"""Tests of the origin of exceptions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO

from sb3_atari_course._common.errors import raised_at
from sb3_atari_course._common.validation import boolean, integer_at_least

OURS = "sb3_atari_course"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: boolean("flag", "no"), (OURS, True)),
        (lambda: integer_at_least(1, "n", "x"), (OURS, True)),  # raised in an except clause
        (lambda: integer_at_least("1", "n", 2), (OURS, False)),  # type: ignore[arg-type]
        (lambda: DQN("Nowhere", "CartPole-v1"), ("stable_baselines3", True)),
        (lambda: PPO("MlpPolicy", "CartPole-v1", batch_size=1), ("stable_baselines3", True)),
        (lambda: DQN("MlpPolicy", "CartPole-v1", n_step=1), ("tests", False)),  # type: ignore[call-arg]
        (lambda: np.zeros(-1), ("tests", False)),
    ],
)
def test_raised_at_returns_the_package_and_whether_by_raise(
    call: Callable[[], object], expected: tuple[str, bool]
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    assert raised_at(caught.value) == expected
