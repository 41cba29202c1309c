"""SB3's log as a CSV file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    ConvertCallback,
    EvalCallback,
)
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_atari_course import QLearning
from sb3_atari_course.callbacks import CsvLog, LogTable, find_run_folder
from tests.callbacks.trainings import PaidGames, player


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "progress.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_what_sb3_logs_is_in_the_file_and_a_second_learn_goes_on(tmp_path: Path) -> None:
    model = DQN("MlpPolicy", "CartPole-v1", learning_starts=50, seed=0)
    callback = CsvLog(tmp_path / "new")
    model.learn(300, callback=callback, log_interval=1)
    n_rows = len(callback.path.read_text().splitlines())
    assert callback.path.read_text().splitlines()[-1].split(",").count("300") == 1  # at the end
    model.learn(300, callback=callback, log_interval=1, reset_num_timesteps=False)
    rows = rows_of(tmp_path / "new")
    assert len(rows) > n_rows > 5
    episodes = [int(row["time/episodes"]) for row in rows]
    assert sorted(set(episodes)) == list(range(1, max(episodes) + 1))
    assert episodes == sorted(episodes)
    assert int(rows[-1]["time/total_timesteps"]) == 600
    assert float(rows[-1]["train/loss"]) > 0
    assert float(rows[-1]["rollout/exploration_rate"]) == 0.05
    model.logger.close()


def test_a_learn_that_counts_anew_has_its_last_row_too(tmp_path: Path) -> None:
    model = QLearning("QTablePolicy", "Taxi-v4", seed=0)
    callback = CsvLog(tmp_path)
    model.learn(450, callback=callback, log_interval=1)
    model.learn(250, callback=callback, log_interval=1)
    model.learn(250, callback=callback, log_interval=1)
    rows = rows_of(tmp_path)
    steps = [int(row["time/total_timesteps"]) for row in rows]
    assert steps == [200, 400, 450, 200, 250, 200, 250]
    assert float(rows[2]["train/td_error"]) > 0
    model.logger.close()


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_an_on_policy_algorithm_logs_its_last_update(algorithm: Any, tmp_path: Path) -> None:
    """SB3 prints its table before each update, every ``log_interval`` of them."""
    settings: dict[str, Any] = {"batch_size": 32} if algorithm is PPO else {}
    model = algorithm("MlpPolicy", "CartPole-v1", n_steps=32, seed=0, device="cpu", **settings)
    callback = CsvLog(tmp_path)
    model.learn(96, callback=callback, log_interval=2)
    model.learn(32, callback=callback, log_interval=2)  # an update, and no table of SB3's
    rows = rows_of(tmp_path)
    assert [int(row["time/total_timesteps"]) for row in rows] == [64, 96, 32]
    n_epochs = 10 if algorithm is PPO else 1
    assert [int(row["train/n_updates"]) for row in rows] == [n_epochs * n for n in (1, 3, 4)]
    model.logger.close()


def test_a_training_that_a_callback_ends_at_once_has_one_row(tmp_path: Path) -> None:
    model = player(PaidGames([1.0]))
    model.learn(20, callback=[CsvLog(tmp_path), ConvertCallback(lambda *_: False)])
    assert [row["time/total_timesteps"] for row in rows_of(tmp_path)] == ["1"]
    model.logger.close()


def test_an_algorithm_that_logs_nothing_is_left_alone(tmp_path: Path) -> None:
    class Silent(DQN):
        def dump_logs(self) -> None:
            raise NotImplementedError  # SB3's default

    model = Silent("MlpPolicy", "CartPole-v1", buffer_size=100, learning_starts=100)
    model.learn(5, callback=CsvLog(tmp_path))
    assert rows_of(tmp_path) == []
    model.logger.close()


@pytest.mark.parametrize("n_ours", [1, 2])
def test_a_file_that_sb3_writes_has_each_row_once_under_its_own_columns(
    n_ours: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = DQN("MlpPolicy", "CartPole-v1", learning_starts=50, seed=0)
    model.set_logger(configure(str(tmp_path), ["csv", "json"]))
    callback: Any = [CsvLog(Path()) for _ in range(n_ours)]  # the same folder by another name
    model.learn(150, callback=callback, log_interval=1)
    model.learn(150, callback=callback, log_interval=1, reset_num_timesteps=False)
    model.logger.close()
    check_against_json(tmp_path)


def test_what_sb3_wrote_is_kept_where_its_logger_is_replaced(tmp_path: Path) -> None:
    model = QLearning("QTablePolicy", "Taxi-v4", seed=0)
    callback = CsvLog(tmp_path)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(250, callback=callback, log_interval=1)
    model.logger.close()
    model.set_logger(configure(str(tmp_path), ["json"]))
    model.learn(200, callback=callback, log_interval=1, reset_num_timesteps=False)
    model.logger.close()
    steps = [int(row["time/total_timesteps"]) for row in rows_of(tmp_path)]
    assert steps == [200, 250, 400, 450]


def test_a_file_that_another_training_has_begun_is_continued_under_its_columns(
    tmp_path: Path,
) -> None:
    model = QLearning("QTablePolicy", "Taxi-v4", seed=0)
    callback = CsvLog(tmp_path)
    model.learn(250, callback=callback, log_interval=1)
    other = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, seed=0, device="cpu")
    other.learn(32, callback=CsvLog(tmp_path))
    model.learn(200, callback=callback, log_interval=1, reset_num_timesteps=False)
    rows = rows_of(tmp_path)
    assert [row["time/total_timesteps"] for row in rows] == ["32", "32", "400", "450"]
    assert [row["train/clip_range"] for row in rows] == ["", "0.2", "", ""]
    assert float(rows[-1]["train/td_error"]) > 0
    assert all(None not in row for row in rows)  # no value without a column
    model.logger.close()
    other.logger.close()


def test_a_file_that_was_removed_is_begun_again(tmp_path: Path) -> None:
    model = QLearning("QTablePolicy", "Taxi-v4", seed=0)
    callback = CsvLog(tmp_path)
    model.learn(250, callback=callback, log_interval=1)
    callback.path.unlink()
    model.learn(200, callback=callback, log_interval=1, reset_num_timesteps=False)
    assert [row["time/total_timesteps"] for row in rows_of(tmp_path)] == ["400", "450"]
    model.logger.close()


def check_against_json(folder: Path) -> None:
    """Assert that the table says what SB3's other logger was given."""
    given = [json.loads(line) for line in (folder / "progress.json").read_text().splitlines()]
    table = rows_of(folder)
    assert len(table) == len(given) > 5
    for row, values in zip(table, given, strict=True):
        filled = {key: float(value) for key, value in row.items() if value}
        assert filled == pytest.approx(values)


