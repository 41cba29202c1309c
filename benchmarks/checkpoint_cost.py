"""Replay memory in checkpoints: what a segment of new transitions costs, and to restore them all.

Run:  python benchmarks/checkpoint_cost.py [--transitions 1000000] [--quick]      (2 minutes, 3 GB)

Cropped Breakout is played once, by a script that follows the ball, one environment at a time, and
repeated until the memory (lz4) has gone round by a half: so rows are replaced, numbers of frames
are given out again, and the oldest segment has rows that count no more. Every ``--interval``
transitions a segment is packed, as at a checkpoint; nothing is written to disk. Segments of which
no row counts any more are let go of.

Then all that are left are restored into a fresh memory, which must give the same batches.

The last line is JSON. Seconds are the median of the segments while the memory is full, ``pack_max``
the longest; ``disk_over_memory``: bytes of the segments that are needed, by the bytes of the frames
in memory (packed, with what Python adds to each) and of all that goes with them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python benchmarks/checkpoint_cost.py`
from benchmarks.played_games import SCENES, Recording, record
from sb3_atari_course import FrameReplayBuffer
from sb3_atari_course.checkpoints.memory.segments import RowMark, pack_rows, restore_rows
from sb3_atari_course.replay.saving import SMALL_ARRAYS

#: Cropped Breakout, played by the script.
SCENE = SCENES[1]

Segment = tuple[int, int, dict[str, NDArray[Any]]]


def make_buffer(n_transitions: int, recording: Recording) -> FrameReplayBuffer:
    """Return an empty memory for one environment."""
    return FrameReplayBuffer(
        n_transitions,
        recording.observation_space,
        spaces.Discrete(4),
        "cpu",
        compression="lz4",
    )


def bytes_in_memory(buffer: FrameReplayBuffer) -> int:
    """Return the bytes of the packed frames, the numbers that rows have, and the small arrays."""
    small = sum(getattr(buffer, name).nbytes for name in SMALL_ARRAYS)
    return int(buffer.stacks.table.store.n_bytes + buffer.stacks.numbers.nbytes + small)


def bytes_of(segment: Segment) -> int:
    return sum(array.nbytes for array in segment[2].values())


def fill(
    buffer: FrameReplayBuffer, recording: Recording, n_transitions: int, interval: int
) -> tuple[list[Segment], list[float], list[float]]:
    """Add transitions and pack those of each interval.

    :return: the segments still needed, the seconds that each of all of them took, and the seconds
        of adding what is in it.
    """
    segments: list[Segment] = []
    pack_seconds, add_seconds = [], []
    mark = RowMark(buffer, n_written=0)
    for step in range(0, n_transitions, interval):
        begin = time.perf_counter()
        for transition in recording.transitions(step, step + interval):
            buffer.add(*transition)
        add_seconds.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        first, end, _ = mark.rows_since(buffer, n_steps=interval)
        segments.append((first, end, pack_rows(buffer, first, end)))
        pack_seconds.append(time.perf_counter() - begin)
        mark = RowMark(buffer, n_written=end)
        segments = [each for each in segments if each[1] > end - buffer.buffer_size]
        print(
            f"{end:>12,}{pack_seconds[-1]:>12.3f} s{bytes_of(segments[-1]) / 1e6:>12.1f} MB"
            f"{sum(map(bytes_of, segments)) / 1e6:>12.1f} MB{bytes_in_memory(buffer) / 1e6:>12.1f}"
            " MB",
            flush=True,
        )
    return segments, pack_seconds, add_seconds


def same_batches(one: FrameReplayBuffer, other: FrameReplayBuffer) -> bool:
    """Tell if both memories draw the same."""
    for seed in range(20):
        batches = []
        for buffer in (one, other):
            np.random.seed(seed)  # noqa: NPY002
            batches.append(buffer.sample(256))
        for a, b in zip(*batches, strict=True):
            if not (a is None and b is None) and not th.equal(a, b):
                return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--transitions", type=int, default=1_000_000, help="in the full memory")
    parser.add_argument("--interval", type=int, default=50_000, help="transitions in a segment")
    parser.add_argument("--played", type=int, default=20_000, help="transitions before repetition")
    parser.add_argument("--quick", action="store_true", help="a try-out: the figures mean nothing")
    settings = parser.parse_args()
    n, interval, n_played = settings.transitions, settings.interval, settings.played
    if settings.quick:
        print("a try-out: the figures mean nothing")
        n, interval, n_played = 1000, 200, 100
    recording = record(SCENE, n_played, 1)
    print(f"{n_played:,} transitions of {SCENE.name}, repeated\n")
    heads = (("transitions", 12), ("pack", 14), ("segment", 15), ("segments", 15), ("memory", 15))
    print("".join(f"{head:>{width}}" for head, width in heads))
    buffer = make_buffer(n, recording)
    segments, pack_seconds, add_seconds = fill(buffer, recording, n + n // 2, interval)
    restored = make_buffer(n, recording)
    begin = time.perf_counter()
    restore_rows(restored, segments, n_written=segments[-1][1])
    restore_seconds = time.perf_counter() - begin
    restored.check_valid()
    if not same_batches(restored, buffer):
        raise SystemExit("the restored memory is another one")
    full = pack_seconds[-(n // 2 // interval) :]
    disk, memory = sum(map(bytes_of, segments)), bytes_in_memory(buffer)
    print(f"\nrestored in {restore_seconds:.2f} s; the batches are the same")
    result = {
        "transitions": n,
        "interval": interval,
        "pack_seconds": round(statistics.median(full), 4),
        "pack_max": round(max(full), 4),
        "add_seconds": round(statistics.median(add_seconds), 3),
        "segment_megabytes": round(statistics.median(map(bytes_of, segments)) / 1e6, 2),
        "disk_over_memory": round(disk / memory, 3),
        "restore_seconds": round(restore_seconds, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
