"""Where an agent comes from: command, commit, versions, hardware, wall-clock, steps and games."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch as th

import sb3_atari_course
from sb3_atari_course.agents.publishing.settings import plain, shown_command
from sb3_atari_course.plots.run_data import RunCurves, read_progress

_PACKAGES = ("stable-baselines3", "sb3-contrib", "rl-zoo3", "gymnasium", "ale-py", "torch", "numpy")


def describe_training(curves: RunCurves) -> dict[str, Any]:
    """Return plain data that tells how a run was trained.

    Commit and versions are those of now: publish a run with what has trained it.
    """
    facts = curves.facts
    return {
        "command": shown_command(facts.command),
        "algorithm": facts.algo,
        "hyperparams": plain(facts.hyperparams),
        "seed": facts.seed,
        "commit": find_commit(Path(sb3_atari_course.__file__).parent),
        "versions": find_versions(),
        "hardware": describe_machine(),
        "minutes": wall_clock(facts.folder),
        "steps": curves.n_steps,
        "games": len(curves.games.steps),
    }


def find_commit(folder: Path) -> str | None:
    """Return the commit that is checked out in a folder, ``-dirty`` if files were changed.

    :return: None where there is no Git or no checkout.
    """
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
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
    """Return the minutes that a training took by SB3's log, None without one."""
    progress = read_progress(run / "progress.csv")
    if progress is None:
        return None
    return round(float(progress["time/time_elapsed"].max()) / 60, 1)
