"""Tests of FrameReplayBuffer: batches equal SB3's bit for bit; invalid settings are rejected."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_atari_course.replay import FrameReplayBuffer
from tests import naive
from tests.fakes import StackedPlay

GAMMA = 0.9
SPACE = spaces.Box(0, 255, (4, 84, 84), np.uint8)


def make_pair(
    play: StackedPlay, buffer_size: int, *, n_steps: int = 1, **kwargs: Any
) -> tuple[FrameReplayBuffer, ReplayBuffer]:
    """Return a FrameReplayBuffer and SB3's buffer with the same settings."""
    settings = (buffer_size, play.observation_space, play.action_space, "cpu", play.n_envs)
    ours = FrameReplayBuffer(*settings, n_steps=n_steps, gamma=GAMMA, **kwargs)
    if n_steps == 1:
        return ours, ReplayBuffer(*settings)
    return ours, NStepReplayBuffer(*settings, n_steps=n_steps, gamma=GAMMA)


def fill(play: StackedPlay, n_rows: int, *buffers: Any) -> None:
    """Add the same transitions to all buffers."""
    for _ in range(n_rows):
        transition = play.step()
        for buffer in buffers:
            buffer.add(*transition)


def sample(buffer: Any, batch_size: int, seed: int) -> Any:
    np.random.seed(seed)  # noqa: NPY002
    return buffer.sample(batch_size)


def assert_equal_batches(ours: ReplayBufferSamples, theirs: ReplayBufferSamples) -> None:
    for name, our, their in zip(ours._fields, ours, theirs, strict=True):
        if their is None:
            assert our is None, name
            continue
        assert our.dtype == their.dtype, name
        assert our.is_contiguous(), name
        assert th.equal(our, their), name


@pytest.mark.parametrize("compression", [None, "lz4"])
@pytest.mark.parametrize("n_steps", [1, 3, 5])
@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("padding", ["zero", "repeat"])
@pytest.mark.parametrize("n_envs", [1, 3, 8])
def test_batches_equal_sb3_and_the_naive_reference(
    n_envs: int, padding: str, channels_first: bool, n_steps: int, compression: Any
) -> None:
    for seed in range(4):
        play = StackedPlay(
            seed,
            n_envs=n_envs,
            n_stack=2 + seed,
            padding=padding,
            channels_first=channels_first,
            interleaved=seed % 2 == 0,
            p_unrelated=0.05 if seed > 1 else 0.0,
        )
        ours, theirs = make_pair(play, 11 * n_envs, n_steps=n_steps, compression=compression)
        reference = naive.NaiveReplayBuffer(11, n_envs, n_steps=n_steps, gamma=GAMMA)
        for step in range(60):  # every row is overwritten at least four times
            transition = play.step()
            for buffer in (ours, theirs, reference):
                buffer.add(*transition)
            if step % 6 == 5:
                batch = sample(ours, 20, step)
                assert_equal_batches(batch, sample(theirs, 20, step))
                for name, expected in sample(reference, 20, step).items():
                    if name == "discounts" and n_steps == 1:
                        assert batch.discounts is None
                    elif name in ("rewards", "discounts"):  # the reference sums in 64 bits
                        value = getattr(batch, name)
                        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
                    else:
                        assert (getattr(batch, name).numpy() == expected).all(), name
                ours.check_valid()


@pytest.mark.parametrize("compression", [None, "lz4"])
@pytest.mark.parametrize(
    "kind",
    [
        {"n_stack": 1},
        {"n_stack": 1, "channels_first": False},
        {"n_colors": 3, "n_stack": 4, "image_shape": (20, 16)},
        {"n_colors": 3, "n_stack": 1, "image_shape": (20, 16), "channels_first": False},
        {"image_shape": (5, 8)},
        {"image_shape": (84, 84)},
        {"p_unrelated": 1.0},
    ],
    ids=str,
)
def test_batches_equal_sb3_for_any_stack(kind: dict[str, Any], compression: Any) -> None:
    play = StackedPlay(0, **{"n_envs": 2, **kind})
    ours, theirs = make_pair(play, 14, compression=compression)
    fill(play, 25, ours, theirs)
    ours.check_valid()
    assert_equal_batches(sample(ours, 30, 0), sample(theirs, 30, 0))


