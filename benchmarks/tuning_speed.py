"""Tuning overhead per trial, and speed-up by a second worker.

Run:  python benchmarks/tuning_speed.py [--quick]      (6 minutes; needs the extra "services")

"bookkeeping" is the time of a trial without training: the mean over 40 trials with the parameters,
reported scores, sampling, storage and checks for dead workers of a real one.

"with" and "without" are the same run of DQN on CartPole, at least 10 s, as a trial of a study
and alone, in alternating rounds, medians. The noise of a machine is larger than this difference.

"two workers" and "one worker": the command with equal runs, one PyTorch thread each, timed
from the start of the first trial to the end of the last one.

The last line is JSON: ``bookkeeping_seconds_*`` per trial, ``overhead_*`` its share of a trial of
10 s, ``with_vs_without_*`` the ratio of the medians, ``two_vs_one`` above 1: two workers are
faster.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import optuna
import torch as th
from optuna import Trial
from optuna.storages import BaseStorage
from optuna.trial import FixedTrial

from benchmarks.postgres_server import PostgresServer
from sb3_atari_course.hyperparams import load_hyperparams
from sb3_atari_course.tuning.space import load_space
from sb3_atari_course.tuning.storage import open_storage
from sb3_atari_course.tuning.study import StudySettings, create_or_join, find_study
from sb3_atari_course.tuning.trial import Objective, prepare
from sb3_atari_course.tuning.workers import work

ENV = "CartPole-v1"

#: Duration of a trial, in seconds, for the overhead.
TRIAL_SECONDS = 10.0

#: Settings of the equal runs; at least 10 s each on one core.
EQUAL = {"seed": 7, "n_timesteps": 8000, "n_games": 10, "n_evaluations": 4}
EQUAL_SPACE = {"gamma": [0.98, 0.99, 0.995], "updates_per_step": 1.0}


class Empty(Objective):
    """Objective without training."""

    def _train(self, trial: Trial) -> float:
        self._space.suggest(trial, self._settings.hyperparams)
        for step in range(1, self._settings.n_evaluations + 1):
            trial.report(float(trial.number), step)
            trial.should_prune()
        return float(trial.number)


class Alone(Objective):
    """Objective that trains without a study."""

    def seconds(self, params: dict[str, Any]) -> float:
        """Return the duration of a run with these parameters."""
        start = time.perf_counter()
        self._train(FixedTrial(params, number=0))  # type: ignore[arg-type]
        return time.perf_counter() - start


def settings(space: dict[str, Any], **changes: Any) -> StudySettings:
    """Return the settings of a study of DQN on CartPole."""
    hyperparams = load_hyperparams("dqn")[ENV]
    given = {"n_timesteps": 1000, "pruner": "none", "n_startup_trials": 10, **changes}
    return StudySettings("dqn", ENV, hyperparams, space, **given)


def bookkeeping(storage: BaseStorage, folder: Path, n_trials: int) -> float:
    """Return the seconds per trial without training, with the full search space."""
    study = create_or_join(storage, "empty", settings(load_space("dqn", ENV)), n_trials, 1)
    start = time.perf_counter()
    work(study, Empty(settings(load_space("dqn", ENV)), folder))
    return (time.perf_counter() - start) / n_trials


def with_and_without(storage: BaseStorage, folder: Path, n_rounds: int) -> tuple[float, float]:
    """Return the median seconds of a run in a study, and of the same run alone."""
    chosen = settings(EQUAL_SPACE, **EQUAL)
    alone, objective = Alone(chosen, folder), Objective(chosen, folder)
    sides: dict[str, list[float]] = {"with": [], "without": []}
    for round_number in range(n_rounds + 1):
        study = create_or_join(storage, f"round {round_number}", chosen, 1, 1)
        start = time.perf_counter()
        work(study, objective)
        sides["with"].append(time.perf_counter() - start)
        sides["without"].append(alone.seconds(study.trials[0].params))
    return statistics.median(sides["with"][1:]), statistics.median(sides["without"][1:])


def seconds_of_command(folder: Path, n_workers: int, n_trials: int) -> float:
    """Return the seconds from the start of the first trial to the end of the last."""
    values = [f"{name}={json.dumps(value)}" for name, value in EQUAL_SPACE.items()]
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in EQUAL.items()]
    name = f"workers-{n_workers}-{len(list(folder.iterdir()))}"
    subprocess.run(
        [
            *(sys.executable, "-m", "sb3_atari_course", "tune", "--algo", "dqn", "--env", ENV),
            *("-f", str(folder), "--study-name", name, "--n-trials", str(n_trials), *flags),
            *("--param", *values, "--only", "gamma", "--sampler", "random", "--pruner", "none"),
            *("--workers", str(n_workers), "--num-threads", "1"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    trials = find_study(open_storage(None, folder / name), name).trials
    starts = [trial.datetime_start for trial in trials if trial.datetime_start]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    return (max(ends) - min(starts)).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smoke test: meaningless figures")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    th.set_num_threads(1)
    prepare(native=False)
    gc.freeze()  # as a worker does
    if quick:
        EQUAL["n_timesteps"] = 2000
    n_empty, n_rounds, n_equal = (5, 1, 2) if quick else (40, 4, 6)
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch, PostgresServer() as server:
        folder = Path(scratch)
        for name, where in (("journal", None), ("postgresql", server.url)):
            storage = open_storage(where, folder / "studies")
            with contextlib.redirect_stdout(io.StringIO()):
                empty = bookkeeping(storage, folder, n_empty)
                inside, alone = with_and_without(storage, folder, n_rounds)
            print(f"{name:<12} bookkeeping {empty * 1000:6.1f} ms per trial;", end=" ")
            print(f"training with study {inside:.2f} s, without {alone:.2f} s", flush=True)
            result[f"bookkeeping_seconds_{name}"] = round(empty, 4)
            result[f"overhead_{name}"] = round(empty / TRIAL_SECONDS, 4)
            result[f"with_vs_without_{name}"] = round(inside / alone, 3)
        commands = folder / "commands"
        commands.mkdir()
        one, two = (seconds_of_command(commands, n_workers, n_equal) for n_workers in (1, 2))
        print(f"{n_equal} equal runs: one worker {one:.1f} s, two {two:.1f} s")
        result["two_vs_one"] = round(one / two, 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
