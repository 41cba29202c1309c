"""CartPole, learned by SB3's DQN and by FastDQN over several seeds, by our yml and in its budget.

Run:  python benchmarks/cartpole_seeds.py [--seeds 5]      (a quarter of an hour)

Each training is evaluated ten times on its way, over 20 episodes without exploring, and in the end
over 100. The last line is JSON: by algorithm, how many seeds reached the full return of 500 in one
of the evaluations, and the mean of the final ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

import gymnasium as gym
import torch as th
from rl_zoo3.utils import SimpleLinearSchedule
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course import FastDQN
from sb3_atari_course.hyperparams import load_hyperparams

ENV_ID = "CartPole-v1"
FULL_RETURN = 500
ALGORITHMS: dict[str, tuple[type[DQN], str]] = {
    "SB3's DQN": (DQN, "dqn"),
    "FastDQN": (FastDQN, "fast_dqn"),
}


def train(algorithm: type[DQN], yml: str, seed: int) -> tuple[float, float]:
    """Return the best mean return of the evaluations on the way, and the final one."""
    hyperparams: dict[str, Any] = dict(load_hyperparams(yml)[ENV_ID])
    n_steps = hyperparams.pop("n_timesteps")
    rate = hyperparams["learning_rate"]
    if isinstance(rate, str):
        hyperparams["learning_rate"] = SimpleLinearSchedule(rate.removeprefix("lin_"))
    model = algorithm(env=Monitor(gym.make(ENV_ID)), seed=seed, device="cpu", **hyperparams)
    games = Monitor(gym.make(ENV_ID))
    on_the_way = EvalCallback(games, n_eval_episodes=20, eval_freq=n_steps // 10, verbose=0)
    model.learn(n_steps, callback=on_the_way)
    final, _ = evaluate_policy(model, games, n_eval_episodes=100)
    assert isinstance(final, float)
    return max(float(on_the_way.best_mean_reward), final), final


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each side (5)")
    n_seeds = parser.parse_args().seeds
    th.set_num_threads(1)  # the network is small
    reached: dict[str, dict[str, float]] = {}
    for name, (algorithm, yml) in ALGORITHMS.items():
        scores = []
        for seed in range(n_seeds):
            best, final = train(algorithm, yml, seed)
            scores.append((best, final))
            print(f"{name}, seed {seed}: best {best:.1f}, final {final:.1f}", flush=True)
        reached[name] = {
            "seeds_at_500": sum(best == FULL_RETURN for best, _ in scores),
            "final_mean": round(statistics.fmean(final for _, final in scores), 1),
        }
    print(json.dumps(reached))


if __name__ == "__main__":
    main()
