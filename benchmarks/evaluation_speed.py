"""Evaluation of the shipped Breakout agent: games one at a time, side by side, and in processes.

Run:  python benchmarks/evaluation_speed.py [--n-games 30] [--n-rounds 3] [--n-workers 2]

The same games are played one at a time, side by side in one process, and side by side in several
processes, in alternating rounds, with one thread of PyTorch in each process. A first, short
evaluation in several processes is not counted: it starts the server from which the others fork
their workers, with the modules imported. A single evaluation waits a few seconds longer for its
first worker, while this process plays.
``scores_differing`` counts the games with another score than one at a time, at epsilon 0.05. The
last line is JSON: how many times faster, by the medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch as th

from sb3_atari_course._common import N_ENVS
from sb3_atari_course.zoo.run_folder import find_run

GAME = "BreakoutNoFrameskip-v4"
AGENTS = Path(__file__).parents[1] / "trained_agents"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--n-games", type=int, default=30)
    parser.add_argument("--n-rounds", type=int, default=3)
    parser.add_argument("--n-envs", type=int, default=N_ENVS, help="games side by side")
    parser.add_argument("--n-workers", type=int, default=2, help="processes")
    parser.add_argument("--max-frames", type=int, default=108_000, help="longest game")
    args = parser.parse_args()
    th.set_num_threads(1)
    run = find_run("dqn", GAME, AGENTS)

    sides = {
        "one at a time": {"n_envs": 1},
        "one process": {"n_envs": args.n_envs},
        "several processes": {"n_envs": args.n_envs, "n_workers": args.n_workers},
    }

    def play(n_games: int, **settings: Any) -> tuple[float, ...]:
        return run.evaluate(
            seed=1000,
            n_games=n_games,
            max_frames=args.max_frames,
            random_play=False,
            device="cpu",
            **settings,
        ).scores

    play(min(args.n_games, 8), **sides["several processes"])
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    scores: dict[str, tuple[float, ...]] = {}
    n_differing = 0
    for i in range(args.n_rounds):
        print(f"round {i + 1} of {args.n_rounds}", file=sys.stderr, flush=True)
        for name, settings in sides.items():
            start = time.perf_counter()
            scores[name] = play(args.n_games, **settings)
            seconds[name].append(time.perf_counter() - start)
        first, *others = scores.values()
        differing = (a != b for one in others for a, b in zip(first, one, strict=True))
        n_differing = max(n_differing, sum(differing))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{args.n_games} games of {GAME}, medians of {args.n_rounds} alternating rounds")
    for name, value in medians.items():
        print(f"{name:20s} {value:7.2f} s  {' '.join(f'{one:.2f}' for one in seconds[name])}")
    alone, in_one, in_several = medians.values()
    result = {"speedup_one_process": alone / in_one, "speedup": alone / in_several}
    rounded = {name: round(value, 3) for name, value in result.items()}
    print(json.dumps({**rounded, "scores_differing": n_differing}))


if __name__ == "__main__":
    main()
