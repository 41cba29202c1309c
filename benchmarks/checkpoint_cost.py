"""Checkpoint cost: time and disk space of checkpoints with a million transitions; restore time.

Run:  python benchmarks/checkpoint_cost.py [--transitions 1000000] [--quick]      (5 minutes, 3 GB)

First the training speed of FastDQN with the DQN paper's network on Breakout (cropped) is measured.
Then its replay buffer (lz4) is filled with recorded games of a script that follows the ball,
repeated until half of the rows have been overwritten, so that the oldest file contains outdated
rows. Every ``--interval`` transitions a full checkpoint is written to the disk, as in training:
weights, optimizer, environments, new transitions, checksums.

Then the newest checkpoint is restored into a new model, whose replay buffer must sample the same
batches.

The last line is JSON. ``seconds`` is the median checkpoint time while the replay buffer is full,
``seconds_max`` the longest; ``share_of_time`` is ``seconds`` divided by the training time of an
interval at the measured ``steps_per_second``; ``disk_over_memory`` is the size of the checkpoint
folder divided by the replay buffer's RAM (compressed frames with Python's overhead, and all other
arrays).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import CallbackList

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python benchmarks/checkpoint_cost.py`
from benchmarks.played_games import SCENES, Recording, record
from sb3_atari_course import AtariCnnPolicy, FastDQN, FrameReplayBuffer, make_atari_env
from sb3_atari_course.checkpoints.folder import CheckpointFolder
from sb3_atari_course.checkpoints.snapshot import Snapshots
from sb3_atari_course.replay.segments import SMALL_ARRAYS

#: Cropped Breakout, actions by the script.
SCENE = SCENES[1]
NO_CALLBACKS = CallbackList([])


def build(n_transitions: int) -> FastDQN:
    """Return a model for Breakout, with one environment and an empty replay buffer."""
    env = make_atari_env(
        "BreakoutNoFrameskip-v4", seed=0, wrapper_kwargs={"crop": (30, 195, 5, 155)}
    )
    return FastDQN(
        AtariCnnPolicy,
        env,
        buffer_size=n_transitions,
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs={"compression": "lz4"},
        learning_starts=200,
        learning_rate=1e-4,
        device="cpu",
        seed=0,
    )


def buffer_of(model: FastDQN) -> FrameReplayBuffer:
    assert isinstance(model.replay_buffer, FrameReplayBuffer)
    return model.replay_buffer


def measure_speed(model: FastDQN, n_steps: int) -> float:
    """Return the agent steps per second of training, after ``learning_starts``."""
    model.learn(400)
    start = time.perf_counter()
    model.learn(n_steps, reset_num_timesteps=False)
    return n_steps / (time.perf_counter() - start)


def bytes_in_memory(buffer: FrameReplayBuffer) -> int:
    """Return the bytes of the compressed frames, the frame numbers of rows, and small arrays."""
    small = sum(getattr(buffer, name).nbytes for name in SMALL_ARRAYS)
    return int(buffer.stacks.table.store.n_bytes + buffer.stacks.frame_ids.nbytes + small)


def bytes_on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def fill(
    model: FastDQN, snapshots: Snapshots, recording: Recording, n_transitions: int, interval: int
) -> list[float]:
    """Add transitions, with a checkpoint after each interval; return the seconds of each."""
    buffer, seconds = buffer_of(model), []
    for step in range(0, n_transitions, interval):
        for transition in recording.transitions(step, step + interval):
            buffer.add(*transition)
        model.num_timesteps += interval
        start = time.perf_counter()
        snapshots.take(model, NO_CALLBACKS, n_timesteps=n_transitions, finished=False)
        seconds.append(time.perf_counter() - start)
        print(
            f"{step + interval:>12,}{seconds[-1]:>12.3f} s"
            f"{bytes_on_disk(snapshots.folder.path) / 1e6:>12.1f} MB"
            f"{bytes_in_memory(buffer) / 1e6:>12.1f} MB",
            flush=True,
        )
    return seconds


def same_batches(one: FrameReplayBuffer, other: FrameReplayBuffer) -> bool:
    """Return whether both replay buffers sample the same batches."""
    for seed in range(20):
        batches = []
        for buffer in (one, other):
            np.random.seed(seed)  # noqa: NPY002
            batches.append(buffer.sample(256))
        for a, b in zip(*batches, strict=True):
            if not (a is None and b is None) and not th.equal(a, b):
                return False
    return True


def restore(model: FastDQN, snapshots: Snapshots) -> float:
    """Restore the newest checkpoint into a new model; return the seconds."""
    fresh = build(buffer_of(model).buffer_size)
    fresh._setup_learn(0, None)
    start = time.perf_counter()
    snapshots.restore(snapshots.folder.newest(), fresh, NO_CALLBACKS)
    seconds = time.perf_counter() - start
    buffer_of(fresh).check_valid()
    if not same_batches(buffer_of(fresh), buffer_of(model)):
        raise SystemExit("the restored replay buffer samples different batches")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--transitions", type=int, default=1_000_000, help="capacity of the replay buffer"
    )
    parser.add_argument(
        "--interval", type=int, default=50_000, help="transitions between checkpoints"
    )
    parser.add_argument("--played", type=int, default=20_000, help="recorded transitions")
    parser.add_argument("--quick", action="store_true", help="smoke test: meaningless figures")
    settings = parser.parse_args()
    n, interval, n_played, n_steps = settings.transitions, settings.interval, settings.played, 3000
    if settings.quick:
        print("smoke test: meaningless figures")
        n, interval, n_played, n_steps = 1000, 200, 100, 40
    model = build(n)
    speed = measure_speed(model, n_steps)
    print(f"training speed: {speed:.0f} steps/s\n")
    recording = record(SCENE, n_played, 1)
    print(f"{n_played:,} transitions of {SCENE.name}, repeated\n")
    heads = (("transitions", 12), ("checkpoint", 14), ("disk", 15), ("RAM", 15))
    print("".join(f"{head:>{width}}" for head, width in heads))
    buffer_of(model).reset()
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = CheckpointFolder(Path(folder) / "checkpoints")
        checkpoints.lock()
        snapshots = Snapshots(checkpoints, Path(folder))
        snapshots.begin(model, {})
        seconds = fill(model, snapshots, recording, n + n // 2, interval)
        disk, memory = bytes_on_disk(checkpoints.path), bytes_in_memory(buffer_of(model))
        restore_seconds = restore(model, snapshots)
        checkpoints.unlock()
    full = seconds[-(n // 2 // interval) :]
    print(f"\nrestored in {restore_seconds:.2f} s; sampled batches are identical")
    result = {
        "transitions": n,
        "interval": interval,
        "seconds": round(statistics.median(full), 3),
        "seconds_max": round(max(full), 3),
        "steps_per_second": round(speed, 1),
        "share_of_time": round(statistics.median(full) / (interval / speed), 5),
        "disk_over_memory": round(disk / memory, 3),
        "restore_seconds": round(restore_seconds, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
