"""Helpers: small suites of Taxi and CartPole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sb3_atari_course.cli import train
from sb3_atari_course.suite.run_job import RunJob
from sb3_atari_course.suite.suite_file import EvaluationSettings, RunSettings, SuiteSettings
from sb3_atari_course.suite.suite_folder import SuiteFolder

TABLE = {"policy": "QTablePolicy", "learning_rate": 0.5, "gamma": 0.9, "exploration": 0.5}


def taxi(seed: int = 1, n_timesteps: int = 400, **changes: Any) -> RunSettings:
    """Return a run of Q-learning on Taxi with one environment."""
    return RunSettings("q_learning", "Taxi-v4", seed, n_timesteps, {**TABLE, **changes})


def suite(*runs: RunSettings, n_games: int = 2) -> SuiteSettings:
    """Return a suite that scores its agents by a few games."""
    return SuiteSettings(runs or (taxi(),), EvaluationSettings(n_games=n_games))


def job(folder: Path, run: RunSettings | None = None, **changes: Any) -> RunJob:
    """Add a run to the suite in a folder, and return its job."""
    run = run or taxi()
    settings = SuiteFolder(folder).add(suite(run))
    made = RunJob(
        folder=SuiteFolder(folder),
        settings=run,
        suite=settings,
        train=train.main,
        n_threads=1,
        device="cpu",
        checkpoint_freq=100,
    )
    return replace(made, **changes)


def events(run: Path) -> list[tuple[str, int]]:
    """Return the events of a checkpoint log, with their agent steps."""
    lines = (run / "checkpoints" / "log.jsonl").read_text().splitlines()
    return [(one["event"], one["step"]) for one in map(json.loads, lines)]


def contents(folder: Path, names: Sequence[str] = ("*",)) -> dict[Path, bytes]:
    """Return the contents of the files that match one of the names."""
    paths = (path for name in names for path in folder.rglob(name) if path.is_file())
    return {path: path.read_bytes() for path in paths}
