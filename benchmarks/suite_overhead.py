"""Cost of the suite's engine: a run in a Ray worker against ``train`` alone, and two runs at once.

Run:  python benchmarks/suite_overhead.py [--rounds N] [--steps N] [--quick]   (25 minutes on idle
cores; needs the extra "cluster")

DQN on Breakout (settings of ``hyperparams/dqn_laptop.yml``) with one PyTorch thread, alternating in
every round:

- ``train`` alone, the same run in a suite, and ``train`` alone again (the control): seconds from
  the first to the last checkpoint in the log of the run, without start-up and evaluation;
- the wall-clock time of the command ``suite`` for two runs, on a Ray cluster with two CPUs and on
  one with a single CPU, where they run one after the other.

The last line is JSON: ``seconds_alone`` (of training, median), ``overhead`` (median over the rounds
of suite / alone - 1, where alone is the mean of the trainings before and after), ``control`` (the
same for the second training alone against the first), ``speedup_of_two`` (median), ``rounds``,
``steps``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python benchmarks/suite_overhead.py`
from benchmarks.ray_cluster import ray_cluster
from sb3_atari_course.checkpoints.folder import FOLDER, CheckpointFolder

_ENV = "BreakoutNoFrameskip-v4"
_HYPERPARAMETERS = "sb3_atari_course.hyperparams.dqn_laptop"


class Runs:
    """Runs with separate folders.

    :param home: parent of the folders.
    :param steps: agent steps of a run.
    """

    def __init__(self, home: Path, steps: int) -> None:
        self._home, self._steps, self._n = home, steps, 0

    def alone(self) -> float:
        """Return the seconds of a training by ``train``."""
        folder = self._folder()
        arguments = ["train", "--algo", "dqn", "--env", _ENV, *self._common(folder), "--seed", "1"]
        arguments += ["-conf", _HYPERPARAMETERS, "-n", str(self._steps), "--eval-freq", "-1"]
        arguments += ["--num-threads", "1", "--device", "cpu"]
        self._call([*arguments, "-params", f"learning_starts:{self._steps // 20}"])
        return _training_seconds(folder)

    def suite(self) -> float:
        """Return the seconds of the same training in a suite."""
        folder = self._folder()
        self._suite(folder, [1], n_cpus=1)
        return _training_seconds(folder)

    def wall_clock(self, *, n_cpus: int) -> float:
        """Return the seconds of the command ``suite`` for two runs."""
        return self._suite(self._folder(), [1, 2], n_cpus=n_cpus)

    def _folder(self) -> Path:
        self._n += 1
        return self._home / str(self._n)

    def _suite(self, folder: Path, seeds: list[int], *, n_cpus: int) -> float:
        """Run a suite; return the seconds of the command, without the start of the cluster."""
        suite = folder.with_suffix(".yml")
        suite.write_text(f"""
algos: [dqn]
envs: [{_ENV}]
seeds: {seeds}
conf_file: {_HYPERPARAMETERS}
n_timesteps: {self._steps}
params: {{learning_starts: {self._steps // 20}}}
evaluation: {{n_games: 2}}
""")
        with ray_cluster(1, n_cpus=n_cpus) as cluster:
            started = time.monotonic()
            arguments = ["suite", str(suite), "--address", cluster.address]
            self._call([*arguments, *self._common(folder)], **cluster.environment)
            return time.monotonic() - started

    def _common(self, folder: Path) -> list[str]:
        return ["-f", str(folder), "--checkpoint-freq", str(self._steps // 10)]

    def _call(self, arguments: list[str], **environment: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "sb3_atari_course", *arguments],
            cwd=Path(__file__).parents[1],
            env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)


def _training_seconds(folder: Path) -> float:
    """Return the seconds from the first to the last checkpoint of the only run."""
    (run,) = (folder / "dqn").iterdir()
    times = [one["time"] for one in CheckpointFolder(run / FOLDER).events()]
    return float(times[-1] - times[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, help="(3)")
    parser.add_argument("--steps", type=int, help="agent steps per run (30,000: 70 s)")
    parser.add_argument("--quick", action="store_true", help="1 round, 1,000 steps: smoke test")
    args = parser.parse_args()
    n_rounds = args.rounds or (1 if args.quick else 3)
    steps = args.steps or (1000 if args.quick else 30_000)
    alone, overheads, controls, speedups = [], list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="suite_overhead_") as home:
        runs = Runs(Path(home), steps)
        for i in range(n_rounds):
            before, suite, after = runs.alone(), runs.suite(), runs.alone()
            alone += [before, after]
            overheads.append(suite / statistics.mean([before, after]) - 1)
            controls.append(after / before - 1)
            both = runs.wall_clock(n_cpus=2)
            speedups.append(runs.wall_clock(n_cpus=1) / both)
            print(
                f"round {i + 1} of {n_rounds}: alone {before:.1f} s, suite {suite:.1f} s, alone"
                f" {after:.1f} s, two at once {speedups[-1]:.2f} times as fast",
                file=sys.stderr,
                flush=True,
            )
    result = {
        "seconds_alone": round(statistics.median(alone), 2),
        "overhead": round(statistics.median(overheads), 4),
        "control": round(statistics.median(controls), 4),
        "speedup_of_two": round(statistics.median(speedups), 3),
        "rounds": n_rounds,
        "steps": steps,
    }
    for name, value in result.items():
        print(f"{name:15} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
