"""A training that ends with its time, and its schedules with it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest
from stable_baselines3 import DQN

from benchmarks import wall_clock
from benchmarks.wall_clock import WallClock
from tests.fakes import Clock


def test_a_training_ends_with_its_time_and_its_schedules_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(wall_clock, "time", clock)
    seen = []

    class Slow(gym.Wrapper[Any, Any, Any, Any]):
        """Three seconds a step: twenty fit into a minute."""

        def step(self, action: Any) -> Any:
            clock.now += 3
            seen.append((model.exploration_rate, model._current_progress_remaining))
            return super().step(action)

    model = DQN(
        "MlpPolicy",
        Slow(gym.make("CartPole-v1")),
        buffer_size=9,
        exploration_fraction=0.5,
        exploration_final_eps=0.1,
    )
    model.learn(10**9, callback=WallClock(1))
    assert model.num_timesteps == 20
    rates, progress = zip(*seen, strict=True)
    assert rates[5] == pytest.approx(1 - 0.9 * 5 / 10)  # a quarter of the time is over
    assert rates[10:] == pytest.approx((0.1,) * 10)
    assert progress[19] == pytest.approx(1 / 20)
