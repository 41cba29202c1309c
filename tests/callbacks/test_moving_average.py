"""When the mean score is high enough, and not before."""

from __future__ import annotations

from typing import Any

import pytest
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course.callbacks import StopOnMovingAverage
from tests.callbacks.trainings import PaidGames, player, vec_env

N_STEPS = 50  # one game each


def games_until_the_end(scores: list[float], **settings: Any) -> int:
    callback = StopOnMovingAverage(settings.pop("threshold"), **settings)
    model = player(PaidGames(scores)).learn(N_STEPS, callback=callback)
    assert callback.n_games == model.num_timesteps
    return model.num_timesteps


@pytest.mark.parametrize(
    ("scores", "threshold", "window", "n_games"),
    [
        ([0, 0, 10, 2, 4], 5, 2, 3),  # (0 + 10) / 2 is enough
        ([0, 0, 10, 2, 4], 5.5, 2, 4),  # (10 + 2) / 2
        ([0, 0, 10, 2, 4], 6.5, 2, N_STEPS),
        ([100, 0, 0, 0, 0], 50, 3, N_STEPS),  # the first alone would do, but is no mean of three
        ([100, 0, 100], 66, 3, 3),
        ([-30, -10], -10, 1, 2),
    ],
)
def test_it_ends_once_the_mean_of_the_window_is_reached(
    scores: list[float], threshold: float, window: int, n_games: int
) -> None:
    assert games_until_the_end(scores, threshold=threshold, window=window) == n_games


def test_the_window_is_of_100_games_by_default() -> None:
    callback = StopOnMovingAverage(1)
    assert player(PaidGames([1])).learn(150, callback=callback).num_timesteps == 100


def test_it_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    games_until_the_end([0, 5, 10], threshold=7, window=2)
    assert capsys.readouterr().out == (
        "stopped after 3 games and 3 steps: mean score of the last 2 games 7.5 >= 7\n"
    )
    games_until_the_end([0, 5, 10], threshold=7, window=2, verbose=0)
    assert capsys.readouterr().out == ""


def test_games_of_all_envs_count_and_a_new_training_begins_anew() -> None:
    callback = StopOnMovingAverage(4, window=4, verbose=0)
    model = player(vec_env(lambda: Monitor(PaidGames([4])), lambda: Monitor(PaidGames([4]))))
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
def test_wrong_values_are_refused(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        StopOnMovingAverage(**settings)
