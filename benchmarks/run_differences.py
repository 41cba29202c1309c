"""Differences between two runs that should be identical: bytes, rows and checkpointed values."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.save_util import load_from_zip_file

from sb3_atari_course.checkpoints.folder import FOLDER, Checkpoint, CheckpointFolder
from sb3_atari_course.replay.segments import restore_rows

#: Name of the file with the hashes of a replay buffer's rows.
ROW_HASHES = "row_hashes.npy"
#: Wall-clock times, which differ between runs: keys in a checkpoint, and columns of CSV files.
_TIMES = {"seconds", "t_start", "begun_at", "t", "episode_times"}
_TIME_COLUMNS = {"t", "time/fps", "time/time_elapsed"}
#: Sizes of log files, which depend on the digits of such times.
_SIZES = {"sizes"}


def compare_runs(
    a: Path, b: Path, *, empty_buffer: Callable[[Path], ReplayBuffer | None]
) -> dict[str, int]:
    """Count the differences between the last checkpoints and the log files of two finished runs.

    :param empty_buffer: returns a buffer with the settings of a run; None if it has none.
    """
    runs = (a, b)
    n_bytes, places = count_differences(*map(weights_and_optimizer, runs))
    buffers = [replay_buffer_arrays(run, empty_buffer(run)) for run in runs]
    n_bytes += sum(count_differing_bytes(x, y) for x, y in zip(*buffers, strict=True))
    _, others = count_differences(*map(other_numbers, runs))
    for place in [*places, *others][:20]:
        print(f"differs: {place}")
    return {
        "bytes_differing": n_bytes,
        "monitor_rows_differing": differing_rows(*runs, "*.monitor.csv"),
        "log_rows_differing": differing_rows(*runs, "progress.csv"),
        "states_differing": len(others),
    }


def weights_and_optimizer(run: Path) -> dict[str, Any]:
    """Return the weights and optimizer state in the last checkpoint: path -> array."""
    folder = CheckpointFolder(run / FOLDER)
    tree = folder.read_state(folder.newest())
    return dict(_leaves(tree["training"]["parameters"], "parameters"))


def other_numbers(run: Path) -> dict[str, Any]:
    """Return the rest of the last checkpoint: counters, random states, environments, callbacks."""
    folder = CheckpointFolder(run / FOLDER)
    tree = folder.read_state(folder.newest())
    del tree["training"]["parameters"]
    return dict(_leaves(tree, ""))


def saved_model(path: Path) -> dict[str, Any]:
    """Return the weights and optimizer state in a zip of SB3: path -> array."""
    _, parameters, variables = load_from_zip_file(path, device="cpu")
    return dict(_leaves({"parameters": parameters, "variables": variables or {}}, ""))


def save_row_hashes(run: Path, buffer: ReplayBuffer | None) -> None:
    """Save a SHA-256 of each row of a replay buffer in RAM, independently of its checkpoints."""
    n_rows = 0 if buffer is None else buffer.size()
    digests = [
        hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in _row(buffer, row)))
        for row in range(n_rows)
    ]
    array = np.array([list(one.digest()) for one in digests], np.uint8).reshape(-1, 32)
    np.save(run / ROW_HASHES, array)


def differing_row_hashes(a: Path, b: Path) -> int:
    """Return the number of rows with different hashes."""
    x, y = np.load(a / ROW_HASHES), np.load(b / ROW_HASHES)
    n = min(len(x), len(y))
    return int((x[:n] != y[:n]).any(axis=1).sum()) + abs(len(x) - len(y))


def replay_buffer_arrays(run: Path, empty_buffer: ReplayBuffer | None) -> Iterator[NDArray[Any]]:
    """Yield the arrays of each row of the replay buffer in the last checkpoint.

    :param run: run folder.
    :param empty_buffer: a buffer with the run's settings; None if it has no replay buffer.
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
    """Return the number of differing bytes of two values; all bytes if their sizes differ."""
    x, y = (np.ascontiguousarray(one).view(np.uint8).ravel() for one in (_array(a), _array(b)))
    return int((x != y).sum()) if x.shape == y.shape else max(x.size, y.size)


def count_differences(a: dict[str, Any], b: dict[str, Any]) -> tuple[int, list[str]]:
    """Return the number of differing bytes, and the paths where they are."""
    places = [
        name for name in {**a, **b} if not (name in a and name in b and _same(a[name], b[name]))
    ]
    return sum(count_differing_bytes(a.get(one), b.get(one)) for one in places), places


def differing_rows(a: Path, b: Path, pattern: str) -> int:
    """Return the number of differing rows in CSV files that match a pattern, ignoring times."""
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
    """Return the spaces of a wrapped environment, images with channels first."""
    env = wrapper(gym.make(env_id))
    space = env.observation_space
    if len(space.shape) == 3:
        space = gym.spaces.Box(0, 255, (space.shape[2], *space.shape[:2]), np.uint8)
    env.close()
    return space, env.action_space


def _row(buffer: Any, row: int) -> Iterator[NDArray[Any]]:
    """Yield the arrays of one row of a replay buffer."""
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