def test_buffer_size_below_n_envs_keeps_one_row() -> None:
    play = StackedPlay(0, n_envs=3)
    ours, theirs = make_pair(play, 2)
    for step in range(30):
        transition = play.step()
        ours.add(*transition)
        theirs.add(*transition)
        assert_equal_batches(sample(ours, 5, step), sample(theirs, 5, step))
        ours.check_valid()


def test_changing_arrays_after_add_does_not_change_the_buffer() -> None:
    play = StackedPlay(0, n_envs=2)
    ours, theirs = make_pair(play, 20)
    for _ in range(15):
        transition = play.step()
        ours.add(*transition)
        theirs.add(*transition)
        for array in transition[:5]:
            array[...] = 1
    assert_equal_batches(sample(ours, 30, 0), sample(theirs, 30, 0))


def test_time_limit_counts_as_termination_without_timeout_handling() -> None:
    play = StackedPlay(0, n_envs=2)
    settings = (40, play.observation_space, play.action_space, "cpu", 2)
    ours = FrameReplayBuffer(*settings, handle_timeout_termination=False)
    theirs = ReplayBuffer(*settings, handle_timeout_termination=False)
    fill(play, 20, ours, theirs)
    assert_equal_batches(sample(ours, 40, 0), sample(theirs, 40, 0))


def test_observations_can_be_indexed_like_sb3s_arrays() -> None:
    play = StackedPlay(0, n_envs=3)
    ours, theirs = make_pair(play, 30)
    fill(play, 10, ours, theirs)
    for name in ("observations", "next_observations"):
        our, their = getattr(ours, name), getattr(theirs, name)
        assert our.shape == their.shape
        assert our.dtype == their.dtype
        assert len(our) == len(their)
        assert (our[3] == their[3]).all()
        assert (our[-1, 2] == their[-1, 2]).all()
        assert (our[2:5] == their[2:5]).all()
        assert (our[[1, 2], [0, 1], :] == their[[1, 2], [0, 1], :]).all()
    for index in ((1, 2, 3), (1, 2, slice(2)), (..., 0), ..., (None, 1)):
        with pytest.raises(IndexError, match="index"):
            ours.observations[index]  # type: ignore[index]


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_other_dtypes_are_converted_like_in_sb3(dtype: Any) -> None:
    play = StackedPlay(0, n_envs=2)
    ours, theirs = make_pair(play, 20)
    for _ in range(15):
        obs, next_obs, *rest = play.step()
        for buffer in (ours, theirs):
            buffer.add(obs.astype(dtype), list(next_obs), *rest)  # type: ignore[arg-type]
    assert_equal_batches(sample(ours, 30, 0), sample(theirs, 30, 0))


@pytest.mark.parametrize(
    "action_space",
    [spaces.Box(-1, 1, (3,), np.float64), spaces.MultiDiscrete([3, 4]), spaces.MultiBinary(3)],
    ids=str,
)
def test_batches_equal_sb3_for_any_action_space(action_space: Any) -> None:
    play = StackedPlay(0, n_envs=2)
    play.action_space = action_space
    ours, theirs = make_pair(play, 20)
    for seed in range(15):
        action_space.seed(seed)
        obs, next_obs, _, *rest = play.step()
        actions = np.array([action_space.sample() for _ in range(2)])
        for buffer in (ours, theirs):
            buffer.add(obs, next_obs, actions, *rest)
    assert_equal_batches(sample(ours, 30, 0), sample(theirs, 30, 0))


def test_observations_on_a_gpu_are_normalized_on_the_cpu() -> None:
    env: Any = SimpleNamespace(normalize_obs=lambda obs: obs.astype(np.float32) / 2)
    normalized = FrameReplayBuffer._normalize_obs(th.full((2, 3), 8, dtype=th.uint8), env)
    assert isinstance(normalized, np.ndarray)
    assert (normalized == 4).all()


