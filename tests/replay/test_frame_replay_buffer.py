"""FrameReplayBuffer: batches are SB3's to the bit, wrong settings are refused with the remedy."""

from __future__ import annotations

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
    """Return our buffer and SB3's for the same settings."""
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
def test_batches_are_those_of_sb3_and_of_the_naive_twin(
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
            p_strange=0.05 if seed > 1 else 0.0,
        )
        ours, theirs = make_pair(play, 11 * n_envs, n_steps=n_steps, compression=compression)
        twin = naive.Replay(11, n_envs, n_steps=n_steps, gamma=GAMMA)
        for step in range(60):  # more than five turns of the ring
            transition = play.step()
            for buffer in (ours, theirs, twin):
                buffer.add(*transition)
            if step % 6 == 5:
                batch = sample(ours, 20, step)
                assert_equal_batches(batch, sample(theirs, 20, step))
                for name, expected in sample(twin, 20, step).items():
                    if name == "discounts" and n_steps == 1:
                        assert batch.discounts is None
                    elif name in ("rewards", "discounts"):  # the twin sums in 64 bits
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
        {"n_colours": 3, "n_stack": 4, "image_shape": (20, 16)},
        {"n_colours": 3, "n_stack": 1, "image_shape": (20, 16), "channels_first": False},
        {"image_shape": (5, 8)},
        {"image_shape": (84, 84)},
        {"p_strange": 1.0},
    ],
    ids=str,
)
def test_any_stack_size_shape_and_colour(kind: dict[str, Any], compression: Any) -> None:
    play = StackedPlay(0, **{"n_envs": 2, **kind})
    ours, theirs = make_pair(play, 14, compression=compression)
    fill(play, 25, ours, theirs)
    ours.check_valid()
    assert_equal_batches(sample(ours, 30, 0), sample(theirs, 30, 0))


def test_a_buffer_smaller_than_its_environments_keeps_one_row() -> None:
    play = StackedPlay(0, n_envs=3)
    ours, theirs = make_pair(play, 2)
    for step in range(30):
        transition = play.step()
        ours.add(*transition)
        theirs.add(*transition)
        assert_equal_batches(sample(ours, 5, step), sample(theirs, 5, step))
        ours.check_valid()


def test_what_the_caller_does_with_its_arrays_later_does_not_matter() -> None:
    play = StackedPlay(0, n_envs=2)
    ours, theirs = make_pair(play, 20)
    for _ in range(15):
        transition = play.step()
        ours.add(*transition)
        theirs.add(*transition)
        for array in transition[:5]:
            array[...] = 1
    assert_equal_batches(sample(ours, 30, 0), sample(theirs, 30, 0))


def test_without_timeout_termination_a_time_limit_is_an_end_like_any_other() -> None:
    play = StackedPlay(0, n_envs=2)
    settings = (40, play.observation_space, play.action_space, "cpu", 2)
    ours = FrameReplayBuffer(*settings, handle_timeout_termination=False)
    theirs = ReplayBuffer(*settings, handle_timeout_termination=False)
    fill(play, 20, ours, theirs)
    assert_equal_batches(sample(ours, 40, 0), sample(theirs, 40, 0))


def test_rows_and_environments_can_be_read_like_sb3_s_arrays() -> None:
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
        with pytest.raises(IndexError, match="only whole stacks"):
            ours.observations[index]  # type: ignore[index]


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_arrays_of_another_dtype_are_taken_as_sb3_takes_them(dtype: Any) -> None:
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
def test_actions_of_any_kind(action_space: Any) -> None:
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


def test_stacks_of_a_card_are_normalised_on_the_cpu() -> None:
    env: Any = SimpleNamespace(normalize_obs=lambda obs: obs.astype(np.float32) / 2)
    normalised = FrameReplayBuffer._normalize_obs(th.full((2, 3), 8, dtype=th.uint8), env)
    assert isinstance(normalised, np.ndarray)
    assert (normalised == 4).all()


@pytest.mark.parametrize("compression", [None, "lz4"])
def test_samples_that_are_still_held_are_not_written_over(compression: Any) -> None:
    """Memory is used again, but only once nobody holds it, be it by a view."""
    play = StackedPlay(0, n_envs=2)
    ours, theirs = make_pair(play, 40, compression=compression)
    fill(play, 20, ours, theirs)
    held = [sample(ours, 8, seed) for seed in range(12)]
    views = [sample(ours, 8, seed).observations[2:4] for seed in range(12)]
    for seed in range(12):
        expected = sample(theirs, 8, seed)
        assert_equal_batches(held[seed], expected)
        assert th.equal(views[seed], expected.observations[2:4])


@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA card")
def test_frames_on_a_card_give_the_same_batches_there() -> None:
    play = StackedPlay(0, n_envs=3, p_strange=0.1)
    settings = (33, play.observation_space, play.action_space)
    on_card = FrameReplayBuffer(*settings, "cuda", 3, n_steps=3, storage_device="cuda")
    theirs = NStepReplayBuffer(*settings, "cuda", 3, n_steps=3)
    for step in range(60):
        transition = play.step()
        on_card.add(*transition)
        theirs.add(*transition)
        batch = sample(on_card, 20, step)
        assert batch.observations.device.type == "cuda"
        assert_equal_batches(batch, sample(theirs, 20, step))
        on_card.check_valid()


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
def test_observations_that_are_no_stacks_of_images(space: spaces.Space[Any]) -> None:
    with pytest.raises(ValueError, match=r"keeps stacks of images, uint8 .*; got .*ReplayBuffer"):
        FrameReplayBuffer(10, space, spaces.Discrete(4))


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"optimize_memory_usage": True}, ValueError, "keeps every frame once already: leave out"),
        ({"compression": "zip"}, ValueError, "compression must be None or 'lz4', got 'zip'"),
        ({"storage_device": "gpu"}, ValueError, "must be 'cpu', 'cuda' or 'auto', got 'gpu'"),
        (
            {"storage_device": "cuda", "compression": "lz4"},
            ValueError,
            "frames on a GPU cannot be unpacked there: choose",
        ),
        ({"n_steps": 0}, ValueError, "n_steps must be at least 1, got 0"),
        ({"n_steps": 1.5}, TypeError, "n_steps must be an integer of at least 1, got 1.5"),
        ({"gamma": float("nan")}, ValueError, "gamma must be a finite number, got nan"),
        ({"gamma": 1.01}, ValueError, "gamma is a discount, 0 to 1, got 1.01"),
        ({"buffer_size": 0}, ValueError, "buffer_size must be at least 1, got 0"),
        ({"optimize_memory_usage": "no"}, TypeError, "optimize_memory_usage .*got 'no'"),
        ({"handle_timeout_termination": "no"}, TypeError, "handle_timeout_.*got 'no'"),
        ({"n_step": 3}, TypeError, r"n_step=3: did you mean n_steps\?"),
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


def test_flags_may_be_numpy_bools() -> None:
    buffer = FrameReplayBuffer(10, SPACE, spaces.Discrete(4), "cpu", 1, np.False_, np.False_)
    assert buffer.handle_timeout_termination is False


def test_a_stack_that_was_stacked_again_is_a_warning() -> None:
    space = spaces.Box(0, 255, (84, 84, 16), np.uint8)
    with pytest.warns(UserWarning, match="16 channels.*VecFrameStack"):
        FrameReplayBuffer(10, space, spaces.Discrete(4))
    FrameReplayBuffer(10, spaces.Box(0, 255, (12, 84, 84), np.uint8), spaces.Discrete(4))
