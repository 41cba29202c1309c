"""Where an agent comes from: command, commit, versions, hardware, wall-clock, steps and games."""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch as th

import sb3_atari_course
from sb3_atari_course.agents.publishing.settings import plain, shown_command
from sb3_atari_course.plots.run_data import RunCurves, read_progress

#: Name in SB3's ``system_info.txt`` -> ours.
_SAID_BY_SB3 = {
    "Python": "python",
    "Stable-Baselines3": "stable-baselines3",
    "PyTorch": "torch",
    "Numpy": "numpy",
    "Gymnasium": "gymnasium",
}
_PACKAGES = ("stable-baselines3", "sb3-contrib", "rl-zoo3", "gymnasium", "ale-py", "torch", "numpy")


def describe_training(curves: RunCurves, model: Path) -> dict[str, Any]:
    """Return plain data that tells how a run was trained.

    Commit, hardware, and the versions that SB3 did not write into its zip are those of now:
    publish a run where it was trained, with what has trained it.

    :param model: a zip of the run, as SB3 has saved it.
    """
    facts = curves.facts
    return {
        "command": shown_command(facts.command),
        "algorithm": facts.algo,
        "hyperparams": plain(facts.hyperparams),
        "seed": facts.seed,
        "commit": find_commit(Path(sb3_atari_course.__file__).parent),
        "versions": {**find_versions(), **saved_versions(model)},
        "hardware": describe_machine(),
        "minutes": wall_clock(facts.folder),
        "steps": curves.n_steps,
        "games": len(curves.games.steps),
    }


def find_commit(folder: Path) -> str | None:
    """Return the commit that is checked out in a folder, ``-dirty`` if files were changed.

    :return: None where there is no Git or no checkout.
    """
    describe = ["describe", "--always", "--abbrev=40", "--dirty", "--exclude", "*"]
    try:
        _git(folder, "ls-files", "--error-unmatch", ".")  # not installed inside somebody's checkout
        return _git(folder, *describe)
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *words: str) -> str:
    command = ["git", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def find_versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of those that it stands on."""
    found = {
        "python": platform.python_version(),
        "sb3_atari_course": sb3_atari_course.__version__,
    }
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # vendored, or run from a bare source tree
            found[name] = "unknown"
    return found


def saved_versions(model: Path) -> dict[str, str]:
    """Return the versions that SB3 has written into a zip when it saved it."""
    with zipfile.ZipFile(model) as file:
        if "system_info.txt" not in file.namelist():  # of an old SB3
            return {}
        text = file.read("system_info.txt").decode("utf-8", "replace")
    said = dict(re.findall(r"^- ([\w-]+): (\S+)\s*$", text, flags=re.MULTILINE))
    return {name: said[key] for key, name in _SAID_BY_SB3.items() if key in said}


def describe_machine() -> str:
    """Return processor, cores, memory and card in a few words."""
    card = f", {th.cuda.get_device_name()}" if th.cuda.is_available() else ", no card"
    memory = round(psutil.virtual_memory().total / 2**30)
    return f"{_processor()}, {os.cpu_count()} cores, {memory} GB{card}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # no Linux
        return platform.processor() or platform.machine()
    names = re.findall(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return names[0] if names else platform.machine()


def wall_clock(run: Path) -> float | None:
    """Return the minutes that a training took by SB3's log, None if that does not tell.

    :raises ValueError: for a log that cannot be read.
    """
    progress = read_progress(run / "progress.csv")
    if progress is None or "time/time_elapsed" not in progress:
        return None
    seconds = float(progress["time/time_elapsed"].max())
    return round(seconds / 60, 1) if math.isfinite(seconds) else None
