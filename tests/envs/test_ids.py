"""Tests of environment ids."""

from __future__ import annotations

import ale_py.roms
import gymnasium as gym
import pytest

from sb3_atari_course import register_envs
from sb3_atari_course.envs import find_spec, is_atari


def test_deterministic_ids_play_four_frames_per_step() -> None:
    env = gym.make("BreakoutDeterministic-v4")
    before = env.reset(seed=0)[1]["frame_number"]
    assert env.step(0)[-1]["frame_number"] - before == 4
    assert env.spec is not None
    assert env.spec.kwargs["repeat_action_probability"] == 0.0


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("BrekoutNoFrameskip-v4", "BreakoutNoFrameskip"),
        ("BreakoutDeterministic-v5", "v4"),
        ("ALE/Brekout-v5", "Breakout"),
        ("Pong", "Pong"),
    ],
)
def test_suggests_the_nearest_id_for_an_unknown_one(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"'{wrong}': .*{near}"):
        find_spec(wrong)


def test_every_game_of_gym_has_a_deterministic_id() -> None:
    old = [env_id for env_id in gym.registry if env_id.endswith("Deterministic-v4")]
    plain = [env_id for env_id in gym.registry if env_id.endswith("NoFrameskip-v4")]
    assert len(old) == len(plain) == 62
    assert set(ale_py.roms.get_all_rom_ids()) >= {gym.spec(i).kwargs["game"] for i in old}


def test_registering_twice_has_no_effect() -> None:
    before = dict(gym.registry)
    register_envs()
    assert dict(gym.registry) == before
    assert is_atari("PongDeterministic-v4")
    assert not is_atari("CartPole-v1")
