"""Tests of the memory budget of a replay buffer."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch as th
from gymnasium import spaces

from sb3_atari_course._common.errors import ReplayMemoryError
from sb3_atari_course.replay import FrameReplayBuffer, frame_replay_buffer, ram_budget
from sb3_atari_course.replay.ram_budget import MemoryEstimate, available_memory

SPACE = spaces.Box(0, 255, (4, 84, 84), np.uint8)


def make_buffer(buffer_size: int = 1_000_000, **kwargs: Any) -> FrameReplayBuffer:
    return FrameReplayBuffer(buffer_size, SPACE, spaces.Discrete(4), "cpu", **kwargs)


def add(buffer: FrameReplayBuffer, n_rows: int, *, noise: bool = False) -> None:
    """Add rows with a new screen each, of noise or nearly uniform."""
    rng = np.random.default_rng(buffer.pos)
    high = 256 if noise else 1
    screens = [rng.integers(0, high, (84, 84), dtype=np.uint8) for _ in range(n_rows + 4)]
    if not noise:
        for i, screen in enumerate(screens):
            screen[0, :2] = divmod(buffer.pos + i + 1, 256)
    for i in range(n_rows):
        obs, next_obs = np.stack(screens[i : i + 4]), np.stack(screens[i + 1 : i + 5])
        buffer.add(obs[None], next_obs[None], np.zeros(1), np.zeros(1), np.zeros(1), [{}])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that sets the available memory in bytes."""

    def has(n_bytes: float) -> None:
        monkeypatch.setattr(frame_replay_buffer, "available_memory", lambda device: int(n_bytes))

    return has


def test_memory_needed_is_exact_without_compression() -> None:
    """Frames, 2 x 4 numbers of 4 bytes, an action of 8, reward, done and timeout of 4 each."""
    n_bytes = (1_000_000 + 4 + 1) * 84 * 84 + 1_000_000 * (32 + 8 + 12)
    assert make_buffer().memory_needed() == MemoryEstimate(n_bytes, n_bytes)
    assert n_bytes < 7.4e9


def test_raises_when_learning_starts_and_suggests_settings_that_fit(machine: Any) -> None:
    machine(4e9)
    buffer = make_buffer()
    with pytest.raises(ReplayMemoryError) as error:
        add(buffer, 1)
    message = str(error.value)
    for fragment in ("7.11 GB", "4.00 GB", "compression='lz4'", "buffer_size=500000"):
        assert fragment in message
    assert buffer.size() == 0
    add(make_buffer(500_000), 1)
    add(make_buffer(compression="lz4"), 1)


def test_memory_taken_later_by_other_programs_does_not_stop_training(machine: Any) -> None:
    machine(8e9)
    buffer = make_buffer()
    add(buffer, 1024)
    machine(0)
    add(buffer, 1)


def test_memory_already_used_by_the_buffer_counts_as_available(machine: Any) -> None:
    machine(8e9)
    buffer = make_buffer(2048)
    add(buffer, 2048)
    loaded = pickle.loads(pickle.dumps(buffer))
    machine(100_000)
    add(loaded, 1)
    with pytest.raises(ReplayMemoryError, match=r"14.6 MB .* 0.1 MB"):
        add(make_buffer(2048), 1)


def test_estimate_of_a_compressed_buffer_improves(machine: Any) -> None:
    machine(2.3e9)
    buffer = make_buffer(compression="lz4")
    first = buffer.memory_needed()
    assert first.low < 0.3e9 < 2e9 < first.high < 2.4e9
    add(buffer, 1100, noise=False)
    flat = buffer.memory_needed()
    assert 0.1e9 < flat.low < flat.high < 0.3e9  # almost only Python's overhead
    noise = make_buffer(compression="lz4")
    add(noise, 1024, noise=True)
    with pytest.raises(MemoryError, match=r"[\d.]+ to [\d.]+ GB \(estimated\)"):
        add(noise, 1, noise=True)


def test_warns_if_a_compressed_buffer_may_not_fit(machine: Any) -> None:
    machine(1e9)
    with pytest.warns(UserWarning, match=r" 1.00 GB .* buffer_size="):
        add(make_buffer(compression="lz4"), 1)


def test_estimate_includes_first_frames_of_short_episodes(machine: Any) -> None:
    machine(8e9)
    buffer = make_buffer(100_000)
    rng = np.random.default_rng(0)
    for _ in range(1024):  # episodes of one step: two frames each
        obs, next_obs = np.zeros((2, 1, 4, 84, 84), np.uint8)
        next_obs[:, 2:] = rng.integers(0, 256, (2, 84, 84))
        obs[:, 3] = next_obs[:, 2]
        buffer.add(obs, next_obs, np.zeros(1), np.zeros(1), np.ones(1), [{}])
    assert 1.9 < buffer.memory_needed().low / make_buffer(100_000).memory_needed().low < 2.05


def test_suggested_buffer_size_counts_all_environments(machine: Any) -> None:
    machine(4e9)
    buffer = make_buffer(n_envs=8)
    stacks = np.zeros((8, 4, 84, 84), np.uint8)
    with pytest.raises(ReplayMemoryError, match=r"or buffer_size=500000$"):
        buffer.add(stacks, stacks, np.zeros(8), np.zeros(8), np.zeros(8), [{}] * 8)


def test_warns_only_once(machine: Any) -> None:
    machine(8e9)
    trial = make_buffer(compression="lz4")
    add(trial, 1100)
    high = trial.memory_needed().high
    machine(0.95 * high)  # doubtful at first and later
    buffer = make_buffer(compression="lz4")
    with pytest.warns(UserWarning, match="buffer_size=") as warned:
        add(buffer, 1100)
    assert len(warned) == 1


def test_raises_if_gpu_memory_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = make_buffer(100_000, storage_device="cuda")
    assert buffer.memory_needed().high == (100_000 + 4 + 1) * 84 * 84  # frames, nothing else
    monkeypatch.setattr(th.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(th.cuda, "mem_get_info", lambda device: (10**8, 10**11))
    expected = r"0.71 GB .* 0.10 GB .* storage_device='cpu', or buffer_size="
    with pytest.raises(ReplayMemoryError, match=expected):
        add(buffer, 1)


def test_raises_without_a_suggested_size_if_no_memory_is_available(machine: Any) -> None:
    machine(0)
    with pytest.raises(ReplayMemoryError, match=r" 0.0 MB (?!.*buffer_size)"):
        add(make_buffer(), 1)


def test_raises_if_not_even_the_empty_arrays_fit() -> None:
    with pytest.raises(ReplayMemoryError, match=r"buffer_size=100000000000000 "):
        make_buffer(10**14)


@pytest.mark.parametrize(
    ("limit", "left"), [("1000", 1000 - 700 + 150), ("max", float("inf")), (None, float("inf"))]
)
def test_available_memory_respects_the_limit_of_a_container(
    limit: str | None, left: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Available is the limit minus the memory in use, without reclaimable file cache."""
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit + "\n")
        (tmp_path / "memory.current").write_text("700\n")
        (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    monkeypatch.setattr(ram_budget, "CGROUP", tmp_path)
    machine = psutil.virtual_memory().total
    available = available_memory(th.device("cpu"))
    assert available == left if limit == "1000" else 1000 < available <= machine
