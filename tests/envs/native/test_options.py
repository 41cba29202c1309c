"""Tests of the options of native environments: from an id, or from a chain of wrappers."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from rl_zoo3.gym_patches import PatchedTimeLimit
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course import NativeAtariVecEnv, wrap_atari
from sb3_atari_course.envs.native.native_vec_env import native_from_wrappers
from sb3_atari_course.envs.native.options import (
    Emulators,
    Start,
    find_emulators,
    settings_of,
    start_of,
    usable_threads,
)
from sb3_atari_course.wrappers import ClipReward, CropGrayResize, FrameStack, crop_gray_resize
from tests.fakes import ActionRecorder

GAME = "BreakoutNoFrameskip-v4"
FIELD = (30, 195, 5, 155)


def find(env_id: str, **settings: Any) -> Emulators:
    defaults: dict[str, Any] = {"frame_skip": 4, "max_pool": True, "noop_max": 30, "options": {}}
    return find_emulators(env_id, **{**defaults, **settings})


def start(env_id: str, **settings: Any) -> Start:
    found = find(env_id, **settings)
    return start_of(found.arguments["game"], found.n_noops)


def test_noframeskip_id_gets_frame_skip_4_max_pooling_and_30_noops() -> None:
    assert find("SpaceInvadersNoFrameskip-v4") == Emulators(
        {
            "game": "space_invaders",
            "frameskip": 4,
            "maxpool": True,
            "noop_max": 31,  # ale-py plays at most one less
            "repeat_action_probability": 0.0,
            "max_num_frames_per_episode": 108_000,
            "full_action_space": False,
        },
        frame_skip=4,
        frames_counted=1,
        n_noops=30,
    )


def test_deterministic_id_keeps_its_frame_skip_without_max_pooling() -> None:
    found = find("BreakoutDeterministic-v4", frame_skip=1)
    assert (found.frame_skip, found.frames_counted, found.n_noops) == (4, 4, 120)
    assert found.arguments["maxpool"] is False


def test_options_override_those_of_the_id() -> None:
    options = {"frameskip": 1, "full_action_space": True, "repeat_action_probability": 0.1}
    found = find("ALE/Breakout-v5", options=options)
    assert found.frames_counted == 1
    assert found.arguments["full_action_space"] is True
    assert found.arguments["repeat_action_probability"] == 0.1
    found = find("ALE/Breakout-v5", options={"frameskip": 1})
    assert found.arguments["repeat_action_probability"] == 0.25
    assert NativeAtariVecEnv("BreakoutNoFrameskip-v4", full_action_space=True).action_space == (
        gym.spaces.Discrete(18)
    )


@pytest.mark.parametrize(
    ("frame_skip", "options", "expected"),
    [
        (4, {"max_num_frames_per_episode": 50}, 50),
        (4, {"max_episode_steps": 60}, 60),
        (4, {"max_episode_steps": 60, "max_num_frames_per_episode": 50}, 50),
        (4, {"max_episode_steps": -1}, 108_000),
        (4, {"max_num_frames_per_episode": 0}, 2**31 - 1),
        (1, {"max_episode_steps": 60, "frameskip": 4}, 240),  # steps of an id that skips
    ],
)
def test_shortest_frame_limit_applies(
    frame_skip: int, options: dict[str, Any], expected: int
) -> None:
    found = find("PongNoFrameskip-v4", frame_skip=frame_skip, options=options)
    assert found.arguments["max_num_frames_per_episode"] == expected


def test_frames_of_250_rows_equal_the_wrappers() -> None:
    env_id = "ALE/KeystoneKapers-v5"
    assert start("PongNoFrameskip-v4").screen == (210, 160)
    emulator = gym.make(env_id, obs_type="grayscale", frameskip=1)
    rows, columns = start(env_id, options={"frameskip": 1}).screen
    assert (rows, columns) == emulator.observation_space.shape == (250, 160)
    crop = (0, rows, 8, 160)
    native = NativeAtariVecEnv(env_id, 1, crop=crop, noop_max=0, n_stack=1, frameskip=1)
    expected = crop_gray_resize(emulator.reset(seed=0)[0], crop=crop)
    np.testing.assert_array_equal(native.reset()[0, 0], expected[..., 0])


def test_reset_frames_and_noop_scores_equal_those_of_gym_make() -> None:
    """The expected values are those of ``gym.make``."""
    assert start("PongNoFrameskip-v4", noop_max=2).n_frames == 0
    assert start("NameThisGameNoFrameskip-v4").n_frames == 134
    env = gym.make("SkiingNoFrameskip-v4")
    env.reset(seed=0)
    scores = np.cumsum([0.0, *(float(env.step(0)[1]) for _ in range(30))])
    assert scores[-1] < -40
    assert start("SkiingNoFrameskip-v4").noop_scores.tolist() == scores.tolist()


def test_at_most_one_thread_per_game() -> None:
    assert usable_threads(None, 1) == 1
    assert usable_threads(1, 64) == 1
    assert 1 <= usable_threads(None, 1000) < 1000


def test_reads_arguments_from_wrap_atari_and_frame_stack() -> None:
    env = FrameStack(wrap_atari(Monitor(gym.make(GAME)), crop=FIELD, noop_max=7), padding="zero")
    assert settings_of(env) == {
        "noop_max": 7,
        "frame_skip": 4,
        "max_pool": True,
        "terminal_on_life_loss": True,
        "fire": True,
        "crop": FIELD,
        "shape": (84, 84),
        "clip_reward": True,
        "n_stack": 4,
        "padding": "zero",
    }


def test_missing_wrappers_turn_their_arguments_off() -> None:
    env = CropGrayResize(gym.make(GAME, max_episode_steps=90), shape=(42, 50))
    assert settings_of(env) == {
        "max_episode_steps": 90,
        "noop_max": 0,
        "frame_skip": 1,
        "terminal_on_life_loss": False,
        "fire": False,
        "clip_reward": False,
        "n_stack": 1,
        "crop": None,
        "shape": (42, 50),
    }


def test_reads_arguments_from_sb3_atari_wrapper() -> None:
    """RL Zoo's dqn.yml uses them."""
    env = AtariWrapper(Monitor(gym.make(GAME)), noop_max=5, frame_skip=3, screen_size=42)
    assert settings_of(env) == {
        "noop_max": 5,
        "frame_skip": 3,
        "terminal_on_life_loss": True,
        "fire": True,
        "shape": (42, 42),
        "clip_reward": True,
        "n_stack": 1,
    }


