"""From a chain of wrappers to the settings of a native environment."""

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
from sb3_atari_course.envs.native.from_wrappers import native_from_wrappers, settings_of
from sb3_atari_course.wrappers import ClipReward, CropGrayResize, FireOnReset, FrameStack
from tests.fakes import Tape

GAME = "BreakoutNoFrameskip-v4"
FIELD = (30, 195, 5, 155)


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
    ("wrap", "message"),
    [
        (Tape, "the wrapper Tape has no counterpart .* leave it out .* --vec-env dummy"),
        (gym.wrappers.GrayscaleObservation, "GrayscaleObservation has no counterpart"),
        (lambda env: Monitor(ClipReward(env)), "ClipReward stands inside Monitor"),
        (lambda env: FireOnReset(FireOnReset(env)), "FireOnReset stands inside FireOnReset"),
        (lambda env: env, r"add wrap_atari \(or CropGrayResize\)"),
        (
            lambda env: wrap_atari(Monitor(env, info_keywords=("lives",))),
            r"r, l and t .* got \('lives',\) in monitor_kwargs",
        ),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(wrap: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        native_from_wrappers([lambda: wrap(gym.make(GAME))])
    assert "\n" not in str(caught.value)


def test_an_environment_that_is_no_atari_game() -> None:
    with pytest.raises(ValueError, match=r"CartPole-v1.*--vec-env dummy"):
        native_from_wrappers([lambda: gym.make("CartPole-v1")])


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
