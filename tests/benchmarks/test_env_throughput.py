"""The throughput benchmark counts frames really played and prints what it promises."""

from __future__ import annotations

import json
import sys

import gymnasium as gym
import pytest
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.monitor import Monitor

from benchmarks import env_throughput
from sb3_atari_course import make_atari_env
from tests.fakes import Tape


def test_frames_inside_resets_are_counted() -> None:
    tape = Tape(gym.make(env_throughput.GAME))
    play = env_throughput.one_env(AtariWrapper(Monitor(tape)))
    before = sum(len(game) for game in tape.games)
    n_frames = play(300)
    assert n_frames == sum(len(game) for game in tape.games) - before
    assert n_frames > 4 * 300


def test_a_vec_env_counts_all_its_games() -> None:
    play = env_throughput.vec_env(make_atari_env(env_throughput.GAME, 2, seed=0))
    assert 4 * 100 <= play(100) < 4 * 200


def test_the_emulator_plays_four_frames_a_step() -> None:
    assert env_throughput.emulator_alone()(50) == 200


def test_the_last_line_is_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = iter([2000.0, 1600.0, 1500.0, 1400.0, 1000.0, 700.0, 1200.0, 600.0])
    monkeypatch.setattr(sys, "argv", ["env_throughput.py", "--quick"])
    monkeypatch.setattr(
        env_throughput, "measure", lambda plays, *_: {name: next(rates) for name in plays}
    )
    env_throughput.main()
    *table, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == {
        "ours_vs_sb3_one_env": 1.6,
        "ours_rgb_vs_sb3_one_env": 1.4,
        "ours_vs_gymnasium_one_env": 2.143,
        "ours_vs_emulator_one_env": 0.8,
        "ours_vs_sb3_eight_envs": 2.0,
    }
    assert len(table) == 10
