"""Warnings of frames that are stacked twice."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.wrappers import FrameStackObservation
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecTransposeImage,
)

from sb3_atari_course import AtariCNN, FastDQN, FrameReplayBuffer, make_atari_env, wrap_atari
from sb3_atari_course.envs import warn_if_stacked_twice, warn_of_many_channels
from sb3_atari_course.wrappers import ClipReward, FrameStack
from tests.fakes import FakeGame

GAME = "BreakoutNoFrameskip-v4"
SMALL = {"shape": (36, 36)}
TEXT = r"stacked twice: .* of 4 in VecFrameStack of 4, 16 at once.*frame_stack"


def make_dummy(wrap: Any) -> VecEnv:
    return DummyVecEnv([lambda: wrap(FakeGame(shape=(40, 40, 3)))])


def test_vec_frame_stack_around_make_atari_env() -> None:
    for native in (False, True):
        env = VecFrameStack(make_atari_env(GAME, 2, native=native), 4)
        with pytest.warns(UserWarning, match=TEXT):
            warn_if_stacked_twice(env)
        env.close()


def test_frame_stack_of_rl_zoo_around_wrap_atari() -> None:
    env = make_dummy(partial(wrap_atari, n_stack=4))
    with pytest.warns(UserWarning, match=TEXT):
        warn_if_stacked_twice(VecTransposeImage(VecFrameStack(VecMonitor(env), 4)))


def test_fast_dqn_warns() -> None:
    env = VecFrameStack(make_atari_env(GAME, 1, native=True, wrapper_kwargs=SMALL), 4)
    with pytest.warns(UserWarning, match=TEXT):
        FastDQN("CnnPolicy", env, buffer_size=10)
    env.close()
    single = make_atari_env(GAME, 1, native=True, wrapper_kwargs=SMALL)
    FastDQN("CnnPolicy", single, buffer_size=10)
    single.close()


@pytest.mark.parametrize(
    ("algorithm", "kwargs"),
    [
        (DQN, {"buffer_size": 10, "replay_buffer_class": FrameReplayBuffer}),
        (PPO, {"policy_kwargs": {"features_extractor_class": AtariCNN}, "n_steps": 64}),
    ],
)
def test_parts_of_a_model_look_at_its_environment(algorithm: Any, kwargs: Any) -> None:
    env = make_dummy(partial(wrap_atari, n_stack=16))
    algorithm("CnnPolicy", env, **kwargs)  # once: a warning would be an error
    twice = VecFrameStack(make_dummy(partial(wrap_atari, n_stack=2)), 4)
    with pytest.warns(UserWarning, match=r"stacked twice: .*, 8 at once"):
        algorithm("CnnPolicy", twice, **kwargs)


@pytest.mark.process
def test_in_worker_processes() -> None:
    env = VecFrameStack(make_atari_env(GAME, 1, vec_env_cls=SubprocVecEnv), 4)
    try:
        with pytest.warns(UserWarning, match=TEXT):
            warn_if_stacked_twice(env)
    finally:
        env.close()


def test_wrappers_in_wrappers() -> None:
    env: gym.Env[Any, Any] = FrameStackObservation(FrameStack(FakeGame(), n_stack=3), 2)
    match = "FrameStack of 3 in FrameStackObservation of 2, 6 at once"
    with pytest.warns(UserWarning, match=match):
        warn_if_stacked_twice(ClipReward(env))


def test_a_single_stack_is_none_too_many() -> None:
    warn_if_stacked_twice(None)
    warn_if_stacked_twice(FakeGame())
    warn_if_stacked_twice(wrap_atari(FakeGame(shape=(40, 40, 3)), n_stack=4))
    for native in (False, True):
        for outer, inner in ((1, 4), (4, 1)):
            env = make_atari_env(GAME, 1, native=native, n_stack=inner)
            warn_if_stacked_twice(VecFrameStack(env, outer))
            env.close()


def test_the_same_text_is_shown_once() -> None:
    env = VecFrameStack(make_dummy(partial(wrap_atari, n_stack=2)), 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        warn_if_stacked_twice(env)
        warn_if_stacked_twice(env)  # of another line
    assert len(caught) == 1


def test_more_channels_than_a_usual_stack_are_a_warning() -> None:
    warn_of_many_channels("it", 12)  # four colour frames; a warning would be an error
    with pytest.warns(UserWarning, match="16 channels"):
        warn_of_many_channels("it", 16)
