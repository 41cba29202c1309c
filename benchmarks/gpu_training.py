"""GPU training throughput: SB3's DQN and FastDQN on a CUDA device, at the paper's replay ratio.

Run:  python benchmarks/gpu_training.py [--quick] [--timeline timeline.png]      (10 minutes)

Breakout at 84 x 84, the network and settings of RL Zoo's dqn.yml, one gradient step of batch 32
per 4 agent steps, epsilon 0.05. SB3's DQN uses 1 and 8 environments in a DummyVecEnv and 16 in a
SubprocVecEnv; FastDQN, compiled, 8 to 256 native ones, with its frames on the GPU.

All sides run in alternating rounds; the result of a side is the median over the rounds of the
transitions added to its replay buffer, divided by the seconds of ``learn``, including the last
updates. "busy" is the share of time in which the GPU runs kernels, from a profile of a few steps,
which profiling slows down. ``--timeline`` plots such a profile: emulators and GPU over time.

The last line is JSON: ``steps_per_s`` of the fastest FastDQN, ``fast_vs_sb3`` compared with the
fastest SB3 side, above 1: FastDQN is faster.
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
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_atari_env as sb3_make_atari_env
from stable_baselines3.common.vec_env import (
    SubprocVecEnv,
    VecEnvWrapper,
    VecFrameStack,
)
from torch.profiler import profile, record_function, supported_activities

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python benchmarks/gpu_training.py`
from benchmarks.training_throughput import GAME, make_model
from sb3_atari_course import FastDQN, FrameReplayBuffer, make_atari_env, register_envs

#: Capacity of the replay buffer, which is full before the first round.
BUFFER_SIZE = 20_000
PLAYING = "emulators run"
#: Start and end times, in seconds.
Intervals = list[tuple[float, float]]


class Marked(VecEnvWrapper):
    """Wrapper that marks environment steps in a profile."""

    def reset(self) -> Any:
        """Reset all environments."""
        return self.venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Start a step and its mark."""
        self._mark = record_function(PLAYING)
        self._mark.__enter__()  # type: ignore[no-untyped-call]
        self.venv.step_async(actions)

    def step_wait(self) -> Any:
        """Finish the step and its mark."""
        result = self.venv.step_wait()
        self._mark.__exit__(None, None, None)
        return result


def sb3_side(n_envs: int, device: str) -> DQN:
    """Return SB3's DQN on a DummyVecEnv, or on a SubprocVecEnv from 16 environments on."""
    vec_env_cls = SubprocVecEnv if n_envs >= 16 else None
    env = sb3_make_atari_env(GAME, n_envs, seed=0, vec_env_cls=vec_env_cls)
    return make_model(DQN, Marked(VecFrameStack(env, 4)), buffer_size=BUFFER_SIZE, device=device)


def fast_side(n_envs: int, device: str) -> DQN:
    """Return FastDQN, compiled, with native environments and frames on the GPU."""
    return make_model(
        FastDQN,
        Marked(make_atari_env(GAME, n_envs, native=True, seed=0)),
        buffer_size=BUFFER_SIZE,
        device=device,
        compile=True,
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs={"storage_device": "auto"},
    )


def learn(model: DQN, n_steps: int) -> float:
    """Train for some agent steps; return the steps per second."""
    before = model.num_timesteps
    start = time.perf_counter()
    model.learn(n_steps, reset_num_timesteps=False)
    if model.device.type == "cuda":
        th.cuda.synchronize()
    return (model.num_timesteps - before) / (time.perf_counter() - start)


def profiled(model: DQN, n_steps: int) -> tuple[Intervals, Intervals]:
    """Return the intervals in which the emulators and the GPU were active, in seconds."""
    activities = supported_activities()  # type: ignore[no-untyped-call]
    with profile(activities=activities) as run:
        learn(model, n_steps)
    found: dict[str, Intervals] = {"emulators": [], "gpu": []}
    for event in run.events() or []:
        span = (event.time_range.start / 1e6, event.time_range.end / 1e6)
        if (
            event.device_type.name == "CUDA" and event.name != PLAYING
        ):  # not the GPU copy of the mark
            found["gpu"].append(span)
        elif event.device_type.name == "CPU" and event.name == PLAYING:
            found["emulators"].append(span)
    return sorted(found["emulators"]), sorted(found["gpu"])


