"""StopOnMovingAverage stops training at a mean score."""

from __future__ import annotations

from typing import Any

import pytest
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course.callbacks import StopOnMovingAverage
from tests.callbacks.scored_games import ScoredGames, player, vec_env

N_STEPS = 50  # one game each


def games_until_stopped(scores: list[float], **settings: Any) -> int:
    callback = StopOnMovingAverage(settings.pop("threshold"), **settings)
    model = player(ScoredGames(scores)).learn(N_STEPS, callback=callback)
    assert callback.n_games == model.num_timesteps
    return model.num_timesteps


@pytest.mark.parametrize(
    ("scores", "threshold", "window", "n_games"),
    [
        ([0, 0, 10, 2, 4], 5, 2, 3),  # (0 + 10) / 2 is enough
        ([0, 0, 10, 2, 4], 5.5, 2, 4),  # (10 + 2) / 2
        ([0, 0, 10, 2, 4], 6.5, 2, N_STEPS),
        ([100, 0, 0, 0, 0], 50, 3, N_STEPS),  # the first score alone does not fill the window
        ([100, 0, 100], 66, 3, 3),
        ([-30, -10], -10, 1, 2),
    ],
)
def test_stops_once_the_mean_reaches_the_threshold(
    scores: list[float], threshold: float, window: int, n_games: int
) -> None:
    assert games_until_stopped(scores, threshold=threshold, window=window) == n_games


def test_default_window_is_100_games() -> None:
    callback = StopOnMovingAverage(1)
    assert player(ScoredGames([1])).learn(150, callback=callback).num_timesteps == 100


def test_prints_one_line_when_stopping(capsys: pytest.CaptureFixture[str]) -> None:
    games_until_stopped([0, 5, 10], threshold=7, window=2)
    (line,) = capsys.readouterr().out.splitlines()
    for shown in ("3 games", "3 steps", "last 2 games 7.5 >= 7"):
        assert shown in line
    games_until_stopped([0, 5, 10], threshold=7, window=2, verbose=0)
    assert capsys.readouterr().out == ""


def test_counts_games_of_all_environments_and_resets_per_training() -> None:
    callback = StopOnMovingAverage(4, window=4, verbose=0)
    model = player(vec_env(lambda: Monitor(ScoredGames([4])), lambda: Monitor(ScoredGames([4]))))
    for _ in range(2):
        assert model.learn(20, callback=callback).num_timesteps == 4
        assert callback.n_games == 4


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"threshold": "195"}, TypeError, "threshold must be a number, got '195'"),
        ({"threshold": float("nan")}, ValueError, "threshold must be a finite number"),
        ({"threshold": 1, "window": 0}, ValueError, "window must be at least 1, got 0"),
    ],
)
def test_rejects_invalid_values(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        StopOnMovingAverage(**settings)
