"""Rows as tensors: the batches of SB3's buffers. A card is not needed, its code runs anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.buffers import NStepReplayBuffer

from sb3_atari_course.fast_dqn.device_rows import DeviceRows
from sb3_atari_course.replay import FrameReplayBuffer
from tests.fakes import StackedPlay

GAMMA = 0.9
CPU = th.device("cpu")


def make_buffer(play: StackedPlay, buffer_size: int, *, n_steps: int = 1) -> FrameReplayBuffer:
    """Return a buffer with the frames of a card, but on the CPU."""
    buffer = FrameReplayBuffer(
        buffer_size,
        play.observation_space,
        play.action_space,
        "cpu",
        play.n_envs,
        n_steps=n_steps,
        gamma=GAMMA,
        storage_device="cuda",
    )
    buffer.storage_device = buffer.stacks.table.store.device = CPU
    return buffer


def fill(play: StackedPlay, n_rows: int, *buffers: Any) -> None:
    for _ in range(n_rows):
        transition = play.step()
        for buffer in buffers:
            buffer.add(*transition)


def all_places(n_rows: int, n_envs: int) -> tuple[th.Tensor, th.Tensor]:
    """Return every row and environment once."""
    rows, envs = np.divmod(np.arange(n_rows * n_envs), n_envs)
    return th.from_numpy(rows), th.from_numpy(envs)


def theirs(buffer: NStepReplayBuffer, monkeypatch: pytest.MonkeyPatch, places: Any) -> Any:
    """Return what SB3's buffer samples there."""
    rows, envs = (place.numpy() for place in places)
    with monkeypatch.context() as patch:
        patch.setattr(np.random, "randint", lambda *args, **kwargs: envs)
        return buffer._get_samples(rows)


