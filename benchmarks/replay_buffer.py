"""Replay buffers: bytes per transition, speed of adding and sampling, of SB3's, others and ours.

Run:  python benchmarks/replay_buffer.py [--quick]      (7 minutes, 8 GB of RAM)

Games are recorded once, with random actions or a script that follows the ball, in 8 environments
with stacks of four 84 x 84 frames, and added to every replay buffer as SB3 does.

Bytes: the growth of a separate process (RSS) from before the buffer is created until it was filled
twice, divided by its transitions. The million transitions are actually stored, twice; the recorded
games are repeated.

Speed: all buffers in one process, in alternating rounds, medians. "first fill" is the speed while
the buffer fills and the system allocates its pages; all other figures are measured after that. "of
update" is relative to SB3's DQN gradient step of batch 32 without sampling.

sb3-extra-buffers is measured with two compression methods, with optimize_memory_usage: zstd3, its
authors' default, and the one with the least RAM at a usable speed. (zstd's output is small, 453
bytes per transition of cropped Breakout, but it keeps most of the 28 kB that it allocates.)

The last line is JSON. ``a_vs_b``: the speed of a divided by that of b, above 1: a is faster, on
cropped Breakout with the script. Bytes of Breakout and of the million are those of the worse
player, the share of a gradient step is that of the worse game.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python benchmarks/replay_buffer.py`
from benchmarks.played_games import SCENES, Recording, Scene, record
from sb3_atari_course import AtariCnnPolicy, FrameReplayBuffer, make_atari_env

N_ENVS = 8
#: Scenes for speed: the first for all figures, the second since it compresses badly.
SPEED_SCENES = ("Breakout, crop, script", "MsPacman, random")

SB3 = "SB3 ReplayBuffer"
SB3_OPTIMIZED = "SB3, optimize_memory_usage"
EXTRA_ZSTD = "sb3-extra-buffers, zstd3"
EXTRA_LZ4 = "sb3-extra-buffers, lz4-block/1"
PLAIN = "ours, plain"
LZ4 = "ours, lz4"

SHORT = {
    SB3: "SB3",
    SB3_OPTIMIZED: "optimized",
    EXTRA_ZSTD: "extra zstd3",
    EXTRA_LZ4: "extra lz4",
    PLAIN: "ours, plain",
    LZ4: "ours, lz4",
}


def make_buffer(side: str, buffer_size: int, space: spaces.Box) -> Any:
    """Return an empty buffer on the CPU."""
    settings: Any = (buffer_size, space, spaces.Discrete(4), "cpu", N_ENVS)
    once: Any = {"optimize_memory_usage": True, "handle_timeout_termination": False}
    if side in (EXTRA_ZSTD, EXTRA_LZ4):
        with redirect_stdout(StringIO()):  # it prints missing optional packages
            from sb3_extra_buffers.compressed import CompressedReplayBuffer

        return CompressedReplayBuffer(
            *settings,
            **once,
            compression_method=side.split(", ")[1],
        )
    makers: dict[str, Callable[[], Any]] = {
        SB3: lambda: ReplayBuffer(*settings),
        SB3_OPTIMIZED: lambda: ReplayBuffer(*settings, **once),
        PLAIN: lambda: FrameReplayBuffer(*settings),
        LZ4: lambda: FrameReplayBuffer(*settings, compression="lz4"),
    }
    return makers[side]()


def sides() -> list[str]:
    """Return the names of the buffers to compare."""
    if importlib.util.find_spec("sb3_extra_buffers") is None:
        print("sb3-extra-buffers skipped: pip install 'sb3-extra-buffers[zstd]' to compare")
        return [SB3, SB3_OPTIMIZED, PLAIN, LZ4]
    return [SB3, SB3_OPTIMIZED, EXTRA_ZSTD, EXTRA_LZ4, PLAIN, LZ4]


def bytes_per_transition(side: str, folder: Path, buffer_size: int, n_turns: int) -> float:
    """Return the RSS growth per transition while a buffer is filled ``n_turns`` times."""
    recording = Recording.load(folder)
    process = psutil.Process()
    trial = make_buffer(side, 80, recording.observation_space)
    fill(trial, recording, 0, 50)  # exclude what the first steps load
    del trial
    gc.collect()
    before = process.memory_info().rss
    buffer = make_buffer(side, buffer_size, recording.observation_space)
    fill(buffer, recording, 0, n_turns * buffer.buffer_size)
    gc.collect()
    assert buffer.full
    growth = int(process.memory_info().rss) - before
    return float(growth / (buffer.buffer_size * N_ENVS))


def fill(buffer: Any, recording: Recording, first: int, last: int) -> float:
    """Add steps ``first`` to ``last - 1``; return the seconds inside ``add``."""
    seconds = 0.0
    for transition in recording.transitions(first, last):
        start = time.perf_counter()
        buffer.add(*transition)
        seconds += time.perf_counter() - start
    return seconds


def in_new_process(*arguments: Any) -> float:
    """Call :func:`bytes_per_transition` in a new process, whose RAM nothing else has used."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return float(pool.apply(bytes_per_transition, arguments))


