"""What differs between two trainings that should have ended alike: in bytes, rows and numbers."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_atari_course.checkpoints.folder import FOLDER, Checkpoint, CheckpointFolder
from sb3_atari_course.replay.segments import restore_rows

#: Name of the file with the rows of a live memory.
LIVE = "live_memory.npy"
#: Wall-clock times, which no two trainings share; of the numbers and of the columns of tables.
_TIMES = {"seconds", "t_start", "begun_at", "t", "episode_times"}
_TIME_COLUMNS = {"t", "time/fps", "time/time_elapsed"}
#: Of the log files: how long they are depends on the digits of such times.
_SIZES = {"sizes"}


def weights_and_optimizer(run: Path) -> dict[str, Any]:
    """Return all arrays of the last checkpoint's weights and optimiser, by their places."""
    folder = CheckpointFolder(run / FOLDER)
    tree = folder.read_state(folder.newest())
    return dict(_leaves(tree["training"]["parameters"], "parameters"))


def other_numbers(run: Path) -> dict[str, Any]:
    """Return everything else of the last checkpoint: counters, streams, environments, callbacks."""
    folder = CheckpointFolder(run / FOLDER)
    tree = folder.read_state(folder.newest())
    del tree["training"]["parameters"]
    return dict(_leaves(tree, ""))


def note_live_memory(run: Path, buffer: ReplayBuffer | None) -> None:
    """Write a SHA-256 of each row that a memory holds now, whatever its checkpoints say."""
    n_rows = 0 if buffer is None else buffer.size()
    digests = [
        hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in _row(buffer, row)))
        for row in range(n_rows)
    ]
    array = np.array([list(one.digest()) for one in digests], np.uint8).reshape(-1, 32)
    np.save(run / LIVE, array)


def live_rows_differing(a: Path, b: Path) -> int:
    """Return how many rows of two live memories differ."""
    x, y = np.load(a / LIVE), np.load(b / LIVE)
    n = min(len(x), len(y))
    return int((x[:n] != y[:n]).any(axis=1).sum()) + abs(len(x) - len(y))


def memory_arrays(run: Path, empty_buffer: ReplayBuffer | None) -> Iterator[NDArray[Any]]:
    """Yield what the replay memory of the last checkpoint holds, row by row, stacks unpacked.

    :param empty_buffer: built as the training's was; None for a training without.
    """
    if empty_buffer is None:
        return
    folder = CheckpointFolder(run / FOLDER)
    checkpoint = folder.newest()
    segments = ((one.first, one.end, folder.read_segment(one)) for one in checkpoint.segments)
    restore_rows(empty_buffer, segments, n_written=checkpoint.n_rows)
    for row in range(empty_buffer.size()):
        yield from _row(empty_buffer, row)


def count_differing_bytes(a: Any, b: Any) -> int:
    """Return how many bytes of two arrays, tensors or numbers differ; all if the shapes do."""
    x, y = (np.ascontiguousarray(one).view(np.uint8).ravel() for one in (_array(a), _array(b)))
    return int((x != y).sum()) if x.shape == y.shape else max(x.size, y.size)


def count_differences(a: dict[str, Any], b: dict[str, Any]) -> tuple[int, list[str]]:
    """Return how many bytes differ, and the places where."""
    places = [
        name for name in {**a, **b} if not (name in a and name in b and _same(a[name], b[name]))
    ]
    return sum(count_differing_bytes(a.get(one), b.get(one)) for one in places), places


def differing_rows(a: Path, b: Path, pattern: str) -> int:
    """Return how many rows of the tables with such names differ, columns of time left out."""
    names = {path.name for run in (a, b) for path in run.glob(pattern)}
    n_differing = 0
    for name in names:
        rows, others = _rows(a / name), _rows(b / name)
        n_differing += abs(len(rows) - len(others))
        n_differing += sum(x != y for x, y in zip(rows, others, strict=False))
    return n_differing


def newest(run: Path) -> Checkpoint:
    """Return the last checkpoint of a run."""
    return CheckpointFolder(run / FOLDER).newest()


def spaces_of(env_id: str, wrapper: Any) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Return the spaces of a wrapped environment, images with their channels first."""
    env = wrapper(gym.make(env_id))
    seen = env.observation_space
    if len(seen.shape) == 3:
        seen = gym.spaces.Box(0, 255, (seen.shape[2], *seen.shape[:2]), np.uint8)
    env.close()
    return seen, env.action_space


def _row(buffer: Any, row: int) -> Iterator[NDArray[Any]]:
    """Yield all that a memory holds of one row."""
    yield np.asarray(buffer.observations[row])
    yield np.asarray(buffer.next_observations[row])
    for name in ("actions", "rewards", "dones", "timeouts"):
        yield getattr(buffer, name)[row]


def _leaves(tree: Any, place: str) -> Iterator[tuple[str, Any]]:
    name = place.rpartition("/")[2]
    if name in _TIMES or name in _SIZES:
        return
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{place}/{key}")
    elif not isinstance(tree, (str, bytes)) and hasattr(tree, "__iter__") and not _is_array(tree):
        for i, value in enumerate(tree):
            yield from _leaves(value, f"{place}/{i}")
    else:
        yield place, tree


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic, th.Tensor))


def _array(value: Any) -> NDArray[Any]:
    if isinstance(value, th.Tensor):
        return value.numpy()
    if value is None or isinstance(value, (str, bytes, int)):
        text = value if isinstance(value, bytes) else repr(value).encode()
        return np.frombuffer(text, np.uint8)
    return np.asarray(value)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and count_differing_bytes(a, b) == 0


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    return [
        {key: value for key, value in row.items() if key not in _TIME_COLUMNS}
        for row in csv.DictReader(lines)
    ]
