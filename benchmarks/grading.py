"""Checks of exercises: seconds for one, for an endless loop, and for the submissions of a class.

Run:  python benchmarks/grading.py [--students 30]

``alone``: the command ``check EXERCISE FILE`` on a lesson's solution, from start to end, Python's
imports included. ``endless``: the same for a solution whose ``reset`` never returns. ``class``: the
command ``check --all`` on a folder in which each student handed in all lessons with exercises.
CPU seconds of a check are at most its share of the time that all cores had. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sb3_atari_course.course.exercises import EXERCISES
from sb3_atari_course.course.notebooks import solved

EXAMPLES = Path(__file__).parents[1] / "examples"


def timed_check(*arguments: object) -> tuple[float, str]:
    """Return the seconds that ``check`` takes, and the last line that it prints."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "sb3_atari_course", "check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return time.perf_counter() - began, (done.stdout or done.stderr).splitlines()[-1]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="Seconds of checks")
    parser.add_argument("--students", type=int, default=30, help="in the class (default 30)")
    args = parser.parse_args()
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for lesson in dict.fromkeys(EXERCISES.values()):
            text = (EXAMPLES / f"{lesson}.py").read_text(encoding="utf-8")
            (folder / f"{lesson}.py").write_text(solved(text), encoding="utf-8")
        for exercise, lesson in EXERCISES.items():
            seconds, end = timed_check(exercise, folder / f"{lesson}.py")
            print(f"alone    {exercise:18} {seconds:6.1f} s  {end}", flush=True)
            results[exercise] = seconds
        endless = folder / "endless.py"
        text = (folder / "lesson7_another_world.py").read_text(encoding="utf-8")
        loop = "super().reset(seed=seed)\n        while True:\n            pass\n"
        endless.write_text(text.replace("super().reset(seed=seed)\n", loop), encoding="utf-8")
        results["endless"], end = timed_check("own_env", endless)
        print(f"endless  {'own_env':18} {results['endless']:6.1f} s  {end}", flush=True)
        endless.unlink()
        for number in range(args.students):
            shutil.copytree(folder, folder / "class" / f"student{number}", ignore=_not_lessons)
        results["class"], end = timed_check("--all", folder / "class")
    n_checks, n_cores = args.students * len(EXERCISES), os.cpu_count() or 1
    results["cpu_seconds_per_check"] = results["class"] * n_cores / n_checks
    print(
        f"class    {n_checks} checks: {results['class']:.0f} s on {n_cores} cores, at most"
        f" {results['cpu_seconds_per_check']:.2f} CPU seconds a check; {end}"
    )
    print(json.dumps({key: round(value, 2) for key, value in results.items()}))


def _not_lessons(_: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith("lesson")]


if __name__ == "__main__":
    main()
