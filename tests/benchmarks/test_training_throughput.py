"""The training benchmark learns at the paper's ratio on all sides and prints what it promises."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import VecEnv

from benchmarks import training_throughput
from sb3_atari_course import FastDQN, make_atari_env


def make_env(n_envs: int) -> VecEnv:
    small = {"shape": (42, 42)}
    return make_atari_env(training_throughput.GAME, n_envs, seed=0, wrapper_kwargs=small)


@pytest.mark.parametrize(("algorithm", "n_envs"), [(DQN, 1), (DQN, 8), (FastDQN, 8)])
def test_every_side_updates_once_for_four_transitions(algorithm: Any, n_envs: int) -> None:
    model = training_throughput.make_model(algorithm, make_env(n_envs), buffer_size=64)
    assert model.replay_buffer.full  # type: ignore[union-attr]
    steps, updates = model.num_timesteps, model._n_updates
    assert training_throughput.play(model)(40) > 0
    assert model.num_timesteps - steps == 40
    assert model._n_updates - updates == 10
    assert model.exploration_rate == 0.05
    assert training_throughput.update_only(model)(40) > 0
    assert (model.num_timesteps - steps, model._n_updates - updates) == (40, 20)


def test_the_last_line_is_json_of_ratios(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("SB3", "SB3_EIGHT", "SB3_NATIVE", "FAST_EAGER", "FAST", "LIMIT")
    speeds = [80.0, 90.0, 99.0, 120.0, 160.0, 200.0]
    medians = dict(zip((getattr(training_throughput, n) for n in names), speeds, strict=True))
    monkeypatch.setattr(training_throughput, "contestants", dict)
    monkeypatch.setattr(training_throughput, "measure", lambda *args: medians)
    monkeypatch.setattr(sys, "argv", ["training_throughput.py", "--quick"])
    training_throughput.main()
    lines = capsys.readouterr().out.splitlines()
    assert "torch threads: " in lines[0]
    assert json.loads(lines[-1]) == {
        "fast_vs_sb3": 2.0,
        "fast_eager_vs_sb3": 1.5,
        "fast_vs_sb3_eight": 1.778,
        "sb3_native_vs_sb3_eight": 1.1,
        "fast_vs_limit": 0.8,
    }


def test_sides_take_turns_and_medians_count() -> None:
    tape: list[str] = []

    def side(name: str, speeds: list[float]) -> Any:
        speed = iter(speeds)
        return lambda n_steps: (tape.append(name), next(speed))[1]

    sides = {"a": side("a", [1.0, 9.0, 2.0]), "b": side("b", [5.0, 4.0, 3.0])}
    assert training_throughput.measure(sides, 3, 10) == {"a": 2.0, "b": 4.0}
    assert tape == ["a", "b"] * 3