@pytest.mark.parametrize(
    ("wrap", "named"),
    [
        (ActionRecorder, "ActionRecorder"),
        (lambda env: Monitor(ClipReward(env)), "ClipReward inside Monitor"),
        (lambda env: env, "wrap_atari"),
        (lambda env: wrap_atari(Monitor(env, info_keywords=("lives",))), r"\('lives',\)"),
        (lambda env: gym.make("CartPole-v1"), "CartPole-v1"),
    ],
)
def test_rejects_environments_without_a_native_equivalent(wrap: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        native_from_wrappers([lambda: wrap(gym.make(GAME))])


def test_sb3_make_vec_env_passes_options_monitor_folder_and_seed(tmp_path: Any) -> None:
    """Only one Python environment is made."""
    made = []

    def make(**kwargs: Any) -> gym.Env[Any, Any]:
        made.append(kwargs)
        return gym.make(GAME, **kwargs)

    env = make_vec_env(
        make,
        3,
        seed=11,
        monitor_dir=str(tmp_path),
        env_kwargs={"max_num_frames_per_episode": 40},
        wrapper_class=partial(wrap_atari, crop=FIELD, noop_max=5),
        vec_env_cls=native_from_wrappers,  # type: ignore[arg-type]
        vec_env_kwargs={"n_threads": 1},
    )
    assert len(made) == 1
    assert isinstance(env, NativeAtariVecEnv)
    assert env.observation_space.shape == (1, 84, 84)
    twin = NativeAtariVecEnv(
        GAME, 3, seed=11, crop=FIELD, n_stack=1, max_num_frames_per_episode=40, noop_max=5
    )
    np.testing.assert_array_equal(env.reset(), twin.reset())
    assert env.reset_infos == twin.reset_infos
    for _ in range(20):
        for mine, other in zip(
            env.step(np.full(3, 2))[:3], twin.step(np.full(3, 2))[:3], strict=True
        ):
            np.testing.assert_array_equal(mine, other)
    env.close()
    assert (tmp_path / "2.monitor.csv").read_text().count("\n") >= 3


@pytest.mark.parametrize("time_limit", [PatchedTimeLimit, PatchedTimeLimit.__mro__[1]])
def test_supports_the_time_limits_of_gymnasium_and_rl_zoo(time_limit: Any) -> None:
    """Importing RL Zoo replaces Gymnasium's class, before or after this package is imported."""
    game = time_limit(gym.make(GAME), max_episode_steps=50)
    assert settings_of(wrap_atari(game))["max_episode_steps"] == 50
