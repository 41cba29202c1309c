"""Detection of differences between two runs: weights, replay buffer, logs, other state."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th

from benchmarks.run_differences import (
    count_differences,
    count_differing_bytes,
    differing_rows,
    other_numbers,
    replay_buffer_arrays,
    weights_and_optimizer,
)
from sb3_atari_course.checkpoints.folder import FOLDER, CheckpointFolder
from sb3_atari_course.replay.segments import pack_rows, restore_rows
from tests.checkpoints.trainings import breakout, deep, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train("DQN", folder, steps=120)
    return folder


@pytest.fixture
def other(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "other"))


def alter_state(run: Path, alter: Any) -> None:
    """Change the state in the last checkpoint."""
    folder = CheckpointFolder(run / FOLDER)
    checkpoint = folder.newest()
    tree = folder.read_state(checkpoint)
    alter(tree)
    folder.write(checkpoint, tree)


def buffers() -> list[Any]:
    from stable_baselines3 import DQN

    return [deep(DQN, breakout(None)).replay_buffer for _ in range(2)]


def test_copies_have_no_differences(run: Path, other: Path) -> None:
    for read in (weights_and_optimizer, other_numbers):
        assert count_differences(read(run), read(other)) == (0, [])
        assert len(read(run)) > 20
    arrays = list(zip(*map(replay_buffer_arrays, (run, other), buffers()), strict=True))
    assert len(arrays) == 6 * 120
    assert sum(count_differing_bytes(a, b) for a, b in arrays) == 0
    assert differing_rows(run, other, "*.monitor.csv") == 0


def test_detects_one_byte_of_a_weight_and_a_counter(run: Path, other: Path) -> None:
    def alter(tree: Any) -> None:
        weights = tree["training"]["parameters"]["policy"]
        weight = next(iter(weights.values())).numpy()
        weight.reshape(-1).view(np.uint8)[0] ^= 1
        tree["training"]["counters"]["_n_calls"] += 1

    alter_state(other, alter)
    n_bytes, places = count_differences(weights_and_optimizer(run), weights_and_optimizer(other))
    assert (n_bytes, len(places)) == (1, 1)
    _, places = count_differences(other_numbers(run), other_numbers(other))
    assert places == ["/training/counters/_n_calls"]


def test_detects_a_reward_in_the_replay_buffer(run: Path, other: Path) -> None:
    folder = CheckpointFolder(other / FOLDER)
    checkpoint = folder.newest()
    read = [(one.first, one.end, folder.read_segment(one)) for one in checkpoint.segments]
    buffer, one = buffers()[0], checkpoint.segments[-1]
    restore_rows(buffer, read, n_written=checkpoint.n_rows)
    buffer.rewards[one.end - 1] += 1
    new = folder.write_segment(
        checkpoint.step, one.first, one.end, pack_rows(buffer, one.first, one.end)
    )
    segments = (*checkpoint.segments[:-1], new)
    folder.write(replace(checkpoint, segments=segments), folder.read_state(checkpoint))
    arrays = zip(*map(replay_buffer_arrays, (run, other), buffers()), strict=True)
    assert sum(count_differing_bytes(a, b) for a, b in arrays) > 0


def test_detects_a_row_of_a_monitor_file(run: Path, other: Path) -> None:
    monitor = other / "0.monitor.csv"
    *head, row = monitor.read_text().splitlines()
    score, *rest = row.split(",")
    monitor.write_text("\n".join([*head, ",".join([str(float(score) + 1), *rest]), ""]))
    assert differing_rows(run, other, "*.monitor.csv") == 1
    monitor.write_text("\n".join([*head, ",".join([score, rest[0], "99.9"]), ""]))
    assert differing_rows(run, other, "*.monitor.csv") == 0  # wall-clock
    monitor.unlink()
    assert differing_rows(run, other, "*.monitor.csv") == len(head) - 1


def test_detects_shapes_and_types() -> None:
    assert count_differing_bytes(np.zeros(3, np.uint8), np.zeros(4, np.uint8)) == 4
    assert count_differing_bytes(th.zeros(2), th.zeros(2)) == 0
    assert count_differences({"a": 1}, {"a": 1, "b": None})[1] == ["b"]
    assert count_differences({"a": 1}, {"a": True})[1] == ["a"]
