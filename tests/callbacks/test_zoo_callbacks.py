"""The callbacks in a yml file of stock RL Zoo."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from tests.zoo.runs import python_m

YML = """
CartPole-v1:
  policy: MlpPolicy
  n_timesteps: 1000
  learning_starts: 100
  callback:
    - sb3_atari_course.callbacks.EpisodeTable: {path: games.csv, every: 2}
    - sb3_atari_course.callbacks.StopOnMovingAverage: {threshold: 5, window: 4}
"""


@pytest.mark.process
def test_rl_zoo_runs_callbacks_named_in_a_yml_file(tmp_path: Path) -> None:
    (tmp_path / "conf.yml").write_text(YML)
    printed = python_m(
        *("rl_zoo3.train", "--algo", "dqn", "--env", "CartPole-v1", "-conf", "conf.yml"),
        *("-f", "logs", "--seed", "1", "--eval-episodes", "1", "--num-threads", "1"),
        cwd=tmp_path,
    )
    with open(tmp_path / "games.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    steps = int(rows[-1]["steps"])
    assert sum(int(row["game_steps"]) for row in rows) == steps
    mean = sum(float(row["score"]) for row in rows) / 4
    assert f"after 4 games and {steps} steps: mean score of the last 4 games {mean:g}" in printed
    assert re.findall(r"^ +(\d) +\d+ +\d+ +[01]\.\d{4} ", printed, re.MULTILINE) == ["2", "4"]
