"""What the agent is paid."""

from __future__ import annotations

import pytest

from sb3_atari_course.wrappers import ClipReward
from tests.fakes import FakeGame


@pytest.mark.parametrize(
    ("paid", "sign"), [(7.0, 1.0), (0.5, 1.0), (0.0, 0.0), (-0.5, -1.0), (-400.0, -1.0)]
)
def test_the_agent_is_paid_the_sign(paid: float, sign: float) -> None:
    env = ClipReward(FakeGame(step_reward=paid))
    env.reset()
    reward = env.step(0)[1]
    assert reward == sign
    assert type(reward) is float