class Speed:
    """Adding and sampling speed of one replay buffer."""

    def __init__(self, side: str, recording: Recording, n_rows: int) -> None:
        self.recording, self.n_rows = recording, n_rows
        self.buffer = make_buffer(side, n_rows * N_ENVS, recording.observation_space)
        self.first_fill = n_rows * N_ENVS / fill(self.buffer, recording, 0, n_rows)
        self.step = n_rows
        self.seconds: dict[str | int, list[float]] = {}

    def measure(self, n_adds: int, n_samples: int) -> None:
        """Run one round: measure seconds per added transition, and per batch of 32 and 256."""
        seconds = fill(self.buffer, self.recording, self.step, self.step + n_adds)
        self.step += n_adds
        self.seconds.setdefault("add", []).append(seconds / (n_adds * N_ENVS))
        for batch_size in (32, 256):
            start = time.perf_counter()
            for _ in range(n_samples):
                self.buffer.sample(batch_size)
            seconds = (time.perf_counter() - start) / n_samples
            self.seconds.setdefault(batch_size, []).append(seconds)

    def __getitem__(self, what: str | int) -> float:
        """Return the median seconds of ``"add"`` or of a batch size."""
        return statistics.median(self.seconds[what])


def update_seconds(recording: Recording, n_rounds: int) -> float:
    """Return the median seconds of one SB3 DQN gradient step of batch 32 without sampling."""
    env = make_atari_env(SCENES[1].env_id, 1)
    model = DQN(AtariCnnPolicy, env, buffer_size=100, device="cpu", seed=0)
    model.learn(1)  # sets up the logger
    buffer = make_buffer(PLAIN, 800, recording.observation_space)
    fill(buffer, recording, 0, 100)
    batch = buffer.sample(32)
    model.replay_buffer.sample = lambda *args, **kwargs: batch  # type: ignore[union-attr, method-assign]
    times = []
    for _ in range(n_rounds):
        start = time.perf_counter()
        model.train(gradient_steps=1, batch_size=32)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_sizes(
    scenes: Sequence[Scene], folder: Path, names: Sequence[str], quick: bool
) -> dict[tuple[str, str], float]:
    """Record all scenes, and return the bytes per transition by scene and side."""
    n_rows, measure = (60, bytes_per_transition) if quick else (2000, in_new_process)
    sizes = {}
    for scene in scenes:
        (folder / scene.name).mkdir()
        recording = record(scene, n_rows, N_ENVS)
        recording.save(folder / scene.name)
        del recording
        for side in names:
            size = measure(side, folder / scene.name, n_rows * N_ENVS, 2)
            sizes[scene.name, side] = size
        row = "".join(f"{sizes[scene.name, side]:>12.0f}" for side in names)
        print(f"{scene.name:<26}{row}", flush=True)
    return sizes


