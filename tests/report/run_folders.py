"""Run folders as RL Zoo writes them, with known numbers."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure

#: Evaluation of two games and random play, as the ``evaluate`` command writes it.
EVALUATION: dict[str, Any] = {
    "model": "CartPole-v1.zip",
    "mean": 150.0,
    "std": 50.0,
    "random_mean": 20.0,
    "env_id": "CartPole-v1",
    "scores": [100.0, 200.0],
    "lengths": [100, 200],
    "random_scores": [10.0, 30.0],
    "penalties": [],
    "protocol": {"n_games": 2, "seed": 7, "epsilon": 0.0, "max_steps": 108000},
}

PROGRESS = "time/total_timesteps,train/loss,rollout/exploration_rate\n"


def make_run(
    folder: Path,
    scores: Sequence[float] = (1.0, 2.0, 3.0),
    *,
    length: int = 100,
    algo: str = "dqn",
    env_id: str = "CartPole-v1",
    seed: int = 0,
    config: dict[str, Any] | None = None,
    progress: str | None = None,
    evaluation: dict[str, Any] | None = None,
) -> Path:
    """Write a run folder with games of one length (as Monitor counts it); return it."""
    settings = folder / env_id.replace("/", "-")  # as RL Zoo names it
    settings.mkdir(parents=True)
    write_games(folder, scores, length=length)
    arguments = {"algo": algo, "env": env_id, "n_timesteps": -1, "seed": seed}
    (settings / "args.yml").write_text(yaml.dump(OrderedDict(arguments)))
    config = {"gamma": 0.9, "n_timesteps": 5000} if config is None else config
    (settings / "config.yml").write_text(yaml.dump(OrderedDict(config)))
    (settings / "command.txt").write_text(f"python -m rl_zoo3.train --algo {algo} --seed {seed}")
    if progress is not None:
        (folder / "progress.csv").write_text(PROGRESS + progress)
    if evaluation is not None:
        (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return folder


def write_games(folder: Path, scores: Sequence[float], *, length: int = 100) -> Path:
    """Write a monitor file and nothing else; return the folder."""
    games = "".join(f"{score},{length},{n}.5\n" for n, score in enumerate(scores))
    (folder / "0.monitor.csv").write_text(f'#{{"t_start": 0.0, "env_id": "x"}}\nr,l,t\n{games}')
    return folder


def lines(figure: Figure) -> list[dict[str, tuple[list[float], list[float]]]]:
    """Return label -> (x, y) of the curves in each panel; unlabelled ones as ''."""
    return [
        {
            "" if str(line.get_label()).startswith("_") else str(line.get_label()): (
                np.asarray(line.get_xdata()).tolist(),
                np.asarray(line.get_ydata()).tolist(),
            )
            for line in axes.get_lines()
        }
        for axes in figure.axes
    ]
