"""The replay benchmark: every side gets what SB3's loop gives, and the last line is JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer

from benchmarks import played_games, replay_memory
from benchmarks.played_games import SCENES, Recording, Scene, record
from sb3_atari_course import make_atari_env

ROOT = Path(__file__).parents[2]


class Seen:
    """A replay buffer that remembers what it is given."""

    optimize_memory_usage, full, pos = False, False, 0

    def __init__(self) -> None:
        self.transitions: list[tuple[Any, ...]] = []

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: Any) -> None:
        self.transitions.append((obs.copy("K"), next_obs.copy("K"), np.array(done)))


def test_a_recording_hands_over_what_sb3_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed, the same actions: observations, terminal ones, ends, order in memory."""
    scene = Scene("", "BreakoutNoFrameskip-v4", "random", SCENES[0].crop)
    recording = record(scene, 150, 2)
    assert len(recording.ends) > 1
    env = make_atari_env(scene.env_id, 2, seed=0, wrapper_kwargs={"crop": scene.crop})
    model = DQN("CnnPolicy", env, buffer_size=10, learning_starts=10**6)
    model.replay_buffer = Seen()  # type: ignore[assignment]
    rng = np.random.default_rng(0)
    monkeypatch.setattr(model, "_sample_action", lambda *args: (rng.integers(4, size=2),) * 2)
    env.seed(0)
    model.learn(300)
    theirs = model.replay_buffer.transitions[:150]
    for (obs, next_obs, _, _, done, _), (their_obs, their_next, their_done) in zip(
        recording.transitions(0, 150), theirs, strict=True
    ):
        assert (obs == their_obs).all()
        assert (next_obs == their_next).all()
        assert (done == their_done).all()
        assert obs.strides == their_obs.strides
        assert next_obs.strides == their_next.strides


def test_a_recording_starts_again_and_is_saved(tmp_path: Path) -> None:
    recording = record(SCENES[4], 5, 2)
    recording.save(tmp_path)
    loaded = Recording.load(tmp_path)
    for step in (3, 8, 13):
        (transition,), (again,) = recording.transitions(3, 4), loaded.transitions(step, step + 1)
        assert (transition[0] == again[0]).all()
        assert (transition[1] == again[1]).all()


def test_the_scripts_follow_the_ball() -> None:
    ram = np.zeros(128, np.uint8)
    assert played_games.follow_the_ball_in_breakout(ram) == 1  # FIRE
    ram[[99, 101, 72]] = 100, 50, 60
    assert played_games.follow_the_ball_in_breakout(ram) == 2  # RIGHT
    ram[72] = 120
    assert played_games.follow_the_ball_in_breakout(ram) == 3  # LEFT
    assert played_games.follow_the_ball_in_pong(np.zeros(128, np.uint8)) == 1


def test_the_script_plays_better_than_chance() -> None:
    lives_lost = [len(record(scene, 250, 2).ends) for scene in SCENES[:2]]
    assert lives_lost[1] < lives_lost[0] / 2


@pytest.mark.services
def test_growth_of_memory_is_that_of_the_buffer(tmp_path: Path) -> None:
    """SB3's own buffer is known: two stacks, an action, a reward, done and timeout."""
    record(SCENES[0], 100, replay_memory.N_ENVS).save(tmp_path)
    size = replay_memory.in_a_process_of_its_own(replay_memory.SB3, tmp_path, 800, 2)
    assert size == pytest.approx(2 * 4 * 84 * 84 + 20, rel=0.02)


def test_speeds_are_those_of_add_and_sample() -> None:
    recording = record(SCENES[1], 30, replay_memory.N_ENVS)
    speed = replay_memory.Speed(replay_memory.SB3, recording, 20)
    assert isinstance(speed.buffer, ReplayBuffer)
    assert speed.buffer.full
    for _ in range(5):
        speed.measure(n_adds=4, n_samples=3)
    assert speed.buffer.pos == 0  # once around
    assert 0 < speed[32] < speed[256] < 10
    assert 0 < speed["add"] < 10


@pytest.mark.services
def test_the_whole_benchmark() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/replay_memory.py", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    *table, last = done.stdout.splitlines()
    result = json.loads(last)
    assert {
        "breakout_plain_bytes",
        "breakout_lz4_bytes",
        "mspacman_lz4_bytes",
        "million_gigabytes",
    } <= set(result)  # of one process together: they mean nothing here
    for name in ("sample_vs_sb3", "add_vs_sb3_plain", "add_vs_sb3_lz4"):
        assert 0.1 < result[name] < 100
    assert 0 < result["lz4_share_of_gradient_step"] < 1
    assert sum("ours, lz4" in line for line in table) >= 4
    assert sum("sb3-extra-buffers" in line for line in table) == 2 * 2  # speeds on two games
