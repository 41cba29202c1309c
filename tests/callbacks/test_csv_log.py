"""SB3's log as a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

from stable_baselines3 import DQN

from sb3_atari_course import QLearning
from sb3_atari_course.callbacks import CsvLog


def test_what_sb3_logs_is_in_the_file_and_a_second_learn_goes_on(tmp_path: Path) -> None:
    model = DQN("MlpPolicy", "CartPole-v1", learning_starts=50, seed=0)
    callback = CsvLog(tmp_path / "new")
    model.learn(300, callback=callback, log_interval=1)
    n_rows = len(callback.path.read_text().splitlines())
    assert callback.path.read_text().splitlines()[-1].split(",").count("300") == 1  # at the end
    model.learn(300, callback=callback, log_interval=1, reset_num_timesteps=False)
    with open(tmp_path / "new/progress.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > n_rows > 5
    episodes = [int(row["time/episodes"]) for row in rows]
    assert sorted(set(episodes)) == list(range(1, max(episodes) + 1))
    assert episodes == sorted(episodes)
    assert int(rows[-1]["time/total_timesteps"]) == 600
    assert float(rows[-1]["train/loss"]) > 0
    assert float(rows[-1]["rollout/exploration_rate"]) == 0.05
    model.logger.close()


def test_a_table_is_logged_at_the_end_too(tmp_path: Path) -> None:
    model = QLearning("QTablePolicy", "Taxi-v4", seed=0)
    callback = CsvLog(tmp_path)
    model.learn(450, callback=callback, log_interval=1)
    with open(callback.path) as file:
        rows = list(csv.DictReader(file))
    assert [int(row["time/total_timesteps"]) for row in rows] == [200, 400, 450]
    assert float(rows[-1]["train/td_error"]) > 0
    model.logger.close()
