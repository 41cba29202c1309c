"""CsvLog: SB3's log as a CSV file."""

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
from tests.callbacks.scored_games import ScoredGames, player


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "progress.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_sb3_log_is_written_and_continued_by_a_second_learn(tmp_path: Path) -> None:
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


def test_last_row_is_written_after_reset_num_timesteps(tmp_path: Path) -> None:
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
def test_last_update_of_on_policy_algorithms_is_logged(algorithm: Any, tmp_path: Path) -> None:
    """SB3 logs before each update, every ``log_interval`` updates."""
    settings: dict[str, Any] = {"batch_size": 32} if algorithm is PPO else {}
    model = algorithm("MlpPolicy", "CartPole-v1", n_steps=32, seed=0, device="cpu", **settings)
    callback = CsvLog(tmp_path)
    model.learn(96, callback=callback, log_interval=2)
    model.learn(32, callback=callback, log_interval=2)  # an update, but no log of SB3's
    rows = rows_of(tmp_path)
    assert [int(row["time/total_timesteps"]) for row in rows] == [64, 96, 32]
    n_epochs = 10 if algorithm is PPO else 1
    assert [int(row["train/n_updates"]) for row in rows] == [n_epochs * n for n in (1, 3, 4)]
    model.logger.close()


def test_training_stopped_at_once_has_one_row(tmp_path: Path) -> None:
    model = player(ScoredGames([1.0]))
    model.learn(20, callback=[CsvLog(tmp_path), ConvertCallback(lambda *_: False)])
    assert [row["time/total_timesteps"] for row in rows_of(tmp_path)] == ["1"]
    model.logger.close()


def test_algorithms_without_logs_are_supported(tmp_path: Path) -> None:
    class Silent(DQN):
        def dump_logs(self) -> None:
            raise NotImplementedError  # SB3's default

    model = Silent("MlpPolicy", "CartPole-v1", buffer_size=100, learning_starts=100)
    model.learn(5, callback=CsvLog(tmp_path))
    assert rows_of(tmp_path) == []
    model.logger.close()


@pytest.mark.parametrize("n_ours", [1, 2])
def test_shared_file_has_each_row_once_in_its_columns(
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


def test_rows_of_a_replaced_sb3_logger_are_kept(tmp_path: Path) -> None:
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


def test_file_of_another_training_is_continued_in_its_columns(
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


def test_removed_file_is_created_again(tmp_path: Path) -> None:
    model = QLearning("QTablePolicy", "Taxi-v4", seed=0)
    callback = CsvLog(tmp_path)
    model.learn(250, callback=callback, log_interval=1)
    callback.path.unlink()
    model.learn(200, callback=callback, log_interval=1, reset_num_timesteps=False)
    assert [row["time/total_timesteps"] for row in rows_of(tmp_path)] == ["400", "450"]
    model.logger.close()


def check_against_json(folder: Path) -> None:
    """Assert that the CSV file has the values of SB3's JSON log."""
    given = [json.loads(line) for line in (folder / "progress.json").read_text().splitlines()]
    table = rows_of(folder)
    assert len(table) == len(given) > 5
    for row, values in zip(table, given, strict=True):
        filled = {key: float(value) for key, value in row.items() if value}
        assert filled == pytest.approx(values)


def test_continued_log_table_reads_its_columns(tmp_path: Path) -> None:
    """A checkpoint may read them before anything is logged."""
    (tmp_path / "progress.csv").write_text("time/episodes,train/loss\n4,0.5\n")
    table = LogTable(str(tmp_path / "progress.csv"), append=True)
    assert table.keys == ["time/episodes", "train/loss"]


class RunFolderRecorder(BaseCallback):
    """Records the run folder of the training."""

    folder: Path | None = None

    def _on_training_start(self) -> None:
        self.folder = find_run_folder(self)

    def _on_step(self) -> bool:
        return True


def test_run_folder_is_that_of_csv_log_or_evaluation_or_logger(tmp_path: Path) -> None:
    def found(*others: BaseCallback, logger: Path | None = None) -> Path | None:
        callback, model = RunFolderRecorder(), player(ScoredGames([1.0]))
        if logger is not None:
            model.set_logger(configure(str(logger), []))
        model.learn(2, callback=[callback, CallbackList(list(others))])
        model.logger.close()
        return callback.folder

    log, logger = CsvLog(tmp_path / "run"), tmp_path / "logged"
    env = DummyVecEnv([lambda: Monitor(ScoredGames([1.0]))])
    evaluation = EvalCallback(env, best_model_save_path=str(tmp_path / "best"), eval_freq=1000)
    assert found() is None  # SB3's default folder is temporary
    assert found(logger=logger) == logger
    assert found(evaluation, logger=logger) == tmp_path / "best"
    assert found(log, evaluation) == tmp_path / "run"


def test_removed_callback_names_its_replacement() -> None:
    with pytest.raises(ValueError, match=r"gymnasium\.wrappers\.RecordVideo"):
        from sb3_atari_course.callbacks import RecordVideo  # noqa: F401