def test_a_table_that_is_continued_knows_its_columns_before_its_first_row(tmp_path: Path) -> None:
    """A checkpoint reads them, maybe before anything is logged."""
    (tmp_path / "progress.csv").write_text("time/episodes,train/loss\n4,0.5\n")
    table = LogTable(str(tmp_path / "progress.csv"), append=True)
    assert table.keys == ["time/episodes", "train/loss"]


class WhereTheRunIs(BaseCallback):
    """Keeps the folder of the training."""

    folder: Path | None = None

    def _on_training_start(self) -> None:
        self.folder = find_run_folder(self)

    def _on_step(self) -> bool:
        return True


def test_a_callback_finds_the_folder_of_the_training(tmp_path: Path) -> None:
    def found(*others: BaseCallback, logger: Path | None = None) -> Path | None:
        callback, model = WhereTheRunIs(), player(PaidGames([1.0]))
        if logger is not None:
            model.set_logger(configure(str(logger), []))
        model.learn(2, callback=[callback, CallbackList(list(others))])
        model.logger.close()
        return callback.folder

    log, logger = CsvLog(tmp_path / "run"), tmp_path / "logged"
    env = DummyVecEnv([lambda: Monitor(PaidGames([1.0]))])
    evaluation = EvalCallback(env, best_model_save_path=str(tmp_path / "best"), eval_freq=1000)
    assert found() is None  # SB3's own is a temporary one
    assert found(logger=logger) == logger
    assert found(evaluation, logger=logger) == tmp_path / "best"
    assert found(log, evaluation) == tmp_path / "run"


def test_a_removed_callback_names_its_replacement() -> None:
    with pytest.raises(ValueError, match=r"gymnasium\.wrappers\.RecordVideo"):
        from sb3_atari_course.callbacks import RecordVideo  # noqa: F401
