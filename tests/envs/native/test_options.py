"""What the emulators are asked for."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_atari_course import NativeAtariVecEnv
from sb3_atari_course.envs.native.options import Emulators, find_emulators, usable_threads
from sb3_atari_course.wrappers import crop_gray_resize


def ask(env_id: str, **settings: Any) -> Emulators:
    defaults: dict[str, Any] = {"frame_skip": 4, "max_pool": True, "noop_max": 30, "options": {}}
    return find_emulators(env_id, **{**defaults, **settings})


def test_an_id_that_plays_frame_by_frame() -> None:
    assert ask("SpaceInvadersNoFrameskip-v4") == Emulators(
        {
            "game": "space_invaders",
            "frameskip": 4,
            "maxpool": True,
            "noop_max": 31,  # ale-py draws one less at most
            "repeat_action_probability": 0.0,
            "max_num_frames_per_episode": 108_000,
            "full_action_space": False,
        },
        n_held=4,
        n_counted=1,
        n_noops=30,
    )


def test_an_id_that_skips_by_itself_shows_its_last_frame_and_counts_its_steps() -> None:
    asked = ask("BreakoutDeterministic-v4", frame_skip=1)
    assert (asked.n_held, asked.n_counted, asked.n_noops) == (4, 4, 120)
    assert asked.arguments["maxpool"] is False


def test_options_win_over_the_id() -> None:
    options = {"frameskip": 1, "full_action_space": True, "repeat_action_probability": 0.1}
    asked = ask("ALE/Breakout-v5", options=options)
    assert asked.n_counted == 1
    assert asked.arguments["full_action_space"] is True
    assert asked.arguments["repeat_action_probability"] == 0.1
    asked = ask("ALE/Breakout-v5", options={"frameskip": 1})
    assert asked.arguments["repeat_action_probability"] == 0.25
    assert NativeAtariVecEnv("BreakoutNoFrameskip-v4", full_action_space=True).action_space == (
        gym.spaces.Discrete(18)
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_num_frames_per_episode": 50}, 50),
        ({"max_episode_steps": 60}, 60),
        ({"max_episode_steps": 60, "max_num_frames_per_episode": 50}, 50),
        ({"max_episode_steps": -1}, 108_000),
        ({"max_num_frames_per_episode": 0}, 2**31 - 1),
    ],
)
def test_the_shortest_limit_counts(options: dict[str, Any], expected: int) -> None:
    asked = ask("PongNoFrameskip-v4", options=options)
    assert asked.arguments["max_num_frames_per_episode"] == expected


def test_a_limit_of_steps_is_one_of_frames_of_an_id_that_skips() -> None:
    options = {"max_episode_steps": 60}
    asked = ask("BreakoutDeterministic-v4", frame_skip=1, options=options)
    assert asked.arguments["max_num_frames_per_episode"] == 240


def test_some_screens_are_higher() -> None:
    """Of 250 rows, all of which are seen as by the wrappers."""
    env_id = "ALE/KeystoneKapers-v5"
    assert ask("PongNoFrameskip-v4").start().screen == (210, 160)
    emulator = gym.make(env_id, obs_type="grayscale", frameskip=1)
    rows, columns = ask(env_id, options={"frameskip": 1}).start().screen
    assert (rows, columns) == emulator.observation_space.shape == (250, 160)
    crop = (0, rows, 8, 160)
    native = NativeAtariVecEnv(env_id, 1, crop=crop, noop_max=0, n_stack=1, frameskip=1)
    expected = crop_gray_resize(emulator.reset(seed=0)[0], crop=crop)
    np.testing.assert_array_equal(native.reset()[0, 0], expected[..., 0])


def test_what_the_emulator_plays_during_a_reset_and_what_no_ops_score() -> None:
    """By hand: frame numbers after a reset of gym.make, and its rewards of no-ops."""
    assert ask("PongNoFrameskip-v4", noop_max=2).start().n_frames == 0
    assert ask("NameThisGameNoFrameskip-v4").start().n_frames == 134
    env = gym.make("SkiingNoFrameskip-v4")
    env.reset(seed=0)
    scores = np.cumsum([0.0, *(float(env.step(0)[1]) for _ in range(30))])
    assert scores[-1] < -40
    assert ask("SkiingNoFrameskip-v4").start().noop_scores.tolist() == scores.tolist()


def test_threads_are_of_use_up_to_the_games() -> None:
    assert usable_threads(None, 1) == 1
    assert usable_threads(1, 64) == 1
    assert 1 <= usable_threads(None, 1000) < 1000
