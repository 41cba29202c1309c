"""EpisodeTable: rows, printed lines, CSV file."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import pytest
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import CallbackList, ConvertCallback

from sb3_atari_course import QLearning
from sb3_atari_course.callbacks import EpisodeTable
from tests.callbacks.scored_games import ScoredGames, player, repeated, vec_env


def test_games_of_all_environments_are_rows_in_order_of_their_ends() -> None:
    table = EpisodeTable(window=2)
    model = player(vec_env(partial(repeated, 4), partial(repeated, 6)), exploration_fraction=1.0)
    model.learn(12, callback=table)
    assert [(r.game, r.steps, r.game_steps, r.score, r.mean, r.best) for r in table.rows] == [
        (1, 4, 2, 4.0, 4.0, 4.0),
        (2, 6, 3, 6.0, 5.0, 6.0),
        (3, 8, 2, 4.0, 5.0, 6.0),
        (4, 12, 2, 4.0, 4.0, 6.0),
        (5, 12, 3, 6.0, 5.0, 6.0),
    ]
    # from 1 to 0.05 over 12 steps; SB3 updates epsilon after the callbacks of a step
    epsilons = [1 - 0.95 * steps / 12 for steps in (2, 4, 6, 10, 10)]
    assert [row.epsilon for row in table.rows] == pytest.approx(epsilons)
    assert all(0 <= row.seconds < 60 for row in table.rows)


def test_printed_lines_are_aligned_and_thinned_out(capsys: pytest.CaptureFixture[str]) -> None:
    table = EpisodeTable(every=2)
    A2C("MlpPolicy", ScoredGames([-5, 12345, -2.5, 0]), seed=0).learn(5, callback=table)
    assert [row.best for row in table.rows[:3]] == [-5, 12345, 12345]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["game", "steps", "game", "steps"]
    n_lines = len(table.rows) // 2
    assert [line.split()[0] for line in lines[1:]] == [str(2 * i + 2) for i in range(n_lines)]
    assert lines[1].split()[1:4] == ["2", "1", "-"]  # A2C has no epsilon
    assert lines[1].split()[5:] == ["12345", "6170.00", "12345"]
    assert len({len(line) for line in lines}) == 1


def test_file_is_written_per_game_and_continued(tmp_path: Path) -> None:
    path = tmp_path / "new/games.csv"
    table = EpisodeTable(path=path, every=10)
    model = QLearning("QTablePolicy", "FrozenLake-v1", seed=0)

    def at_each_step(local: object, other: object) -> bool:
        assert len(path.read_text().splitlines()) >= len(table.rows)
        return True

    both = CallbackList([table, ConvertCallback(at_each_step)])
    model.learn(100, callback=both)
    n_rows = len(table.rows)
    model.learn(100, callback=both, reset_num_timesteps=False)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["game"]) for row in rows] == list(range(1, len(table.rows) + 1))
    assert [float(row["score"]) for row in rows] == [row.score for row in table.rows]
    assert [float(row["epsilon"]) for row in rows] == [row.epsilon for row in table.rows]
    assert len(rows) > n_rows > 5
    assert ",".join(rows[0]) == "game,steps,game_steps,epsilon,seconds,score,mean,best"


def test_reset_num_timesteps_starts_a_new_table(tmp_path: Path) -> None:
    table = EpisodeTable(path=tmp_path / "games.csv")
    model = player(ScoredGames([1]))
    model.learn(5, callback=table)
    model.learn(3, callback=table)
    assert [row.steps for row in table.rows] == [1, 2, 3]
    assert len((tmp_path / "games.csv").read_text().splitlines()) == 4


def test_rejects_invalid_values() -> None:
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        EpisodeTable(every=0)
    with pytest.raises(TypeError, match=r"window must be an integer .* got 1.5"):
        EpisodeTable(window=1.5)  # type: ignore[arg-type]
