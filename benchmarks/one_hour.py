"""Breakout in an hour: RL Zoo's own DQN and ours, the same wall-clock on the same machine.

Run:  python benchmarks/one_hour.py [--minutes 60] [--folder one_hour] [--seed 1]      (two hours)

Ours is ``python -m sb3_atari_course train --algo fast_dqn`` by hyperparams/fast_dqn_laptop.yml,
whose steps are an hour's on 2 cores of an AMD EPYC; other minutes get their share of them. RL Zoo's
is its own ``rl_zoo3.train --algo dqn`` by its own yml with all cores, for as many minutes as ours
took, start and compiler included. Its epsilon follows the share of that time, see
``wall_clock.py``; its warm-up of 100,000 steps and its constant learning rate stay. Neither is
evaluated on the way.

Both last agents play the same 30 whole games. Stopped, the same command goes on with what was not
trained or scored yet. The last line is JSON: ``ours`` and ``stock``, mean scores, the ``minutes``
that each had, the ``steps`` that each played in them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stable_baselines3.common.save_util import load_from_zip_file

from sb3_atari_course.hyperparams import hyperparams_file, load_hyperparams

ROOT = Path(__file__).parents[1]
GAME = "BreakoutNoFrameskip-v4"
#: Of the games of the score, for both; the agents were never chosen on them.
GAMES_SEED = 1000
N_GAMES = 30
#: Minutes for which the steps of our yml are made.
YML_MINUTES = 60


def ours(folder: Path, *, minutes: float, seed: int) -> dict[str, Any]:
    """Train ours, unless it was scored in the folder; return its result."""
    steps = load_hyperparams("fast_dqn_laptop")[GAME]["n_timesteps"] * minutes / YML_MINUTES
    words = ["sb3_atari_course", "train", "--algo", "fast_dqn", "--vec-env", "native"]
    words += ["-conf", str(hyperparams_file("fast_dqn_laptop")), "-n", str(round(steps))]
    words += ["--save-freq", "50000"]
    return train_and_score("fast_dqn", words, folder / "ours", seed=seed)


def stock(folder: Path, *, minutes: float, seed: int) -> dict[str, Any]:
    """Train RL Zoo's, unless it was scored in the folder; return its result."""
    end = f"callback:[{{'benchmarks.wall_clock.WallClock': {{'minutes': {minutes}}}}}]"
    words = ["rl_zoo3.train", "--algo", "dqn", "-params", end]
    return train_and_score("dqn", words, folder / "stock", seed=seed)


def train_and_score(algo: str, words: list[str], folder: Path, *, seed: int) -> dict[str, Any]:
    """Run a training and the evaluation of its last agent.

    :param algo: by which its run is found.
    :param words: what is run by ``python -m``.
    :param folder: of logs, output and result; a result that is there is returned.
    :return: score, its SD, minutes, steps.
    :raises SystemExit: if a command fails; ``output.txt`` says why.
    """
    words = [*words, "--seed", str(seed), "--eval-freq", "-1"]
    which = ["--env", GAME, "-f", str(folder)]
    found = read_result(folder, words)
    if "minutes" not in found:
        began = time.perf_counter()
        run_module([*words, *which], folder)
        found["minutes"] = round((time.perf_counter() - began) / 60, 1)
        write_result(folder, words, found)
    if "score" not in found:
        score = ["sb3_atari_course", "evaluate", "--algo", algo, *which]
        run_module([*score, "-n", str(N_GAMES), "--seed", str(GAMES_SEED)], folder)
        found |= read_score(folder)
        write_result(folder, words, found)
    return found


def read_result(folder: Path, words: list[str]) -> dict[str, Any]:
    """Return what is known of a training in a folder, {} if nothing is.

    :param words: what was asked for.
    :raises SystemExit: if something else was asked for then.
    """
    path = folder / "result.json"
    if not path.is_file():
        return {}
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if result.pop("words") != words:
        raise SystemExit(
            f"{folder} holds another training (seed, minutes): choose another --folder"
        )
    return result


def write_result(folder: Path, words: list[str], found: dict[str, Any]) -> None:
    """Keep what is known of a training."""
    text = json.dumps({**found, "words": words})
    (folder / "result.json").write_text(text + "\n", encoding="utf-8")


def read_score(folder: Path) -> dict[str, Any]:
    """Return score, its SD and steps of the training that was scored last in a folder."""
    evaluations = folder.glob(f"*/{GAME}_*/evaluation.json")
    evaluation = max(evaluations, key=lambda path: path.stat().st_mtime_ns)
    content = json.loads(evaluation.read_text(encoding="utf-8"))
    settings, _, _ = load_from_zip_file(evaluation.parent / f"{GAME}.zip", device="cpu")
    assert settings is not None
    return {
        "score": round(content["mean"], 2),
        "sd": round(content["std"], 2),
        "steps": settings["num_timesteps"],
    }


def run_module(words: list[str], folder: Path) -> None:
    """Run ``python -m`` in the checkout; what it prints goes to ``output.txt`` in the folder.

    :raises SystemExit: if it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.txt").open("a", encoding="utf-8") as output:
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=output)
    tell_failure(words, done.returncode, folder)


def tell_failure(words: Sequence[str], status: int, folder: Path) -> None:
    """End with one line if a command has failed."""
    if status:
        said = folder / "output.txt"
        raise SystemExit(f"{' '.join(words[:2])} ended with status {status}: {said} says why")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60, help="of each training (60)")
    parser.add_argument("--folder", default="one_hour", help="log folder (default one_hour)")
    parser.add_argument("--seed", type=int, default=1, help="of both trainings (default 1)")
    args = parser.parse_args()
    if args.minutes <= 0:
        parser.error(f"--minutes must be above 0, got {args.minutes:g}")
    folder = Path(args.folder).resolve()
    mine = ours(folder, minutes=args.minutes, seed=args.seed)
    theirs = stock(folder, minutes=mine["minutes"], seed=args.seed)
    print(f"{GAME}, mean +- SD of {N_GAMES} whole games, seed {args.seed}")
    for name, one in (("ours", mine), ("RL Zoo's own", theirs)):
        print(
            f"{name:13s} {one['score']:7.2f} +- {one['sd']:6.2f}"
            f"   {one['steps']:>9,} steps in {one['minutes']:.1f} minutes"
        )
    result = {key: {"ours": mine[key], "stock": theirs[key]} for key in ("minutes", "steps")}
    print(json.dumps({"ours": mine["score"], "stock": theirs["score"], **result}))


if __name__ == "__main__":
    main()
