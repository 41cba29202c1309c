"""Breakout, learned by SB3's DQN and by FastDQN by the same settings, compared at equal steps.

Run:  python benchmarks/learning_curves.py [--steps 60000] [--seeds 2]      (a quarter of an hour)

Both train by the settings of hyperparams/dqn_laptop.yml, in 8 native games at once with an update
for 4 transitions, and are compared at equal agent steps: the mean score of the whole games that
ended in each tenth of the training, mean and range over the seeds, and in the end the score of
``evaluate_games``. The last line is JSON: ``fast_vs_sb3`` is FastDQN's mean score in the last tenth
divided by SB3's.
"""

from __future__ import annotations

import argparse
import json
import statistics
from functools import partial
from typing import Any

import numpy as np
import torch as th
from rl_zoo3.utils import get_class_by_name
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course import FastDQN, evaluate_games, make_atari_env, wrap_atari
from sb3_atari_course.hyperparams import load_hyperparams

GAME = "BreakoutNoFrameskip-v4"
N_ENVS = 8
N_PARTS = 10
ALGORITHMS: dict[str, type[DQN]] = {"SB3's DQN": DQN, "FastDQN": FastDQN}


class Scores(BaseCallback):
    """Notes the score of each whole game, and after how many agent steps it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.games: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self.games.append((self.num_timesteps, info["episode"]["r"]))
        return True

    def by_part(self, n_steps: int) -> list[float]:
        """Return the mean score of the games that ended in each part, NaN if none did."""
        parts: list[list[float]] = [[] for _ in range(N_PARTS)]
        for step, score in self.games:
            parts[min(step * N_PARTS // n_steps, N_PARTS - 1)].append(score)
        return [statistics.fmean(part) if part else float("nan") for part in parts]


def train(algorithm: type[DQN], n_steps: int, seed: int) -> tuple[list[float], float]:
    """Return the mean scores by part of the training, and the score of the trained model."""
    hyperparams: dict[str, Any] = dict(load_hyperparams("dqn_laptop")[GAME])
    (wrapper,) = hyperparams.pop("env_wrapper")
    (wrapper_kwargs,) = wrapper.values()
    n_stack = wrapper_kwargs.pop("n_stack")
    env = make_atari_env(
        GAME, N_ENVS, native=True, seed=seed, n_stack=n_stack, wrapper_kwargs=wrapper_kwargs
    )
    hyperparams.pop("n_timesteps")
    for key in ("policy", "replay_buffer_class"):
        name = hyperparams[key].removeprefix("get_class_by_name('").removesuffix("')")
        hyperparams[key] = get_class_by_name(name)
    steps_per_update = hyperparams["train_freq"] / hyperparams["gradient_steps"]
    hyperparams |= {"train_freq": 1, "gradient_steps": round(N_ENVS / steps_per_update)}
    model = algorithm(env=env, seed=seed, device="cpu", **hyperparams)
    scores = Scores()
    model.learn(n_steps, callback=scores)
    report = evaluate_games(
        model,
        GAME,
        n_games=30,
        seed=0,
        env_wrapper=partial(wrap_atari, n_stack=n_stack, **wrapper_kwargs),
    )
    env.close()
    return scores.by_part(n_steps), report.mean


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60_000, help="agent steps (60,000)")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each side (2)")
    args = parser.parse_args()
    curves: dict[str, list[list[float]]] = {name: [] for name in ALGORITHMS}
    finals: dict[str, list[float]] = {name: [] for name in ALGORITHMS}
    for seed in range(args.seeds):
        for name, algorithm in ALGORITHMS.items():
            curve, final = train(algorithm, args.steps, seed)
            curves[name].append(curve)
            finals[name].append(final)
            print(f"{name}, seed {seed}: {final:.1f} in 30 games", flush=True)
    print(f"\n{GAME}, {args.seeds} trainings each, torch threads: {th.get_num_threads()}")
    print(f"{'agent steps':>12s}" + "".join(f"{name:>22s}" for name in ALGORITHMS))
    for part in range(N_PARTS):
        cells = []
        for name in ALGORITHMS:
            values = [curve[part] for curve in curves[name]]
            low_high = f"({min(values):.1f} to {max(values):.1f})"
            cells.append(f"{statistics.fmean(values):6.1f} {low_high:>15s}")
        print(f"{args.steps * (part + 1) // N_PARTS:12d}" + "".join(cells))
    evaluated = {name: f"{statistics.fmean(scores):.1f}" for name, scores in finals.items()}
    print(f"30 whole games: {evaluated}")
    sb3, fast = (np.mean([curve[-1] for curve in curves[name]]) for name in ALGORITHMS)
    print(json.dumps({"fast_vs_sb3": round(float(fast / sb3), 3)}))


if __name__ == "__main__":
    main()
