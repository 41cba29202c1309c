"""Settings that a FrameReplayBuffer refuses, each with the remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sb3_atari_course.replay import FrameReplayBuffer
from sb3_atari_course.replay.stacks import StackArray

SPACE = spaces.Box(0, 255, (4, 84, 84), np.uint8)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 255, (84, 84), np.uint8),
        spaces.Box(0, 255, (8,), np.uint8),
        spaces.Box(0, 255, (2, 4, 84, 84), np.uint8),
        spaces.Box(0, 1, (4, 84, 84), np.float32),
        spaces.Dict({"screen": SPACE}),
        spaces.Discrete(5),
    ],
    ids=str,
)
def test_observations_that_are_no_stacks_of_images(space: spaces.Space[Any]) -> None:
    with pytest.raises(ValueError, match=r"keeps stacks of images, uint8 .*; got .*ReplayBuffer"):
        FrameReplayBuffer(10, space, spaces.Discrete(4))


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"optimize_memory_usage": True}, ValueError, "keeps every frame once already: leave out"),
        ({"compression": "zip"}, ValueError, "compression must be None or 'lz4', got 'zip'"),
        ({"storage_device": "meta"}, ValueError, "must be 'cpu', 'cuda' or 'auto', got 'meta'"),
        ({"storage_device": "gpu"}, ValueError, "must be 'cpu', 'cuda' or 'auto', got 'gpu'"),
        ({"storage_device": None}, ValueError, "must be 'cpu', 'cuda' or 'auto', got None"),
        (
            {"storage_device": "cuda", "compression": "lz4"},
            ValueError,
            "frames on a GPU cannot be unpacked there: choose",
        ),
        ({"n_steps": 0}, ValueError, "n_steps must be at least 1, got 0"),
        ({"n_steps": 1.5}, TypeError, "n_steps must be an integer of at least 1, got 1.5"),
        ({"gamma": float("nan")}, ValueError, "gamma must be a finite number, got nan"),
        ({"gamma": 1.01}, ValueError, "gamma is a discount, 0 to 1, got 1.01"),
        ({"gamma": -0.1}, ValueError, "gamma is a discount, 0 to 1, got -0.1"),
        ({"buffer_size": 0}, ValueError, "buffer_size must be at least 1, got 0"),
        ({"optimize_memory_usage": "no"}, TypeError, "optimize_memory_usage .*got 'no'"),
        ({"optimize_memory_usage": 0}, TypeError, "optimize_memory_usage .*got 0"),
        ({"handle_timeout_termination": "no"}, TypeError, "handle_timeout_.*got 'no'"),
        ({"handle_timeout_termination": None}, TypeError, "handle_timeout_.*got None"),
        ({"n_step": 3}, TypeError, r"n_step=3: did you mean n_steps\?"),
        ({"compress": "lz4"}, TypeError, r"compress='lz4': did you mean compression\?"),
    ],
    ids=str,
)
def test_a_wrong_argument(kwargs: dict[str, Any], error: Any, match: str) -> None:
    settings = {
        "buffer_size": 10,
        "observation_space": SPACE,
        "action_space": spaces.Discrete(4),
        **kwargs,
    }
    with pytest.raises(error, match=match):
        FrameReplayBuffer(**settings)


def test_sb3_s_optimised_variant_is_refused_through_sb3_too() -> None:
    with pytest.raises(ValueError, match="keeps every frame once already"):
        FrameReplayBuffer(10, SPACE, spaces.Discrete(4), "cpu", 1, True, False)


def test_flags_may_be_numpy_bools() -> None:
    buffer = FrameReplayBuffer(10, SPACE, spaces.Discrete(4), "cpu", 1, np.False_, np.False_)
    assert buffer.handle_timeout_termination is False


def test_its_observations_have_the_bytes_of_an_array() -> None:
    buffer = FrameReplayBuffer(10, SPACE, spaces.Discrete(4), n_envs=2)
    assert isinstance(buffer.observations, StackArray)
    assert buffer.observations.nbytes == np.zeros((5, 2, *SPACE.shape), np.uint8).nbytes


def test_a_stack_that_was_stacked_again_is_a_warning() -> None:
    space = spaces.Box(0, 255, (84, 84, 16), np.uint8)
    with pytest.warns(UserWarning, match=r"FrameReplayBuffer .*16 channels.*VecFrameStack"):
        FrameReplayBuffer(10, space, spaces.Discrete(4))
    FrameReplayBuffer(10, spaces.Box(0, 255, (12, 84, 84), np.uint8), spaces.Discrete(4))
