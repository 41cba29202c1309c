"""Training throughput on the CPU: agent steps per second of SB3's DQN and FastDQN.

Run:  python benchmarks/training_throughput.py [--quick]      (6 minutes)

All sides train on Breakout at 84 x 84 with the network and settings of RL Zoo's dqn.yml, one
gradient step of batch 32 per 4 agent steps, epsilon 0.05, and the same number of torch threads.
They run in alternating rounds of one process; the result of a side is the median over the rounds of
the transitions added to its replay buffer, divided by the seconds of ``learn``. Replay buffers are
small and full before the first round, so that no side allocates new pages.

"limit" is the speed of gradient steps alone, with the compiled FastDQN and its full replay buffer:
an upper bound, as if environments and action selection took no time.

The last line is JSON: ``a_vs_b`` is the median speed of a divided by that of b, above 1: a is
faster; ``fast`` is FastDQN compiled, ``fast_eager`` not compiled, ``sb3`` one environment in a
DummyVecEnv, ``sb3_eight`` eight.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_atari_env as sb3_make_atari_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from sb3_atari_course import FastDQN, FrameReplayBuffer, make_atari_env, register_envs

GAME = "BreakoutNoFrameskip-v4"
#: Agent steps between gradient steps, as in the DQN paper.
STEPS_PER_UPDATE = 4
BATCH_SIZE = 32
N_ENVS = 8
N_NATIVE = 16
#: Capacity of the replay buffer: large enough for varied batches, small enough to fill quickly.
BUFFER_SIZE = 2000

SB3 = "SB3 DQN, DummyVecEnv of 1"
SB3_EIGHT = f"SB3 DQN, DummyVecEnv of {N_ENVS}"
SB3_NATIVE = f"SB3 DQN, NativeAtariVecEnv of {N_NATIVE}"
FAST_EAGER = f"FastDQN, NativeAtariVecEnv of {N_NATIVE}"
FAST = f"FastDQN compiled, NativeAtariVecEnv of {N_NATIVE}"
LIMIT = "limit: FastDQN's gradient steps alone"

RATIOS = {
    "fast_vs_sb3": (FAST, SB3),
    "fast_eager_vs_sb3": (FAST_EAGER, SB3),
    "fast_vs_sb3_eight": (FAST, SB3_EIGHT),
    "sb3_native_vs_sb3_eight": (SB3_NATIVE, SB3_EIGHT),
    "fast_vs_limit": (FAST, LIMIT),
}


def make_model(
    algorithm: type[DQN], env: VecEnv, *, buffer_size: int, device: str = "cpu", **kwargs: Any
) -> DQN:
    """Return a model with a full replay buffer, ready to measure."""
    n_envs = env.num_envs
    model = algorithm(
        "CnnPolicy",
        env,
        learning_rate=1e-4,
        buffer_size=buffer_size,
        learning_starts=buffer_size,
        batch_size=BATCH_SIZE,
        train_freq=max(STEPS_PER_UPDATE // n_envs, 1),
        gradient_steps=max(n_envs // STEPS_PER_UPDATE, 1),
        target_update_interval=1000,
        exploration_initial_eps=0.05,
        exploration_final_eps=0.05,
        device=device,
        seed=0,
        **kwargs,
    )
    return model.learn(buffer_size + 20 * n_envs)  # some updates: select kernels, compile the loss


def train(model: DQN) -> Callable[[int], float]:
    """Return a function that trains for some agent steps and returns the steps per second."""

    def steps_per_second(n_steps: int) -> float:
        before = model.num_timesteps
        start = time.perf_counter()
        model.learn(n_steps, reset_num_timesteps=False)
        return (model.num_timesteps - before) / (time.perf_counter() - start)

    return steps_per_second


def update_only(model: DQN) -> Callable[[int], float]:
    """Return a function that runs only the gradient steps, and returns agent steps per second."""

    def steps_per_second(n_steps: int) -> float:
        n_updates = n_steps // STEPS_PER_UPDATE
        start = time.perf_counter()
        model.train(n_updates, BATCH_SIZE)
        return n_updates * STEPS_PER_UPDATE / (time.perf_counter() - start)

    return steps_per_second


def make_sides() -> dict[str, Callable[[int], float]]:
    """Return all sides by name."""

    def dummies(n_envs: int) -> VecEnv:
        return VecFrameStack(sb3_make_atari_env(GAME, n_envs, seed=0), 4)

    def native() -> VecEnv:
        return make_atari_env(GAME, N_NATIVE, native=True, seed=0)

    make = partial(make_model, buffer_size=BUFFER_SIZE)
    ours: dict[str, Any] = {"replay_buffer_class": FrameReplayBuffer}
    fast = make(FastDQN, native(), compile=True, **ours)
    return {
        SB3: train(make(DQN, dummies(1))),
        SB3_EIGHT: train(make(DQN, dummies(N_ENVS))),
        SB3_NATIVE: train(make(DQN, native())),
        FAST_EAGER: train(make(FastDQN, native(), **ours)),
        FAST: train(fast),
        LIMIT: update_only(fast),
    }


def measure(
    sides: dict[str, Callable[[int], float]], n_rounds: int, n_steps: int
) -> dict[str, float]:
    """Return the median speed of each side over alternating rounds, in agent steps per second."""
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(n_rounds):
        print(f"round {i + 1} of {n_rounds}", file=sys.stderr, flush=True)
        for name, side in sides.items():
            speeds[name].append(side(n_steps))
    return {name: statistics.median(values) for name, values in speeds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: imprecise figures")
    quick = parser.parse_args().quick
    register_envs()
    n_rounds, n_steps = (2, 80) if quick else (9, 480)
    medians = measure(make_sides(), n_rounds, n_steps)
    print(
        f"{GAME}, 84 x 84, torch threads: {th.get_num_threads()};"
        f" medians of {n_rounds} alternating rounds of {n_steps} agent steps"
    )
    print(f"{'':44s} steps/s")
    for name, speed in medians.items():
        print(f"{name:44s} {speed:7.1f}")
    print(json.dumps({name: round(medians[a] / medians[b], 3) for name, (a, b) in RATIOS.items()}))


if __name__ == "__main__":
    main()
