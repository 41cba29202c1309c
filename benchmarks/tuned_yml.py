"""A tuned yml against the ones it should beat: trained anew with fresh seeds, scored alike.

Run:  python benchmarks/tuned_yml.py best.yml hyperparams/dqn.yml rl_zoo3 [--seeds 5]

Each yml trains DQN on the environment of the first one, for as many agent steps as the first one
says, with the same seeds, none of which a study has used; ``rl_zoo3`` means RL Zoo's own yml. Each
agent plays 100 whole games, epsilon 0. The interval is that of Student's t, 95 %, over the seeds.

The last line is JSON: for each yml ``mean``, ``low`` and ``high`` of the interval, and ``scores``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
from pathlib import Path

import rl_zoo3
import torch as th
import yaml

from sb3_atari_course.evaluation import evaluate_games
from sb3_atari_course.tuning.trial import TrialExperiment, prepare

N_GAMES = 100

#: Seeds of the trainings; those of a study are large random numbers.
FIRST_SEED = 1000

#: Student's t, two-sided 95 %, for 1 to 9 degrees of freedom.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def score(algo: str, env_id: str, yml: Path, n_timesteps: int, seed: int) -> float:
    """Train once; return the mean of whole games."""
    experiment = TrialExperiment(algo, env_id, yml, n_timesteps=n_timesteps, seed=seed)
    model = experiment.build()
    with contextlib.redirect_stdout(io.StringIO()):
        experiment.learn(model)
    report = evaluate_games(
        model,
        env_id,
        n_games=N_GAMES,
        seed=seed,
        epsilon=0.0,
        random_play=False,
        **experiment.game_settings(),
    )
    return report.mean


def interval(scores: list[float]) -> tuple[float, float, float]:
    """Return mean, low and high of the interval of the mean."""
    mean = statistics.mean(scores)
    half = STUDENT[len(scores) - 2] * statistics.stdev(scores) / len(scores) ** 0.5
    return mean, mean - half, mean + half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("yml", nargs="+", help="a file, or rl_zoo3 for RL Zoo's own")
    parser.add_argument("--algo", default="dqn")
    parser.add_argument("--seeds", type=int, default=5, help="2 to 10 (default 5)")
    args = parser.parse_args()
    prepare(native=False)
    th.set_num_threads(1)
    env_id, entry = next(iter(yaml.safe_load(Path(args.yml[0]).read_text()).items()))
    theirs = Path(rl_zoo3.__file__).parent / "hyperparams" / f"{args.algo}.yml"
    print(f"{args.algo} on {env_id}, {entry['n_timesteps']} steps, {args.seeds} seeds")
    results = {}
    for name in args.yml:
        yml = theirs if name == "rl_zoo3" else Path(name)
        scores = [
            score(args.algo, env_id, yml, entry["n_timesteps"], FIRST_SEED + i)
            for i in range(args.seeds)
        ]
        mean, low, high = interval(scores)
        shown = " ".join(f"{one:.0f}" for one in scores)
        print(f"{name:<50} {mean:6.1f}  [{low:.1f}, {high:.1f}]   {shown}", flush=True)
        results[name] = {"mean": mean, "low": low, "high": high, "scores": scores}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
