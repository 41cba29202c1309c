"""What the emulators are asked for: from an id and its options, or from a chain of wrappers."""

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
from tests.fakes import Tape

GAME = "BreakoutNoFrameskip-v4"
FIELD = (30, 195, 5, 155)


def ask(env_id: str, **settings: Any) -> Emulators:
    defaults: dict[str, Any] = {"frame_skip": 4, "max_pool": True, "noop_max": 30, "options": {}}
    return find_emulators(env_id, **{**defaults, **settings})


def start(env_id: str, **settings: Any) -> Start:
    asked = ask(env_id, **settings)
    return start_of(asked.arguments["game"], asked.n_noops)


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
def test_the_shortest_limit_counts(frame_skip: int, options: dict[str, Any], expected: int) -> None:
    asked = ask("PongNoFrameskip-v4", frame_skip=frame_skip, options=options)
    assert asked.arguments["max_num_frames_per_episode"] == expected


def test_some_screens_are_higher() -> None:
    """Of 250 rows, all of which are seen as by the wrappers."""
    env_id = "ALE/KeystoneKapers-v5"
    assert start("PongNoFrameskip-v4").screen == (210, 160)
    emulator = gym.make(env_id, obs_type="grayscale", frameskip=1)
    rows, columns = start(env_id, options={"frameskip": 1}).screen
    assert (rows, columns) == emulator.observation_space.shape == (250, 160)
    crop = (0, rows, 8, 160)
    native = NativeAtariVecEnv(env_id, 1, crop=crop, noop_max=0, n_stack=1, frameskip=1)
    expected = crop_gray_resize(emulator.reset(seed=0)[0], crop=crop)
    np.testing.assert_array_equal(native.reset()[0, 0], expected[..., 0])


def test_what_the_emulator_plays_during_a_reset_and_what_no_ops_score() -> None:
    """By hand: frame numbers after a reset of gym.make, and its rewards of no-ops."""
    assert start("PongNoFrameskip-v4", noop_max=2).n_frames == 0
    assert start("NameThisGameNoFrameskip-v4").n_frames == 134
    env = gym.make("SkiingNoFrameskip-v4")
    env.reset(seed=0)
    scores = np.cumsum([0.0, *(float(env.step(0)[1]) for _ in range(30))])
    assert scores[-1] < -40
    assert start("SkiingNoFrameskip-v4").noop_scores.tolist() == scores.tolist()


def test_threads_are_of_use_up_to_the_games() -> None:
    assert usable_threads(None, 1) == 1
    assert usable_threads(1, 64) == 1
    assert 1 <= usable_threads(None, 1000) < 1000


def test_our_wrappers() -> None:
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


def test_what_is_left_out_is_off() -> None:
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


def test_sb3s_wrappers() -> None:
    """RL Zoo's own dqn.yml names them."""
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
        (Tape, "Tape"),
        (lambda env: Monitor(ClipReward(env)), "ClipReward stands inside Monitor"),
        (lambda env: env, "wrap_atari"),
        (lambda env: wrap_atari(Monitor(env, info_keywords=("lives",))), r"\('lives',\)"),
        (lambda env: gym.make("CartPole-v1"), "CartPole-v1"),
    ],
)
def test_what_cannot_be_native_is_refused(wrap: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        native_from_wrappers([lambda: wrap(gym.make(GAME))])


def test_sb3s_make_vec_env_can_use_it(tmp_path: Any) -> None:
    """The id's options, Monitor's folder and the seed arrive; only one Python env is made."""
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
def test_rl_zoos_time_limit_is_known_as_gymnasiums_is(time_limit: Any) -> None:
    """Importing RL Zoo puts its own into the place of Gymnasium's, before our import or after."""
    game = time_limit(gym.make(GAME), max_episode_steps=50)
    assert settings_of(wrap_atari(game))["max_episode_steps"] == 50