def covered(intervals: Intervals) -> float:
    """Return the total length of the union of intervals.

    >>> covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
    4.0
    """
    total, end = 0.0, float("-inf")
    for first, last in sorted(intervals):
        total += max(last - max(first, end), 0.0)
        end = max(end, last)
    return total


def busy_share(model: DQN, n_steps: int) -> float:
    """Return the share of time in which the GPU runs kernels."""
    playing, on_gpu = profiled(model, n_steps)
    if not on_gpu:
        return 0.0
    everything = playing + on_gpu
    whole = max(end for _, end in everything) - min(start for start, _ in everything)
    return covered(on_gpu) / whole


def draw_timeline(path: Path, playing: Intervals, on_gpu: Intervals, n_steps: int) -> None:
    """Plot the activity of emulators and GPU during the last ``n_steps`` environment steps."""
    import matplotlib.pyplot as plt

    start, stop = playing[-n_steps][0], playing[-1][1]
    figure, axes = plt.subplots(figsize=(10, 2.4), layout="constrained")
    for row, intervals in enumerate((on_gpu, playing)):
        bars = [
            (1e3 * (first - start), 1e3 * (last - first))
            for first, last in intervals
            if last > start and first < stop
        ]
        axes.broken_barh(bars, (row - 0.35, 0.7), color=f"C{row}")
    axes.set(
        yticks=(0, 1),
        yticklabels=("GPU computes", PLAYING),
        xlabel="milliseconds",
        xlim=(0, 1e3 * (stop - start)),
        title=f"{n_steps} steps of all environments",
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: imprecise figures")
    parser.add_argument("--timeline", type=Path, help="plot emulator and GPU activity to this PNG")
    args = parser.parse_args()
    if not th.cuda.is_available():
        raise SystemExit("no CUDA device found: this benchmark needs one")
    register_envs()
    n_rounds, seconds = (2, 1.0) if args.quick else (5, 4.0)
    names = {f"SB3 DQN, {n} {kind}": (sb3_side, n) for n, kind in ((1, "Dummy"), (8, "Dummy"))}
    names["SB3 DQN, 16 Subproc"] = (sb3_side, 16)
    fast_envs = (8, 64) if args.quick else (8, 16, 32, 64, 128, 256)
    names |= {f"FastDQN, {n} native": (fast_side, n) for n in fast_envs}
    models = {name: make(n_envs, "cuda") for name, (make, n_envs) in names.items()}
    speeds: dict[str, list[float]] = {name: [] for name in models}
    steps = {name: int(learn(model, 400) * seconds) + 1 for name, model in models.items()}
    for i in range(n_rounds):
        print(f"round {i + 1} of {n_rounds}", file=sys.stderr, flush=True)
        for name, model in models.items():
            speeds[name].append(learn(model, steps[name]))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(f"{GAME}, {th.cuda.get_device_name()}, medians of {n_rounds} alternating rounds")
    print(f"{'':28s} {'steps/s':>9s} {'busy':>6s}")
    for name, model in models.items():
        busy = busy_share(model, 40 * model.n_envs)
        print(f"{name:28s} {medians[name]:9.0f} {busy:6.1%}", flush=True)
    best = {
        kind: max((n for n in names if kind in n), key=medians.__getitem__)
        for kind in ("SB3", "Fast")
    }
    if args.timeline:
        model = models[best["Fast"]]
        draw_timeline(args.timeline, *profiled(model, 20 * model.n_envs), n_steps=6)
    fast, sb3 = medians[best["Fast"]], medians[best["SB3"]]
    print(json.dumps({"steps_per_s": round(fast), "fast_vs_sb3": round(fast / sb3, 2)}))


if __name__ == "__main__":
    main()
