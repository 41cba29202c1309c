"""Tests of the deduplication of stacked frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_atari_course.replay import FrameReplayBuffer
from sb3_atari_course.replay.frame_stores import (
    DeviceFrames,
    PlainFrames,
)
from sb3_atari_course.replay.stacks import NEXT_OBS, OBS, StackStorage
from tests.fakes import StackedPlay


def frame(value: int) -> NDArray[np.uint8]:
    return np.full((2, 3), value, np.uint8)


def stack(*values: int) -> NDArray[np.uint8]:
    """Return the stacks (1, n_stack, h, w) of one environment, with uniform frames."""
    return np.stack([frame(value) for value in values])[None]


def make_storage(n_stack: int = 4, n_rows: int = 100) -> StackStorage:
    store = PlainFrames(6, 10)
    shape = (n_stack, 2, 3)
    return StackStorage(store, n_rows=n_rows, n_envs=1, shape=shape, channels_first=True)


def write(storage: StackStorage, obs: NDArray[np.uint8], next_obs: NDArray[np.uint8]) -> None:
    frame_ids, _ = storage.store_frames(obs, next_obs)
    storage.append(frame_ids)


def n_new_frames(storage: StackStorage, *writes: tuple[Any, Any]) -> list[int]:
    """Write rows and return the number of frames that each has added."""
    added = []
    for obs, next_obs in writes:
        before = storage.table.n_frames
        write(storage, obs, next_obs)
        added.append(storage.table.n_frames - before)
        storage.check_valid()
    return added


def test_step_adds_one_frame() -> None:
    steps = [
        (stack(i, i + 1, i + 2, i + 3), stack(i + 1, i + 2, i + 3, i + 4)) for i in range(1, 9)
    ]
    assert n_new_frames(make_storage(), *steps) == [5, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("past", [0, 7], ids=["zero-padded", "repeat-padded"])
def test_new_episode_adds_one_more_frame(past: int) -> None:
    writes = [
        (stack(1, 2, 3, 4), stack(2, 3, 4, 5)),
        (stack(past, past, past, 7), stack(past, past, 7, 8)),
        (stack(past, past, 7, 8), stack(past, 7, 8, 9)),
    ]
    assert n_new_frames(make_storage(), *writes)[1:] == [2, 1]


def test_life_loss_adds_no_more_frames() -> None:
    writes = [
        (stack(1, 2, 3, 4), stack(2, 3, 4, 5)),
        (stack(5, 5, 5, 5), stack(5, 5, 5, 6)),
        (stack(0, 0, 0, 6), stack(0, 0, 6, 7)),
    ]
    assert n_new_frames(make_storage(), *writes)[1:] == [1, 1]


def test_repeated_frame_is_not_stored_again() -> None:
    writes = [(stack(1, 2, 3, 4), stack(2, 3, 4, 4)), (stack(2, 3, 4, 4), stack(3, 4, 4, 4))]
    assert n_new_frames(make_storage(), *writes) == [4, 0]


def test_unrelated_stacks_add_all_their_frames() -> None:
    storage = make_storage()
    writes = [
        (stack(1, 2, 3, 4), stack(11, 12, 13, 14)),
        (stack(21, 22, 13, 24), stack(4, 3, 2, 1)),
    ]
    assert n_new_frames(storage, *writes) == [8, 7]  # 13 is already stored
    assert (storage.read(0, NEXT_OBS) == stack(11, 12, 13, 14)).all()
    assert (storage.read(1, OBS) == stack(21, 22, 13, 24)).all()


def test_stacks_of_rgb_images_share_frames() -> None:
    play = StackedPlay(0, n_envs=1, n_colors=3, image_shape=(20, 16))
    buffer = FrameReplayBuffer(50, play.observation_space, play.action_space, "cpu")
    for _ in range(200):
        buffer.add(*play.step())
    buffer.check_valid()
    assert buffer.stacks.table.n_frames < 50 * 3 * 1.7  # three channels per step; short episodes


def test_full_buffer_reuses_frame_ids() -> None:
    """There are never more frames than the rows refer to."""
    for seed in range(5):
        play = StackedPlay(seed, n_envs=3, p_unrelated=0.1, n_stack=3)
        buffer = FrameReplayBuffer(30, play.observation_space, play.action_space, "cpu", n_envs=3)
        table = buffer.stacks.table
        for _ in range(300):
            buffer.add(*play.step())
            buffer.check_valid()
        assert table.n_frames <= 1 + len(np.unique(buffer.stacks.frame_ids))
        assert table.n_ids < 10 * 3 * 2.5


def test_full_buffer_needs_the_memory_of_one_frame_per_transition() -> None:
    """At most 7.4 kB per transition of 84 x 84 pixels, unless episodes are very short."""
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    buffer = FrameReplayBuffer(500, space, spaces.Discrete(4), "cpu")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (1300, 84, 84), dtype=np.uint8)
    for i in range(1200):
        obs, next_obs = frames[None, i : i + 4], frames[None, i + 1 : i + 5]
        buffer.add(obs, next_obs, np.array([0]), np.array([0.0]), np.array([False]), [{}])
    assert buffer.stacks.table.n_ids <= 500 + 4 + 2
    assert buffer.memory_needed().low <= 500 * 7_400


@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize(
    "kwargs", [{}, {"compression": "lz4"}, {"storage_device": "cuda"}], ids=str
)
def test_empty_buffer_contains_zeros_like_sb3s(
    kwargs: dict[str, Any], channels_first: bool
) -> None:
    play = StackedPlay(0, n_envs=2, channels_first=channels_first)
    settings = (20, play.observation_space, play.action_space, "cpu", 2)
    ours, theirs = FrameReplayBuffer(*settings, **kwargs), ReplayBuffer(*settings)
    for name in ("observations", "next_observations"):
        our, their = getattr(ours, name), getattr(theirs, name)
        for index in (0, -1, slice(None), (3, 1), ([1, 2], [0, 1]), (slice(2, 5), 0)):
            assert our[index].dtype == their[index].dtype
            np.testing.assert_array_equal(our[index], their[index])
    for buffer in (ours, theirs):
        with pytest.raises(IndexError):
            buffer.observations[10]


def test_unfilled_rows_contain_zeros() -> None:
    play = StackedPlay(0, n_envs=2)
    buffer = FrameReplayBuffer(20, play.observation_space, play.action_space, "cpu", 2)
    buffer.add(*play.step())
    assert buffer.observations[0].any()
    assert not buffer.observations[1:].any()
    buffer.reset()
    assert not buffer.observations[:].any()


def test_device_store_returns_channels_last_stacks() -> None:
    play = StackedPlay(0, n_envs=2, channels_first=False)
    store = DeviceFrames(42, 20, th.device("cpu"))
    shape = play.observation_space.shape
    storage = StackStorage(store, n_rows=20, n_envs=2, shape=shape, channels_first=False)
    observations = [play.step()[0] for _ in range(10)]
    for obs in observations:
        write(storage, obs, obs)
    stacks = storage.read(slice(0, 10), OBS)
    assert stacks.is_contiguous()
    assert (stacks.numpy() == np.stack(observations)).all()
    storage.check_valid()


def test_stacks_with_more_channels_than_opencv_can_split_are_stored_exactly() -> None:
    store = PlainFrames(4, 10)
    storage = StackStorage(store, n_rows=9, n_envs=1, shape=(2, 2, 600), channels_first=False)
    screens = np.random.default_rng(0).integers(0, 256, (1, 2, 2, 700), dtype=np.uint8)
    for i in range(5):
        write(storage, screens[..., i : i + 600], screens[..., i + 1 : i + 601])
    assert (storage.read(4, OBS) == screens[..., 4:604]).all()
    assert storage.table.n_frames == 1 + 605


def test_rejects_observations_of_another_shape_and_stays_unchanged() -> None:
    play, other = StackedPlay(0, n_envs=2), StackedPlay(0, n_envs=3)
    buffer = FrameReplayBuffer(20, play.observation_space, play.action_space, n_envs=2)
    buffer.add(*play.step())
    before = buffer.rewards.copy()
    for wrong in (other.step(), (*play.step()[:1], *other.step()[1:])):
        with pytest.raises(ValueError, match=r"\(2, 4, 6, 7\).* \(3, 4, 6, 7\)"):
            buffer.add(*wrong)
    assert (buffer.rewards == before).all()
    assert buffer.size() == 1
    buffer.check_valid()


def _free_again(buffer: Any, table: Any, used: int) -> None:
    table._free.append(used)


def _forgotten(buffer: Any, table: Any, used: int) -> None:
    table._reserve(1)


def _free_twice(buffer: Any, table: Any, used: int) -> None:
    table._free += [used, used]


def _used_later(buffer: Any, table: Any, used: int) -> None:
    table._last_use[used] += 1


def _overwritten(buffer: Any, table: Any, used: int) -> None:
    number = buffer.stacks.frame_ids[buffer.pos - 1, 0, NEXT_OBS, -1:]
    table.store.put(number, np.full((1, table.store.frame_size), 77, np.uint8))


def _not_black(buffer: Any, table: Any, used: int) -> None:
    table.store.put(np.array([0], np.int32), np.ones((1, table.store.frame_size), np.uint8))


def _moved(buffer: Any, table: Any, used: int) -> None:
    buffer.full = False


@pytest.mark.parametrize(
    "breaks",
    [_free_again, _forgotten, _free_twice, _used_later, _overwritten, _not_black, _moved],
)
def test_check_valid_detects_each_inconsistency(breaks: Any) -> None:
    play = StackedPlay(0, n_envs=2)
    buffer = FrameReplayBuffer(20, play.observation_space, play.action_space, n_envs=2)
    for _ in range(25):
        buffer.add(*play.step())
    buffer.check_valid()
    breaks(buffer, buffer.stacks.table, int(buffer.stacks.frame_ids[3].max()))
    with pytest.raises(AssertionError):
        buffer.check_valid()
