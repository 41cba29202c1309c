"""Tests of saving and restoring an ale-py emulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ale_py.env import AtariEnv

from sb3_atari_course.envs.emulator_state import UnsavableEnvError, read_emulator
from sb3_atari_course.envs.env_state import read_env, write_env
from tests.envs.rollouts import roundtrip, same


def make(game: str, **kwargs: Any) -> AtariEnv:
    settings = {"obs_type": "grayscale", "max_num_frames_per_episode": 200, **kwargs}
    return AtariEnv(game, **settings)


def play(env: AtariEnv, n_steps: int, *, seed: int) -> tuple[list[Any], int]:
    """Return all that random steps return, with the RAM, and the number of games that ended."""
    rng = np.random.default_rng(seed)
    seen, n_ends = [], 0
    for _ in range(n_steps):
        step = env.step(int(rng.integers(env.action_space.n)))  # type: ignore[attr-defined]
        seen.append((*step, env.ale.getRAM()))
        if step[2] or step[3]:
            n_ends += 1
            seen.append((*env.reset(), env.ale.getRAM()))
    return seen, n_ends


# all 104 games of ale-py were tested like this once, with at least 16 states each
@pytest.mark.parametrize(
    ("game", "stickiness", "settings"),
    [
        ("breakout", 0.25, {"frameskip": (3, 6), "mode": 4, "difficulty": 1}),
        ("miniature_golf", 0.25, {"obs_type": "ram"}),
        ("ms_pacman", 0.0, {"obs_type": "rgb"}),
        ("pong", 0.5, {}),
        ("qbert", 0.25, {}),
        ("tetris", 0.25, {}),
    ],
)
def test_restored_game_continues_with_the_same_frames(
    game: str, stickiness: float, settings: dict[str, Any]
) -> None:
    env = make(game, repeat_action_probability=stickiness, **settings)
    env.reset(seed=1)
    fresh = make(game, repeat_action_probability=stickiness, **settings)
    fresh.reset(seed=99)
    play(fresh, 7, seed=5)
    for i in range(5):
        play(env, 3 * i, seed=i)
        write_env(fresh, roundtrip(read_env(env)))
        assert same(play(env, 9, seed=20 + i), play(fresh, 9, seed=20 + i)), i
    seen, n_ends = play(env, 105, seed=3)
    assert same((seen, n_ends), play(fresh, 105, seed=3))
    assert n_ends >= 2  # games that started from the random generator of the emulator


@pytest.mark.parametrize("game", ["breakout", "qbert"])
@pytest.mark.parametrize("begin", ["never reset", "just reset", "reset after a game"])
def test_restores_a_game_before_its_first_step(game: str, begin: str) -> None:
    env, fresh = make(game), make(game)
    if begin != "never reset":
        env.reset(seed=2)
    if begin == "reset after a game":
        play(env, 5, seed=0)
        env.reset()
    play(fresh, 5, seed=1)
    write_env(fresh, roundtrip(read_env(env)))
    assert same(play(env, 40, seed=2), play(fresh, 40, seed=2))


def test_saving_does_not_change_the_game() -> None:
    env, unsaved = (make("breakout", repeat_action_probability=0.5) for _ in range(2))
    env.reset(seed=3)
    unsaved.reset(seed=3)
    n_repeated = 0
    for i in range(30):
        n_repeated += read_emulator(env)["sticky_action"] != 0
        assert same(play(env, 3, seed=i), play(unsaved, 3, seed=i))
    assert n_repeated >= 3  # saving had to find the sticky action


def test_finds_each_sticky_action() -> None:
    """The paddle keeps moving right or left while its action is repeated."""
    found = []
    env = make("breakout", repeat_action_probability=0.9, frameskip=1)
    env.reset(seed=1)
    for action in (2, 3) * 8:  # RIGHT, LEFT
        for _ in range(40):
            env.step(action)
        found.append(read_emulator(env)["sticky_action"])
    assert set(found) <= {0, 3, 4}  # ALE's numbers of NOOP, RIGHT, LEFT
    assert {3, 4} <= set(found)
    assert all(found[i] in (0, (3, 4)[i % 2]) for i in range(len(found)))


def test_emulator_continues_differently_without_its_sticky_action() -> None:
    env = make("breakout", repeat_action_probability=0.9, frameskip=1)
    env.reset(seed=1)
    fresh = make("breakout", repeat_action_probability=0.9, frameskip=1)
    n_other = 0
    for i in range(10):
        play(env, 20, seed=i)
        fresh.restore_state(env.clone_state(include_rng=True))  # ale-py's own method
        n_other += not same(play(env, 5, seed=i), play(fresh, 5, seed=i))
    assert n_other >= 2


def test_rejects_settings_that_cannot_be_restored() -> None:
    with pytest.raises(UnsavableEnvError, match="sound_obs"):
        read_env(make("pong", sound_obs=True))
    with pytest.raises(UnsavableEnvError, match="continuous"):
        read_env(make("pong", continuous=True, repeat_action_probability=0.25))
    read_env(make("pong", continuous=True, repeat_action_probability=0.0))
