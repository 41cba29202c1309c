"""A warning of frames that are stacked twice."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_course import FastDQN, make_atari_env
from sb3_atari_course.envs import warn_if_stacked_twice

GAME = "BreakoutNoFrameskip-v4"


def images(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


@pytest.mark.parametrize("native", [False, True])
def test_vec_frame_stack_around_make_atari_env(native: bool) -> None:
    single = make_atari_env(GAME, 1, native=native)
    FastDQN("CnnPolicy", single, buffer_size=10)  # a warning would be an error
    with pytest.warns(UserWarning, match="16 channels.*VecFrameStack.*frame_stack"):
        FastDQN("CnnPolicy", VecFrameStack(single, 4), buffer_size=10)
    single.close()


@pytest.mark.parametrize("shape", [(16, 84, 84), (84, 84, 16)])
def test_more_channels_than_a_usual_stack(shape: tuple[int, ...]) -> None:
    with pytest.warns(UserWarning, match="16 channels"):
        warn_if_stacked_twice(images(*shape))


@pytest.mark.parametrize(
    "space", [images(12, 84, 84), images(84, 84, 4), spaces.Discrete(500), spaces.Box(-1, 1, (99,))]
)
def test_a_usual_stack_and_what_is_no_image(space: spaces.Space[np.generic]) -> None:
    warn_if_stacked_twice(space)


def test_the_same_text_is_shown_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        warn_if_stacked_twice(images(16, 84, 84))
        warn_if_stacked_twice(images(16, 84, 84))  # of another line
    assert len(caught) == 1