@pytest.mark.parametrize("compression", [None, "lz4"])
def test_referenced_samples_are_not_overwritten(compression: Any) -> None:
    """Arrays are reused only when neither they nor their views are referenced."""
    play = StackedPlay(0, n_envs=2)
    ours, theirs = make_pair(play, 40, compression=compression)
    fill(play, 20, ours, theirs)
    held = [sample(ours, 8, seed) for seed in range(12)]
    views = [sample(ours, 8, seed).observations[2:4] for seed in range(12)]
    for seed in range(12):
        expected = sample(theirs, 8, seed)
        assert_equal_batches(held[seed], expected)
        assert th.equal(views[seed], expected.observations[2:4])


@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")
def test_frames_on_a_gpu_give_the_same_batches() -> None:
    play = StackedPlay(0, n_envs=3, p_unrelated=0.1)
    settings = (33, play.observation_space, play.action_space)
    on_gpu = FrameReplayBuffer(*settings, "cuda", 3, n_steps=3, storage_device="cuda")
    theirs = NStepReplayBuffer(*settings, "cuda", 3, n_steps=3)
    for step in range(60):
        transition = play.step()
        on_gpu.add(*transition)
        theirs.add(*transition)
        batch = sample(on_gpu, 20, step)
        assert batch.observations.device.type == "cuda"
        assert_equal_batches(batch, sample(theirs, 20, step))
        on_gpu.check_valid()


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 255, (84, 84), np.uint8),
        spaces.Box(0, 1, (4, 84, 84), np.float32),
        spaces.Dict({"screen": SPACE}),
        spaces.Discrete(5),
    ],
    ids=str,
)
def test_rejects_observations_that_are_not_stacked_images(space: spaces.Space[Any]) -> None:
    with pytest.raises(ValueError, match=re.escape(str(space))):
        FrameReplayBuffer(10, space, spaces.Discrete(4))


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"optimize_memory_usage": True}, ValueError, "optimize_memory_usage"),
        ({"compression": "zip"}, ValueError, "compression .*'zip'"),
        ({"storage_device": "gpu"}, ValueError, "storage_device .*'gpu'"),
        (
            {"storage_device": "cuda", "compression": "lz4"},
            ValueError,
            "compression='lz4'.* storage_device='cuda'",
        ),
        ({"n_steps": 0}, ValueError, "n_steps .* 0"),
        ({"n_steps": 1.5}, TypeError, r"n_steps .* 1\.5"),
        ({"gamma": float("nan")}, ValueError, "gamma .* nan"),
        ({"gamma": 1.01}, ValueError, r"gamma .* 1\.01"),
        ({"buffer_size": 0}, ValueError, "buffer_size .* 0"),
        ({"optimize_memory_usage": "no"}, TypeError, "optimize_memory_usage .*got 'no'"),
        ({"handle_timeout_termination": "no"}, TypeError, "handle_timeout_.*got 'no'"),
        ({"n_step": 3}, TypeError, r"n_step=3: did you mean n_steps\?"),
    ],
    ids=str,
)
def test_rejects_invalid_arguments(kwargs: dict[str, Any], error: Any, match: str) -> None:
    settings = {
        "buffer_size": 10,
        "observation_space": SPACE,
        "action_space": spaces.Discrete(4),
        **kwargs,
    }
    with pytest.raises(error, match=match):
        FrameReplayBuffer(**settings)


def test_flags_may_be_numpy_bools() -> None:
    buffer = FrameReplayBuffer(10, SPACE, spaces.Discrete(4), "cpu", 1, np.False_, np.False_)
    assert buffer.handle_timeout_termination is False


def test_warns_about_observations_that_are_stacked_twice() -> None:
    space = spaces.Box(0, 255, (84, 84, 16), np.uint8)
    with pytest.warns(UserWarning, match="16 channels.*VecFrameStack"):
        FrameReplayBuffer(10, space, spaces.Discrete(4))
    FrameReplayBuffer(10, spaces.Box(0, 255, (12, 84, 84), np.uint8), spaces.Discrete(4))