@pytest.mark.parametrize("n_rows", [1, 7, 20, 21, 50])  # a ring of 20
@pytest.mark.parametrize("n_steps", [1, 3, 5])
@pytest.mark.parametrize("channels_first", [True, False])
def test_every_transition_is_sb3s(
    channels_first: bool, n_steps: int, n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = StackedPlay(n_rows, n_envs=2, channels_first=channels_first, p_strange=0.1)
    buffer = make_buffer(play, 40, n_steps=n_steps)
    settings = (40, play.observation_space, play.action_space, "cpu", 2)
    reference = NStepReplayBuffer(*settings, n_steps=n_steps, gamma=GAMMA)
    rows = DeviceRows(buffer, gamma=GAMMA)
    for _ in range(n_rows):
        fill(play, 1, buffer, reference)
        if play.rng.random() < 0.5:
            rows.follow()  # sometimes several rows behind
    rows.follow()
    places = all_places(min(n_rows, 20), 2)
    expected = theirs(reference, monkeypatch, places)
    for name, our, their in zip(expected._fields, rows.gather(*places), expected, strict=True):
        assert our.dtype == their.dtype, name
        assert our.shape == their.shape, name
        th.testing.assert_close(our, their, rtol=1e-6, atol=1e-6)
    for name in ("observations", "next_observations", "actions", "dones"):
        assert th.equal(getattr(rows.gather(*places), name), getattr(expected, name)), name
    assert reference.dones.any() or n_rows < 7


@pytest.mark.parametrize(("n_rows", "n_filled"), [(3, 3), (20, 20), (33, 20)])
def test_all_that_is_filled_is_drawn_evenly(n_rows: int, n_filled: int) -> None:
    play = StackedPlay(0, n_envs=2)
    buffer = make_buffer(play, 40)
    rows = DeviceRows(buffer, gamma=GAMMA)
    fill(play, n_rows, buffer)
    rows.follow()
    th.manual_seed(0)
    drawn_rows, drawn_envs = rows.draw(200 * n_filled * 2)
    counts = np.zeros((20, 2), int)
    np.add.at(counts, (drawn_rows.numpy(), drawn_envs.numpy()), 1)
    assert counts[n_filled:].sum() == 0
    assert (np.abs(counts[:n_filled] - 200) < 5 * np.sqrt(200)).all()


def test_equal_seeds_draw_equal_batches() -> None:
    play = StackedPlay(0, n_envs=2)
    buffer = make_buffer(play, 40)
    rows = DeviceRows(buffer, gamma=GAMMA)
    fill(play, 15, buffer)
    rows.follow()
    batches = []
    for seed in (1, 1, 2):
        th.manual_seed(seed)
        batches.append(rows.sample(8).rewards)
    assert th.equal(batches[0], batches[1])
    assert not th.equal(batches[0], batches[2])


def test_an_end_of_the_generators_range_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product of a number just below 1 may be rounded up."""
    play = StackedPlay(0, n_envs=3)
    buffer = make_buffer(play, 60)
    rows = DeviceRows(buffer, gamma=GAMMA)
    fill(play, 5, buffer)
    rows.follow()
    monkeypatch.setattr(th, "rand", lambda shape, **kwargs: th.ones(shape, **kwargs))
    assert [place.tolist() for place in rows.draw(2)] == [[4, 4], [2, 2]]


def test_addresses_stay_until_the_memory_grows() -> None:
    """Short episodes need more frames than rows: another block, another address."""
    play = StackedPlay(0, n_envs=2, p_strange=0.9)
    buffer = make_buffer(play, 40)
    rows = DeviceRows(buffer, gamma=GAMMA)
    fill(play, 1, buffer)
    rows.follow()
    tensors = [tensor.data_ptr() for tensor, _ in rows._pairs()]
    before = rows.addresses
    fill(play, 60, buffer)
    rows.follow()
    assert [tensor.data_ptr() for tensor, _ in rows._pairs()] == tensors
    assert len(before) == 2  # of one block
    assert len(rows.addresses) > 2
    assert rows.addresses[0] == before[0]


def test_loaded_frames_are_brought_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    play = StackedPlay(0, n_envs=2)
    buffer = make_buffer(play, 40)
    rows = DeviceRows(buffer, gamma=GAMMA)
    fill(play, 3, buffer)
    reserved: list[int] = []
    monkeypatch.setattr(buffer.stacks.table.store, "reserve", reserved.append)
    rows.follow()
    rows.follow()  # without a new row, too
    assert reserved == [0, 0]


def test_it_follows_a_memory_that_was_emptied_or_loaded(tmp_path: Path) -> None:
    play = StackedPlay(3, n_envs=2)
    buffer = make_buffer(play, 40)
    rows = DeviceRows(buffer, gamma=GAMMA)
    fill(play, 15, buffer)
    rows.follow()
    buffer.save(tmp_path / "memory.npz")
    places = all_places(15, 2)
    saved = rows.gather(*places)
    buffer.storage_device = th.device("cuda")  # so that frames lie as on a card
    buffer.reset()
    buffer.storage_device = buffer.stacks.table.store.device = CPU
    fill(play, 4, buffer)
    rows.follow()
    assert int(rows.draw(500)[0].max()) == 3
    assert not th.equal(rows.gather(*places).rewards[:8], saved.rewards[:8])
    buffer.storage_device = th.device("cuda")
    buffer.load(tmp_path / "memory.npz")
    buffer.stacks.table.store.device = CPU
    rows.follow()
    for after, before in zip(rows.gather(*places), saved, strict=True):
        assert th.equal(after, before)


def test_it_follows_a_mark_on_a_row_that_it_has_already() -> None:
    """Where play was interrupted, the row before is marked as cut off."""
    play = StackedPlay(3, n_envs=2)
    buffer = make_buffer(play, 40, n_steps=3)
    rows = DeviceRows(buffer, gamma=GAMMA)
    for seed in (4, 5, 6, 7, 8):  # of other episodes; round the ring
        fill(play, 6, buffer)
        rows.follow()
        fill(StackedPlay(seed, n_envs=2), 2, buffer)
        rows.follow()
        fresh = DeviceRows(buffer, gamma=GAMMA)
        fresh.follow()
        places = all_places(buffer.size(), 2)
        for one, other in zip(rows.gather(*places), fresh.gather(*places), strict=True):
            assert th.equal(one, other)
    assert buffer.timeouts[buffer.pos - 3].any()
