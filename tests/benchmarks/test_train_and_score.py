"""Time-limited trainings, and the comparison with RL Zoo's scores."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import pytest
from stable_baselines3 import DQN

from benchmarks import train_and_score
from benchmarks.train_and_score import WallClock, compare
from tests.fakes import Clock


def test_wall_clock_stops_training_and_stretches_schedules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(train_and_score, "time", clock)
    seen = []

    class Slow(gym.Wrapper[Any, Any, Any, Any]):
        """Environment with three seconds per step, twenty per minute."""

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
    assert rates[5] == pytest.approx(1 - 0.9 * 5 / 10)  # after a quarter of the time
    assert rates[10:] == pytest.approx((0.1,) * 10)
    assert progress[19] == pytest.approx(1 / 20)


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [([5.0], "better"), ([4.5], "within"), ([3.9], "below"), ([3.0, 4.6], "within")],
)
def test_verdict_is_within_one_standard_error(scores: list[float], verdict: str) -> None:
    assert compare(scores, 5.0, 1.0)["verdict"] == verdict  # of 3.0 and 4.6: 0.8


@pytest.mark.parametrize(
    "arguments", [["laptop-variants", "no such"], ["one-hour", "--minutes", "0"]]
)
def test_rejects_invalid_arguments(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["train_and_score.py", *arguments])
    with pytest.raises(SystemExit, match="2"):
        train_and_score.main()