def measure_speeds(folder: Path, names: Sequence[str], quick: bool) -> dict[str, Speed]:
    """Return the speeds of all sides on the recording in a folder."""
    recording = Recording.load(folder)
    n_rows = 30 if quick else 1000
    speeds = {side: Speed(side, recording, n_rows) for side in names}
    n_rounds = 2 if quick else 25
    for i in range(n_rounds):
        print(f"round {i + 1} of {n_rounds}", file=sys.stderr, flush=True)
        for speed in speeds.values():
            speed.measure(n_adds=5 if quick else 40, n_samples=2 if quick else 10)
    return speeds


def measure_million(folder: Path, quick: bool) -> dict[tuple[str, str], float]:
    """Return the gigabytes of a million transitions of cropped Breakout, stored twice."""
    n_transitions = 4000 if quick else 1_000_000
    measure = bytes_per_transition if quick else in_new_process
    gigabytes = {}
    for scene in SCENES[:2]:
        for side in (PLAIN, LZ4):
            size = measure(side, folder / scene.name, n_transitions, 2)
            gigabytes[scene.player, side] = size * n_transitions / 1e9
            print(
                f"{n_transitions:,} of {scene.name}, {side}:"
                f" {gigabytes[scene.player, side]:.3f} GB",
                flush=True,
            )
    return gigabytes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smoke test: meaningless figures")
    quick = parser.parse_args().quick
    if quick:
        print("smoke test: meaningless figures")
    names = sides()
    print(f"torch threads: {th.get_num_threads()}; bytes of RAM (RSS) per transition\n")
    print(" " * 26 + "".join(f"{SHORT[name]:>12}" for name in names))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sizes = measure_sizes([*SCENES[:2], SCENES[-1]] if quick else SCENES, folder, names, quick)
        print()
        update = update_seconds(Recording.load(folder / SPEED_SCENES[0]), 3 if quick else 30)
        print(f"gradient step without sampling: {1000 * update:.1f} ms\n")
        speeds = {}
        for name in SPEED_SCENES:
            speeds[name] = measure_speeds(folder / name, names, quick)
            print_speeds(name, speeds[name], update)
        million = measure_million(folder, quick)

    def worse(side: str) -> float:
        return max(sizes[scene.name, side] for scene in SCENES[:2])

    sb3, plain, lz4 = (speeds[SPEED_SCENES[0]][side] for side in (SB3, PLAIN, LZ4))
    result = {
        "breakout_plain_bytes": round(worse(PLAIN)),
        "breakout_lz4_bytes": round(worse(LZ4)),
        "mspacman_lz4_bytes": round(sizes[SCENES[-1].name, LZ4]),
        "sample_vs_sb3": round(sb3[32] / plain[32], 3),
        "sample_256_over_32_plain": round(plain[256] / plain[32], 2),
        "sample_256_over_32_lz4": round(lz4[256] / lz4[32], 2),
        "add_vs_sb3_plain": round(sb3["add"] / plain["add"], 3),
        "add_vs_sb3_lz4": round(sb3["add"] / lz4["add"], 3),
        "add_vs_sb3_plain_first_turn": round(plain.first_fill / sb3.first_fill, 3),
        "add_vs_sb3_lz4_first_turn": round(lz4.first_fill / sb3.first_fill, 3),
        "lz4_share_of_gradient_step": round(max(s[LZ4][32] for s in speeds.values()) / update, 4),
        "million_gigabytes_plain": round(max(million[p, PLAIN] for p in ("random", "script")), 3),
        "million_gigabytes": round(max(million[p, LZ4] for p in ("random", "script")), 3),
    }
    print(json.dumps(result))


def print_speeds(scene: str, speeds: dict[str, Speed], update: float) -> None:
    head = ("add/s, first fill", "add/s", "sample(32)", "of update", "sample(256)", "256 / 32")
    print(f"{scene:<32}" + "".join(f"{name:>18}" for name in head))
    for side, speed in speeds.items():
        cells = (
            f"{speed.first_fill:.0f}",
            f"{1 / speed['add']:.0f}",
            f"{1e6 * speed[32]:.0f} us",
            f"{speed[32] / update:.1%}",
            f"{1e6 * speed[256]:.0f} us",
            f"{speed[256] / speed[32]:.1f}",
        )
        print(f"{side:<32}" + "".join(f"{cell:>18}" for cell in cells))
    print()


if __name__ == "__main__":
    main()
