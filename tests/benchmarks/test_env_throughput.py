"""The throughput benchmark counts frames really played and prints what it promises."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.monitor import Monitor

from benchmarks import env_throughput, envpool_side
from sb3_atari_course import NativeAtariVecEnv, make_atari_env
from tests.fakes import Tape


def test_frames_inside_resets_are_counted() -> None:
    tape = Tape(gym.make(env_throughput.GAME))
    play = env_throughput.one_env(AtariWrapper(Monitor(tape)))
    before = sum(len(game) for game in tape.games)
    n_frames = play(300)
    assert n_frames == sum(len(game) for game in tape.games) - before
    assert n_frames > 4 * 300


def no_network() -> str:
    raise RuntimeError("no network")


def test_the_native_environments_count_all_their_games() -> None:
    """Games that are over and no-ops included: 60 steps of games cut off after 20."""
    options = {"max_num_frames_per_episode": 80}
    env = NativeAtariVecEnv(env_throughput.GAME, 2, seed=0, **options)
    played = env_throughput.native(env)(120)
    assert 4 * 120 < played <= 4 * 120 + 2 * 3 * 30
    ale = AtariVectorEnv(
        "breakout", 2, autoreset_mode=AutoresetMode.SAME_STEP, max_num_frames_per_episode=80
    )
    assert 4 * 120 < env_throughput.ale_vector(ale)(120) <= 4 * 120 + 2 * 3 * 30


def test_a_vec_env_counts_all_its_games() -> None:
    play = env_throughput.vec_env(make_atari_env(env_throughput.GAME, 2, seed=0))
    assert 4 * 100 <= play(100) < 4 * 200


def test_the_emulator_plays_four_frames_a_step() -> None:
    assert env_throughput.emulator_alone()(50) == 200


@pytest.mark.services
def test_the_last_line_is_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = iter(
        [2000.0, 1600.0, 1500.0, 1400.0, 1000.0, 700.0, 1200.0, 600.0, 1800.0, 1200.0, 2400.0]
    )
    monkeypatch.setattr(sys, "argv", ["env_throughput.py", "--quick"])
    monkeypatch.setattr(envpool_side, "find_python", no_network)
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
        "native_vs_sb3_dummy": 3.0,
        "native_vs_ale_vector": 0.5,
    }
    assert "EnvPool skipped: no network" in table
    assert len(table) == 14


def test_envpools_figure_is_the_third_native_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = {env_throughput.NATIVE_CROP: 2000.0, env_throughput.ENVPOOL: 1600.0}
    monkeypatch.setattr(sys, "argv", ["env_throughput.py", "--quick"])
    monkeypatch.setattr(env_throughput, "contestants", dict)
    monkeypatch.setattr(env_throughput, "measure", lambda *_: defaultdict(lambda: 1.0, rates))
    env_throughput.main()
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["native_vs_envpool"] == 1.25


def test_another_process_is_asked_for_steps(tmp_path: Path, monkeypatch: Any) -> None:
    """In place of EnvPool a script that plays twice what it is asked for."""
    script = tmp_path / "side.py"
    script.write_text("import sys\nfor line in sys.stdin:\n    print(2 * int(line), flush=True)\n")
    monkeypatch.setattr(envpool_side, "__file__", str(script))
    play = envpool_side.Elsewhere(sys.executable, 2)
    assert [play(32), play(64)] == [64, 128]
    play.close()
