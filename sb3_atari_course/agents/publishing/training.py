"""How an agent was trained: command, settings, commit, versions, hardware, time, steps, games."""

from __future__ import annotations

import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sb3_atari_course.agents.publishing.settings import plain, shown_command
from sb3_atari_course.report.run_data import RunCurves, read_progress
from sb3_atari_course.zoo.provenance import PROVENANCE, find_provenance

#: Name in SB3's ``system_info.txt`` -> ours.
_SAID_BY_SB3 = {
    "Python": "python",
    "Stable-Baselines3": "stable-baselines3",
    "PyTorch": "torch",
    "Numpy": "numpy",
    "Gymnasium": "gymnasium",
}


def describe_training(curves: RunCurves, model: Path) -> dict[str, Any]:
    """Return plain data that tells how a run was trained.

    Commit, versions and hardware are those that our ``train`` has noted. Of another training they
    are those of now, but for the versions that SB3 wrote into its zip, and ``noted`` says so.

    :param model: a zip of the run, as SB3 has saved it.
    :raises ValueError: for a log or a note that cannot be read.
    """
    facts = curves.facts
    noted = read_provenance(facts.folder)
    if noted is None:
        noted = find_provenance()
        noted["versions"] |= saved_versions(model)
        when = "when it was published"
    else:
        when = "when the training began"
    return {
        "command": shown_command(facts.command),
        "algorithm": facts.algo,
        "hyperparams": plain(facts.hyperparams),
        "seed": facts.seed,
        **noted,
        "noted": f"commit, versions and hardware: {when}",
        "minutes": wall_clock(facts.folder, curves.n_steps),
        "steps": curves.n_steps,
        "games": len(curves.games.steps),
    }


def read_provenance(run: Path) -> dict[str, Any] | None:
    """Return what ``train`` has noted in a run folder, None if it has not.

    :raises ValueError: for a note that cannot be read.
    """
    for path in run.glob(f"*/{PROVENANCE}"):
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
            return {name: noted[name] for name in ("commit", "versions", "hardware")}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} cannot be read: {error!r}; remove it") from error
    return None


def saved_versions(model: Path) -> dict[str, str]:
    """Return the versions that SB3 has written into a zip when it saved it."""
    with zipfile.ZipFile(model) as file:
        if "system_info.txt" not in file.namelist():  # of an old SB3
            return {}
        text = file.read("system_info.txt").decode("utf-8", "replace")
    said = dict(re.findall(r"^- ([\w-]+): (\S+)\s*$", text, flags=re.MULTILINE))
    return {name: said[key] for key, name in _SAID_BY_SB3.items() if key in said}


def wall_clock(run: Path, n_steps: int) -> float | None:
    """Return after how many minutes a training had played so many steps, None if nobody knows.

    :param run: whose log of SB3 tells; between its lines time goes evenly.
    :raises ValueError: for a log that cannot be read.
    """
    progress = read_progress(run / "progress.csv")
    if progress is None or "time/time_elapsed" not in progress:
        return None
    times = progress[["time/total_timesteps", "time/time_elapsed"]].dropna()
    if times.empty:
        return None
    steps, seconds = (np.concatenate([[0.0], times[column]]) for column in times)
    minutes = float(np.interp(n_steps, steps, seconds)) / 60
    return round(minutes, 1) if math.isfinite(minutes) else None
