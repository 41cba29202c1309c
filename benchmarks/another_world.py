"""MountainCar, Pendulum and LunarLander, trained by our yml and set beside RL Zoo's figures.

Run:  python benchmarks/another_world.py [--folder another_world] [--seeds 3]      (half an hour)

Each world is trained by ``python -m sb3_atari_course train``, Pendulum twice: by DQN with a few
torques (our yml) and by TD3, which chooses any torque (RL Zoo's yml). Each agent plays 100 whole
games, epsilon 0. Stopped, the same command goes on: a seed that was scored in the folder is neither
trained nor scored again. RL Zoo's figures are those of its benchmark.md: one training each, scored
over 150,000 steps (LunarLander as v2, which differs in its wind only, off in both).

A mean is called "better" if it is not below RL Zoo's figure, "within" if it is at most one standard
error below it: that of the difference, of our mean over the seeds and of RL Zoo's mean over its
games. The games are the same for all seeds, so our error does not count what games they are. The
last line is JSON: by world and algorithm ``means`` of the seeds, ``mean``, its ``standard_error``,
``rl_zoo``, ``rl_zoo_error``, ``verdict`` and the ``seconds`` of the trainings.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class World:
    """One row of the table.

    :param algo: what our launcher trains.
    :param env_id: the world.
    :param rl_zoo: mean score of RL Zoo's agent.
    :param rl_zoo_error: standard error of that mean, SD of its games / sqrt(their number).
    :param rl_zoo_agent: its algorithm, its length in agent steps.
    """

    algo: str
    env_id: str
    rl_zoo: float
    rl_zoo_error: float
    rl_zoo_agent: str

    @property
    def name(self) -> str:
        """The world and who learns it."""
        return f"{self.env_id} {self.algo}"


WORLDS = (
    World("dqn", "MountainCar-v0", -100.849, 9.925 / 1487**0.5, "DQN, 120,000 steps"),
    World("dqn", "Pendulum-v1", -151.855, 90.227 / 750**0.5, "TD3, 20,000 steps"),
    World("td3", "Pendulum-v1", -151.855, 90.227 / 750**0.5, "TD3, 20,000 steps"),
    World("dqn", "LunarLander-v3", 154.382, 79.241 / 200**0.5, "DQN, 100,000 steps"),
)

#: Seed of the games, the same for all agents.
GAMES_SEED = 1000


def scored(world: World, folder: Path, n_games: int) -> Path | None:
    """Return the run folder of a training that has been scored over as many games, if any.

    :param folder: the log folder of one seed.
    """
    for path in sorted((folder / world.algo).glob(f"{world.env_id}_*/evaluation.json")):
        protocol = json.loads(path.read_text(encoding="utf-8"))["protocol"]
        if (protocol["n_games"], protocol["seed"]) == (n_games, GAMES_SEED):
            return path.parent
    return None


def train_and_score(
    world: World, folder: Path, *, seed: int, n_games: int, n_steps: int | None = None
) -> Path:
    """Train one seed through our launcher, score it; return its run folder.

    :param folder: the log folder of this seed.
    :param n_steps: agent steps, None for what the yml says.
    :raises subprocess.CalledProcessError: if a command fails; what it said is in ``output.txt``.
    """
    which = ["--algo", world.algo, "--env", world.env_id, "-f", str(folder)]
    length = [] if n_steps is None else ["-n", str(n_steps)]
    began = time.perf_counter()
    command("train", *which, "--seed", str(seed), "--num-threads", "1", *length, folder=folder)
    seconds = time.perf_counter() - began
    command("evaluate", *which, "-n", str(n_games), "--seed", str(GAMES_SEED), folder=folder)
    run = scored(world, folder, n_games)
    assert run is not None
    (run / "seconds.txt").write_text(f"{seconds:.0f}\n", encoding="utf-8")
    return run


def command(*words: str, folder: Path) -> None:
    """Run one command of ours; what it prints goes to ``output.txt`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.txt").open("a", encoding="utf-8") as output:
        subprocess.run(
            [sys.executable, "-m", "sb3_atari_course", *words],
            check=True,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def summary(world: World, means: list[float]) -> dict[str, Any]:
    """Return the mean over the seeds, its standard error, and how it compares with RL Zoo's.

    :param means: mean score of each seed; one seed has no standard error, it counts as 0.
    """
    mean = statistics.fmean(means)
    error = statistics.stdev(means) / len(means) ** 0.5 if len(means) > 1 else 0.0
    if mean >= world.rl_zoo:
        verdict = "better"
    else:
        near = mean + math.hypot(error, world.rl_zoo_error) >= world.rl_zoo
        verdict = "within" if near else "below"
    return {
        "means": [round(one, 2) for one in means],
        "mean": round(mean, 2),
        "standard_error": round(error, 2),
        "rl_zoo": world.rl_zoo,
        "rl_zoo_error": round(world.rl_zoo_error, 2),
        "verdict": verdict,
    }


def read_run(run: Path) -> tuple[float, float | None]:
    """Return the mean score of a run, and the seconds of its training if they were noted."""
    mean = float(json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["mean"])
    noted = run / "seconds.txt"
    return mean, float(noted.read_text(encoding="utf-8")) if noted.is_file() else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("another_world"), help="of the runs")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each world (3)")
    parser.add_argument("--games", type=int, default=100, help="games of each agent (100)")
    parser.add_argument("--steps", type=int, help="of each training, for a try; default: the yml's")
    parser.add_argument("--only", nargs="+", help="env ids; default: all of them")
    args = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    print(f"{'':<20} {'means of the seeds':<25} {'mean':>8} +- SE     RL Zoo's")
    for world in WORLDS:
        if args.only and world.env_id not in args.only:
            continue
        runs = []
        for seed in range(args.seeds):
            folder = args.folder / f"seed{seed}"
            run = scored(world, folder, args.games) or train_and_score(
                world, folder, seed=seed, n_games=args.games, n_steps=args.steps
            )
            runs.append(read_run(run))
        row = summary(world, [mean for mean, _ in runs])
        row["seconds"] = [seconds for _, seconds in runs]
        results[world.name] = row
        shown = " ".join(f"{mean:.1f}" for mean in row["means"])
        print(
            f"{world.name:<20} {shown:<25} {row['mean']:8.1f} +- {row['standard_error']:<6.1f}"
            f" {world.rl_zoo:.1f} +- {world.rl_zoo_error:.1f} ({world.rl_zoo_agent}):"
            f" {row['verdict']}",
            flush=True,
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
