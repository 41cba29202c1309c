"""Breakout by variants of hyperparams/fast_dqn_laptop.yml, each for the same time on one core.

Run:  python benchmarks/laptop_variants.py [VARIANT ...] [--minutes 7] [--cores 2]  (50 minutes)

A variant is the yml with one thing changed. As many train side by side as there are cores, each
with one core and one torch thread; schedules end with the time, see ``wall_clock.py``; the loss is
not compiled, which would take a tenth of so short a time. The last agent plays 20 whole games.
Stopped, the same command goes on with what was not scored in the folder yet. The last line is JSON:
name -> mean score, SD, and the agent steps that fit into the time.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python benchmarks/laptop_variants.py`
from benchmarks.one_hour import (
    GAME,
    ROOT,
    read_result,
    read_score,
    tell_failure,
    write_result,
)
from sb3_atari_course.hyperparams import load_hyperparams
from sb3_atari_course.tuning.space import Space

#: Of the games of the score: neither a published score's nor a selection's.
GAMES_SEED = 7
N_GAMES = 20

#: Name -> what differs from the yml: parameters of ``tune``, or keys of the yml.
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


def settings_of(variant: str, minutes: float) -> dict[str, Any]:
    """Return the hyperparameters of a variant, for RL Zoo."""
    settings = load_hyperparams("fast_dqn_laptop")[GAME]
    settings = Space("fast_dqn", VARIANTS[variant]).fill({}, settings)
    end = {"benchmarks.wall_clock.WallClock": {"minutes": minutes}}
    return {**settings, "n_timesteps": 10**9, "compile": False, "callback": [end]}


def train_and_score(variant: str, folder: Path, *, minutes: float, core: int) -> dict[str, Any]:
    """Train a variant on one core, unless it was scored in the folder; return its result."""
    asked = [variant, f"{minutes:g} minutes"]
    known = read_result(folder, asked)
    if known:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    conf = folder / "variant.yml"
    conf.write_text(yaml.safe_dump({GAME: settings_of(variant, minutes)}), encoding="utf-8")
    run = ["--algo", "fast_dqn", "--env", GAME, "-f", str(folder)]
    train = ["train", *run, "-conf", str(conf), "--vec-env", "native", "--seed", "1"]
    train += ["--eval-freq", "-1", "--checkpoint-freq", "0", "--num-threads", "1"]
    on_one_core(train, core, folder)
    score = ["evaluate", *run, "-n", str(N_GAMES), "--seed", str(GAMES_SEED)]
    on_one_core(score, core, folder)
    found = {"minutes": minutes, **read_score(folder)}
    write_result(folder, asked, found)
    return found


def on_one_core(words: Sequence[str], core: int, folder: Path) -> None:
    """Run one command of ours with one thread, on one core where the system can tell processes."""
    with (folder / "output.txt").open("a", encoding="utf-8") as output:
        command = [sys.executable, "-m", "sb3_atari_course", *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=environment)
        try:
            if hasattr(psutil.Process, "cpu_affinity"):  # not on macOS
                psutil.Process(process.pid).cpu_affinity([core])
            status = process.wait()
        finally:
            process.kill()
    tell_failure(words, status, folder)


def cores_of_this_process(n_cores: int) -> list[int]:
    """Return as many cores as are wanted, of those that this process may use."""
    known = hasattr(psutil.Process, "cpu_affinity")
    cores = psutil.Process().cpu_affinity() if known else range(psutil.cpu_count() or 1)
    return [*cores][:n_cores]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=f"of {[*VARIANTS]}")
    parser.add_argument("--minutes", type=float, default=7, help="of each training (7)")
    parser.add_argument("--cores", type=int, default=2, help="trainings at once (2)")
    parser.add_argument("--folder", default="laptop_variants", help="log folder")
    args = parser.parse_args()
    unknown = sorted(set(args.variants) - set(VARIANTS))
    if unknown:
        parser.error(f"no variant {unknown}: choose among {[*VARIANTS]}")
    if args.minutes <= 0 or args.cores < 1:
        parser.error(
            f"--minutes must be above 0 and --cores at least 1, got {args.minutes:g}, {args.cores}"
        )
    names = args.variants or [*VARIANTS]
    cores: queue.SimpleQueue[int] = queue.SimpleQueue()
    for core in cores_of_this_process(args.cores):
        cores.put(core)

    def work(name: str) -> dict[str, Any]:
        core = cores.get()
        try:
            folder = Path(args.folder).resolve() / name.replace(" ", "_")
            return train_and_score(name, folder, minutes=args.minutes, core=core)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(args.cores) as pool:
        results = dict(zip(names, pool.map(work, names), strict=True))
    print(f"{GAME}, {args.minutes:g} minutes on one core each, {N_GAMES} whole games")
    for name, one in sorted(results.items(), key=lambda item: -item[1]["score"]):
        print(f"{name:34s} {one['score']:6.2f} +- {one['sd']:5.2f}  {one['steps']:>8,} steps")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
