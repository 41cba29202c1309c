"""Training experiments: train with several settings and seeds, and evaluate all final agents alike.

Run:  python benchmarks/train_and_score.py EXPERIMENT [NAME ...] [--quick]

one-hour (2 hours)
    FastDQN on Breakout with hyperparams/fast_dqn_laptop.yml, whose timesteps take an hour on 2
    cores of an AMD EPYC (other ``--minutes``: proportionally many); then RL Zoo's DQN with its own
    yml on all cores, for as many minutes as ours took including start-up and compilation. Its
    epsilon schedule is stretched over that time (see WallClock); its 100,000 steps of
    learning_starts and its constant learning rate are unchanged. 30 games.
laptop-variants (50 minutes)
    FastDQN on Breakout with variants of hyperparams/fast_dqn_laptop.yml that change one setting
    each, for 7 minutes on one core with one torch thread; schedules are stretched over that time;
    the loss is not compiled, which would take a tenth of it. 20 games. NAMEs are variants.
learning-curves (15 minutes)
    SB3's DQN and FastDQN on Breakout with hyperparams/dqn_laptop.yml, 8 native environments and a
    gradient step per 4 transitions: also the mean score of the training games that ended in each
    tenth of the 60,000 agent steps; ``fast_vs_sb3`` is FastDQN's in the last tenth divided by
    SB3's.
cartpole-seeds (15 minutes)
    SB3's DQN and FastDQN on CartPole with our yml: also the number of seeds that reached the
    maximum return of 500 in one of ten evaluations during training, 20 episodes each.
other-environments (30 minutes)
    MountainCar, Pendulum (DQN with discretized torque; TD3 with RL Zoo's yml) and LunarLander,
    compared with RL Zoo's benchmark.md: one run each, evaluated over 150,000 steps
    (LunarLander-v2; wind is off in both versions). "better": not below its mean; "within": at most
    one standard error of the difference between our mean over seeds and its mean over games below
    it. NAMEs are env ids.
tuned-yml
    A tuned yml compared with others, on the environment and for the timesteps of the first one,
    with seeds that no study has used; NAMEs are files, or ``rl_zoo3`` for RL Zoo's own yml.

Every run and every evaluation is a separate command. After an interruption, the same command
continues with those that are missing. Scores are means over full games with the same seeds for all
runs (tuned-yml: another seed for each). With several seeds the interval is the 95 % interval of
Student's t; with one the SD is that of its games. The last line is JSON: row -> ``scores``,
``mean``, ``sd`` or ``low`` and ``high``, ``steps``, ``minutes``, and what the experiment adds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import queue
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import rl_zoo3
import yaml
from scipy import stats  # type: ignore[import-untyped]
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.save_util import load_from_zip_file

from sb3_atari_course.hyperparams import hyperparams_file, load_hyperparams
from sb3_atari_course.report.run_data import read_run
from sb3_atari_course.tuning.space import Space

ROOT = Path(__file__).parents[1]
GAME = "BreakoutNoFrameskip-v4"

#: Minutes that the timesteps of fast_dqn_laptop.yml take.
YML_MINUTES = 60

#: Name -> changes of fast_dqn_laptop.yml: parameters of ``tune``, or keys of the yml.
VARIANTS: dict[str, dict[str, Any]] = {
    "the yml": {},
    "rewards of 5 steps": {"n_steps": 5},
    "rewards of 1 step": {"n_steps": 1},
    "learning rate 0.001": {"learning_rate": 0.001},
    "learning rate 0.0005 all along": {
        "learning_rate_schedule": "constant",
        "learning_rate": 0.0005,
    },
    "target network every 8,000 steps": {"target_update_interval": 8000},
    "half the updates, batch 64": {"gradient_steps": 2, "batch_size": 64},
    "half the updates": {"gradient_steps": 2},
    "no Double DQN": {"double_q": False},
    "not dueling": {"dueling": False},
    "coarser first layer": {"layers": [[16, 5, 3], [32, 4, 2], [32, 3, 1]]},
    "64 x 64 pixels": {"shape": [64, 64]},
}


class Comparison(NamedTuple):
    """An environment and the published score of RL Zoo's agent.

    :param algo: algorithm that we train.
    :param env_id: Gymnasium's id of the environment.
    :param mean: mean score of RL Zoo's agent.
    :param sd: standard deviation over its games.
    :param n_games: number of its games.
    :param agent: its algorithm and agent steps.
    """

    algo: str
    env_id: str
    mean: float
    sd: float
    n_games: int
    agent: str


COMPARISONS = (
    Comparison("dqn", "MountainCar-v0", -100.849, 9.925, 1487, "DQN, 120,000 steps"),
    Comparison("dqn", "Pendulum-v1", -151.855, 90.227, 750, "TD3, 20,000 steps"),
    Comparison("td3", "Pendulum-v1", -151.855, 90.227, 750, "TD3, 20,000 steps"),
    Comparison("dqn", "LunarLander-v3", 154.382, 79.241, 200, "DQN, 100,000 steps"),
)

SIDES = {"SB3's DQN": "dqn", "FastDQN": "fast_dqn"}
ONE_THREAD = ("--num-threads", "1")
NO_EVALUATION = ("--eval-freq", "-1")
N_PARTS = 10


class WallClock(BaseCallback):
    """Time limit: a callback that stops training after some minutes, and stretches schedules.

    Schedules of SB3's remaining progress (epsilon, learning rate) follow the elapsed share of the
    time instead of ``n_timesteps``; settings in steps (``learning_starts``) are unchanged. Such a
    run is not reproducible bit for bit, and needs ``n_timesteps`` that it does not reach.

    :param minutes: counted from the first environment step.
    """

    def __init__(self, minutes: float) -> None:
        super().__init__()
        self.minutes = minutes

    def _on_training_start(self) -> None:
        self._start = time.perf_counter()

    def _on_step(self) -> bool:
        share = (time.perf_counter() - self._start) / (60 * self.minutes)
        self.model._total_timesteps = max(round(self.num_timesteps / max(share, 1e-9)), 1)
        return share < 1


@dataclass(frozen=True)
class Training:
    """A training run, repeated for several seeds.

    :param row: its name in the table.
    :param algo: RL Zoo's name of the algorithm.
    :param env_id: Gymnasium's id of the environment.
    :param flags: further command-line arguments.
    :param entry: hyperparameters, None for the command's default.
    :param module: arguments of ``python -m``.
    """

    row: str
    algo: str
    env_id: str
    flags: Sequence[object] = ()
    entry: dict[str, Any] | None = None
    module: Sequence[str] = ("sb3_atari_course", "train")


class Result(NamedTuple):
    """Result of one seed of a training run.

    :param score: mean over full games.
    :param sd: standard deviation over these games.
    :param steps: agent steps of the run.
    :param minutes: of the run, from start to end of its process.
    :param run: its run folder.
    """

    score: float
    sd: float
    steps: int
    minutes: float
    run: Path


@dataclass
class Size:
    """Size of an experiment: seeds, games, steps, time and cores.

    :param names: rows or files to run, [] for all.
    :param folder: folder of all results.
    :param seeds: of the training runs.
    :param n_games: games per evaluation.
    :param games_seed: of these games, None for that of the run.
    :param steps: of each run, None for those of its yml.
    :param minutes: of each run with a time limit.
    :param cores: number of parallel runs, on one core each; 0: one at a time on all cores.
    """

    names: list[str]
    folder: Path
    seeds: range
    n_games: int
    games_seed: int | None
    steps: int | None
    minutes: float
    cores: int
    _free: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)

    def run(self, trainings: Sequence[Training]) -> dict[str, list[Result]]:
        """Train and evaluate; return the results of each row, one per seed."""
        for core in _cores_of_this_process()[: self.cores]:
            self._free.put(core)
        with ThreadPoolExecutor(max(self.cores, 1)) as pool:
            jobs = {
                training.row: [pool.submit(self._train_and_score, training, s) for s in self.seeds]
                for training in trainings
            }
            try:
                return {row: [job.result() for job in one] for row, one in jobs.items()}
            except BaseException:  # Ctrl-C too
                pool.shutdown(cancel_futures=True)
                raise

    def _train_and_score(self, training: Training, seed: int) -> Result:
        """Train and evaluate one seed, unless that was done before.

        :raises SystemExit: if a command fails (see ``output.txt``), or if the folder contains
            another run.
        """
        folder = self.folder / training.row.replace(" ", "_").replace("/", "_") / f"seed{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        where = ["--env", training.env_id, "-f", str(folder)]
        train = [*training.module, "--algo", training.algo, *where, "--seed", str(seed)]
        train += [str(flag) for flag in training.flags]
        if training.entry is not None:
            (folder / "settings.yml").write_text(yaml.safe_dump({training.env_id: training.entry}))
            train += ["-conf", str(folder / "settings.yml")]
        games_seed = seed if self.games_seed is None else self.games_seed
        score = ["sb3_atari_course", "evaluate", "--algo", training.algo, *where]
        score += ["-n", str(self.n_games), "--seed", str(games_seed)]

        path, asked = folder / "result.json", [train, score, training.entry]
        found: dict[str, Any] = {"asked": asked}
        if path.is_file():
            found = json.loads(path.read_text())
        if found["asked"] != asked:
            raise SystemExit(f"{folder} contains another run: choose another --folder")
        if "minutes" not in found:
            start = time.perf_counter()
            self._command(train, folder)
            found["minutes"] = round((time.perf_counter() - start) / 60, 2)
            path.write_text(json.dumps(found))
        if "run" not in found:
            self._command(score, folder)
            scores = folder.glob(f"{training.algo}/{training.env_id}_*/evaluation.json")
            newest = max(scores, key=lambda one: one.stat().st_mtime_ns)
            evaluation = json.loads(newest.read_text())
            agent, _, _ = load_from_zip_file(newest.parent / f"{training.env_id}.zip", device="cpu")
            assert agent is not None
            found |= {"score": evaluation["mean"], "sd": evaluation["std"]}
            found |= {"steps": agent["num_timesteps"], "run": newest.parent.name}
            path.write_text(json.dumps(found))
            print(f"{training.row}, seed {seed}: {found['score']:.1f}", flush=True)
        run = folder / training.algo / found["run"]
        return Result(found["score"], found["sd"], found["steps"], found["minutes"], run)

    def _command(self, arguments: list[str], folder: Path) -> None:
        """Run ``python -m`` in the checkout, with its output in ``output.txt``."""
        core = self._free.get() if self.cores else None
        threads = {} if core is None else {"OMP_NUM_THREADS": "1"}
        with (folder / "output.txt").open("a", encoding="utf-8") as output:
            command = [sys.executable, "-m", *arguments]
            environment = {**os.environ, **threads}
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output
            )
            try:
                if core is not None and hasattr(psutil.Process, "cpu_affinity"):  # not on macOS
                    psutil.Process(process.pid).cpu_affinity([core])
                status = process.wait()
            finally:
                process.kill()
                if core is not None:
                    self._free.put(core)
        if status:
            name = " ".join(arguments[:2])
            raise SystemExit(f"{name} exited with status {status}: see {folder / 'output.txt'}")


def _cores_of_this_process() -> list[int]:
    if hasattr(psutil.Process, "cpu_affinity"):
        return [*psutil.Process().cpu_affinity()]
    return [*range(psutil.cpu_count() or 1)]


Row = dict[str, Any]


def summary(results: Sequence[Result]) -> Row:
    """Return mean and spread of one row: the interval over seeds, or the SD over games of one."""
    scores = [one.score for one in results]
    mean = statistics.fmean(scores)
    row: Row = {"scores": [round(score, 2) for score in scores], "mean": round(mean, 2)}
    if len(scores) > 1:
        half = float(stats.t.ppf(0.975, len(scores) - 1) * stats.sem(scores))
        row |= {"low": round(mean - half, 2), "high": round(mean + half, 2)}
    else:
        row |= {"sd": round(results[0].sd, 2)}
    return row | {
        "steps": [one.steps for one in results],
        "minutes": [one.minutes for one in results],
    }


def summaries(results: dict[str, list[Result]]) -> dict[str, Row]:
    return {name: summary(one) for name, one in results.items()}


def one_hour(size: Size) -> dict[str, Row]:
    """Run the experiment ``one-hour``."""
    steps = load_hyperparams("fast_dqn_laptop")[GAME]["n_timesteps"] * size.minutes / YML_MINUTES
    native = ("--vec-env", "native", "--save-freq", 50_000, *NO_EVALUATION)
    conf = ("-conf", hyperparams_file("fast_dqn_laptop"), "-n", round(steps))
    ours = size.run([Training("ours", "fast_dqn", GAME, (*native, *conf))])
    end = {f"{_module()}.WallClock": {"minutes": ours["ours"][0].minutes}}
    params = ("-params", f"callback:[{end}]", *NO_EVALUATION)
    stock = Training("RL Zoo's own", "dqn", GAME, params, module=("rl_zoo3.train",))
    return summaries(ours | size.run([stock]))


def _module() -> str:
    """Return the import path of this module for training runs, which use the checkout."""
    return f"benchmarks.{Path(__file__).stem}"


def laptop_variants(size: Size) -> dict[str, Row]:
    """Run the experiment ``laptop-variants``; return its rows sorted by score."""
    flags = ("--vec-env", "native", "--checkpoint-freq", 0, *ONE_THREAD, *NO_EVALUATION)
    trainings = []
    for variant in size.names or VARIANTS:
        entry = load_hyperparams("fast_dqn_laptop")[GAME]
        entry = Space("fast_dqn", VARIANTS[variant]).fill({}, entry)
        end = {f"{_module()}.WallClock": {"minutes": size.minutes}}
        entry |= {"n_timesteps": 10**9, "compile": False, "callback": [end]}
        trainings.append(Training(variant, "fast_dqn", GAME, flags, entry))
    rows = summaries(size.run(trainings))
    return dict(sorted(rows.items(), key=lambda item: -item[1]["mean"]))


def learning_curves(size: Size) -> dict[str, Any]:
    """Run the experiment ``learning-curves``."""
    entry = load_hyperparams("dqn_laptop")[GAME]
    n_steps, n_envs = size.steps or 60_000, 8
    n_updates = round(n_envs * entry["gradient_steps"] / entry["train_freq"])
    entry |= {"n_envs": n_envs, "train_freq": 1, "gradient_steps": n_updates}
    native = ("--vec-env", "native", "-n", n_steps, "--checkpoint-freq", 0)
    flags = (*native, *ONE_THREAD, *NO_EVALUATION)
    results = size.run([Training(name, algo, GAME, flags, entry) for name, algo in SIDES.items()])
    rows: dict[str, Any] = summaries(results)
    for name, one in results.items():
        rows[name]["by_tenth"] = [_by_part(result.run, n_steps) for result in one]
    print(f"{'agent steps':>12s}" + "".join(f"{name:>22s}" for name in SIDES))
    for part in range(N_PARTS):
        cells = []
        for name in SIDES:
            values = [tenths[part] for tenths in rows[name]["by_tenth"]]
            low_high = f"({min(values):.1f} to {max(values):.1f})"
            cells.append(f"{statistics.fmean(values):6.1f} {low_high:>15s}")
        print(f"{n_steps * (part + 1) // N_PARTS:12d}" + "".join(cells))
    sb3, fast = (statistics.fmean(one[-1] for one in rows[name]["by_tenth"]) for name in SIDES)
    return rows | {"fast_vs_sb3": round(fast / sb3, 3) if sb3 else math.nan}


def _by_part(run: Path, n_steps: int) -> list[float]:
    """Return the mean score of the games that ended in each part of a run, NaN if none."""
    games = read_run(run).games
    parts = np.minimum(games.steps * N_PARTS // n_steps, N_PARTS - 1)
    ended = [games.values[parts == part] for part in range(N_PARTS)]
    return [round(float(one.mean()), 2) if len(one) else float("nan") for one in ended]


def cartpole_seeds(size: Size) -> dict[str, Row]:
    """Run the experiment ``cartpole-seeds``."""
    trainings = []
    n_steps = size.steps or load_hyperparams("dqn")["CartPole-v1"]["n_timesteps"]
    for name, algo in SIDES.items():
        flags = ("-n", n_steps, "--eval-freq", n_steps // 10, "--eval-episodes", 20, *ONE_THREAD)
        trainings.append(Training(name, algo, "CartPole-v1", flags))
    results = size.run(trainings)
    rows = summaries(results)
    for name, one in results.items():
        returns = [np.load(result.run / "evaluations.npz")["results"] for result in one]
        rows[name]["seeds_at_500"] = sum(500 in each.mean(axis=1) for each in returns)
    return rows


def other_environments(size: Size) -> dict[str, Row]:
    """Run the experiment ``other-environments``."""
    length = () if size.steps is None else ("-n", size.steps)
    chosen = {
        f"{one.env_id} {one.algo}": one
        for one in COMPARISONS
        if not size.names or one.env_id in size.names
    }
    flags = (*ONE_THREAD, *length)
    results = size.run(
        [Training(name, one.algo, one.env_id, flags) for name, one in chosen.items()]
    )
    rows = summaries(results)
    for name, one in chosen.items():
        rows[name] |= compare(rows[name]["scores"], one.mean, one.sd / math.sqrt(one.n_games))
        rows[name]["rl_zoo_agent"] = one.agent
    return rows


def compare(scores: Sequence[float], mean: float, error: float) -> Row:
    """Compare scores with RL Zoo's mean.

    :param scores: one per seed; the standard error of a single one counts as 0.
    :param mean: of RL Zoo.
    :param error: standard error of that mean.
    """
    ours = statistics.fmean(scores)
    our_error = float(stats.sem(scores)) if len(scores) > 1 else 0.0
    near = ours + math.hypot(our_error, error) >= mean
    verdict = "better" if ours >= mean else "within" if near else "below"
    return {
        "standard_error": round(our_error, 2),
        "rl_zoo": mean,
        "rl_zoo_error": round(error, 2),
        "verdict": verdict,
    }


def tuned_yml(size: Size) -> dict[str, Row]:
    """Run the experiment ``tuned-yml``."""
    if not size.names:
        raise SystemExit("tuned-yml needs yml files: the tuned one, then others to compare")
    env_id, entry = next(iter(yaml.safe_load(Path(size.names[0]).read_text()).items()))
    theirs = Path(rl_zoo3.__file__).parent / "hyperparams" / "dqn.yml"
    flags = ("-n", size.steps or entry["n_timesteps"], *ONE_THREAD, *NO_EVALUATION)
    trainings = []
    for name in size.names:
        yml = theirs if name == "rl_zoo3" else Path(name).resolve()
        trainings.append(Training(name, "dqn", env_id, ("-conf", yml, *flags)))
    return summaries(size.run(trainings))


@dataclass(frozen=True)
class Experiment:
    """An experiment and its default size; the fields are those of :class:`Size`."""

    run: Callable[[Size], dict[str, Any]]
    n_seeds: int
    n_games: int
    first_seed: int = 0
    games_seed: int | None = 1000
    minutes: float = 0
    cores: int = 0
    quick_steps: int = 300


EXPERIMENTS = {
    "one-hour": Experiment(one_hour, 1, 30, first_seed=1, minutes=60),
    "laptop-variants": Experiment(
        laptop_variants, 1, 20, first_seed=1, games_seed=7, minutes=7, cores=2
    ),
    "learning-curves": Experiment(learning_curves, 2, 30, games_seed=0, quick_steps=4000),
    "cartpole-seeds": Experiment(cartpole_seeds, 5, 100),
    "other-environments": Experiment(other_environments, 3, 100),
    "tuned-yml": Experiment(tuned_yml, 5, 100, first_seed=1000, games_seed=None),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("names", nargs="*", help="variants, env ids or yml files; default: all")
    parser.add_argument(
        "--folder", type=Path, help="run folders (default: benchmark_runs/EXPERIMENT)"
    )
    parser.add_argument("--seeds", type=int, help="number of seeds per row")
    parser.add_argument("--games", type=int, help="games per evaluation")
    parser.add_argument("--steps", type=int, help="agent steps of runs without time limit")
    parser.add_argument("--minutes", type=float, help="time limit of the other runs")
    parser.add_argument("--cores", type=int, help="number of parallel runs, one core each")
    parser.add_argument("--quick", action="store_true", help="smoke test: meaningless figures")
    args = parser.parse_args()
    for name in ("seeds", "games", "steps", "minutes", "cores"):
        value = getattr(args, name)
        if value is not None and value <= 0:
            parser.error(f"--{name} must be above 0, got {value:g}")
    known = {
        "laptop-variants": list(VARIANTS),
        "other-environments": [one.env_id for one in COMPARISONS],
    }
    for name in args.names:
        if name not in known.get(args.experiment, {name}):
            parser.error(f"{args.experiment} has no {name!r}: {', '.join(known[args.experiment])}")

    usual = EXPERIMENTS[args.experiment]
    quick = {"n_seeds": 1, "n_games": 1, "steps": usual.quick_steps, "minutes": 0.02}
    default = {**vars(usual), "steps": None, **(quick if args.quick else {})}
    first = usual.first_seed
    size = Size(
        args.names,
        (args.folder or Path("benchmark_runs") / args.experiment).resolve(),
        seeds=range(first, first + (args.seeds or default["n_seeds"])),
        n_games=args.games or default["n_games"],
        games_seed=usual.games_seed,
        steps=args.steps or default["steps"],
        minutes=args.minutes or default["minutes"],
        cores=args.cores or usual.cores,
    )
    rows = usual.run(size)
    print(f"\n{args.experiment}: {size.n_games} full games, {len(size.seeds)} seed(s) each")
    for name, row in rows.items():
        if isinstance(row, dict):
            print(_line(name, row))
    print(json.dumps(rows))


def _line(name: str, row: Row) -> str:
    """Return a line of the table: mean, spread, steps, minutes, extra columns, single scores."""
    is_one = "sd" in row
    spread = f"+- {row['sd']:.2f}" if is_one else f"[{row['low']:.1f}, {row['high']:.1f}]"
    shown = " ".join(f"{score:.1f}" for score in row["scores"])
    more = f"{row['steps'][-1]:>9,} steps, {max(row['minutes']):.1f} minutes"
    if "verdict" in row:
        more += f", RL Zoo's {row['rl_zoo_agent']}: {row['rl_zoo']:.1f} +-"
        more += f" {row['rl_zoo_error']:.1f}: {row['verdict']}"
    if "seeds_at_500" in row:
        more += f", {row['seeds_at_500']} reached 500"
    return f"{name:<34} {row['mean']:8.2f} {spread:<18} {more}   ({shown})"


if __name__ == "__main__":
    main()
