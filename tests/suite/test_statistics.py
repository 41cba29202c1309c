"""Aggregate statistics by hand, and their intervals against a plain loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sb3_atari_course.suite.statistics import (
    AGGREGATES,
    estimate,
    interquartile_mean,
    mean_of_games,
    median_of_games,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)

#: Two games of four runs: sorted 0, 1, 2, 3, 5, 6, 10, 40.
GAMES = [np.array([3.0, 0, 10, 1]), np.array([40.0, 2, 6, 5])]


def test_interquartile_mean_leaves_out_the_lowest_and_highest_quarter_of_all_runs() -> None:
    assert interquartile_mean(*GAMES) == 4.0  # (2 + 3 + 5 + 6) / 4


def test_interquartile_mean_leaves_out_whole_runs_only() -> None:
    assert interquartile_mean(np.array([1.0, 2, 9]), np.array([4.0, 6])) == 4.0  # 2, 4, 6


def test_mean_and_median_are_those_of_the_games() -> None:
    """Means 3.5, 13.25, and 0 of a game with a single run, which weighs as much as the others."""
    games = [*GAMES, np.array([0.0])]
    assert mean_of_games(*games) == pytest.approx(16.75 / 3)
    assert median_of_games(*games) == 3.5


def test_optimality_gap_counts_scores_above_the_human_as_equal() -> None:
    games = [np.array([0.5, 7.0]), np.array([-1.0, 1.0])]
    assert optimality_gap(*games) == pytest.approx(0.625)  # (0.5 + 0 + 2 + 0) / 4


@pytest.mark.parametrize("statistic", AGGREGATES.values(), ids=AGGREGATES)
def test_statistics_of_many_resamples_are_those_of_each(statistic: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    games = [rng.normal(1, 1, (7, n_runs)) for n_runs in (2, 5, 3)]
    singly = [statistic(*(game[i] for game in games), axis=-1) for i in range(7)]
    np.testing.assert_allclose(statistic(*games, axis=-1), singly, rtol=1e-12)


def naive_interval(
    statistic: Callable[[list[list[float]]], float], games: list[list[float]], n: int
) -> list[float]:
    """Return the 2.5 % and 97.5 % quantile over resamples of each game's runs."""
    rng = np.random.default_rng(99)
    values = sorted(
        statistic([[game[rng.integers(len(game))] for _ in game] for game in games])
        for _ in range(n)
    )
    return [values[round(0.025 * n)], values[round(0.975 * n)]]


def naive_mean(games: list[list[float]]) -> float:
    return sum(sum(game) / len(game) for game in games) / len(games)


def test_interval_is_that_of_a_loop_over_resampled_games() -> None:
    """Runs stay in their game: games at 0 and 100 would make a pooled interval 30 wide."""
    games = [[0.0, 1.0, 2.0, 4.0, 6.0], [100.0, 103.0, 107.0]]
    low, high = naive_interval(naive_mean, games, 4000)
    found = estimate(mean_of_games, games)
    assert found.value == pytest.approx(naive_mean(games))
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.2)
    assert high - low < 5


def test_interval_of_two_runs_is_known() -> None:
    """Resamples of 0 and 1 have the means 0, 0.5, 1 with probabilities 1/4, 1/2, 1/4."""
    assert estimate(mean_of_games, [[0.0, 1.0]]) == (0.5, 0.0, 1.0)


def test_interval_of_equal_runs_has_no_width() -> None:
    found = estimate(interquartile_mean, [[0.5, 0.5], [0.5, 0.5]])
    assert found == (0.5, 0.5, 0.5)


def test_interval_depends_on_the_seed_only() -> None:
    first, same, other = (
        estimate(mean_of_games, GAMES, seed=seed, n_resamples=500) for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other


@pytest.mark.parametrize("statistic", AGGREGATES.values(), ids=AGGREGATES)
def test_single_run_of_a_game_has_no_interval(statistic: Callable[..., Any]) -> None:
    found = estimate(statistic, [[0.25, 0.75], [0.5]])
    assert found == (0.5, None, None)


def test_profile_is_the_fraction_of_runs_above_each_threshold() -> None:
    found = performance_profile(GAMES, [-1.0, 2.0, 5.5, 40.0])
    assert found.value.tolist() == [1.0, 5 / 8, 3 / 8, 0.0]
    assert found.low.shape == found.high.shape == (4,)
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()
    assert (found.low[0], found.high[0], found.low[3], found.high[3]) == (1, 1, 0, 0)


def test_probability_of_improvement_counts_pairs_and_half_of_ties() -> None:
    """5 of 6 pairs with a tie: 1 > 0, 1 = 1, 1 < 2, 3 > 0, 3 > 1, 3 > 2, and certain losses."""
    found = probability_of_improvement([[1, 3], [0, 0]], [[0, 1, 2], [1, 1]])
    assert found.value == pytest.approx((4.5 / 6 + 0) / 2)
    assert 0 <= found.low <= found.value <= found.high <= 0.5


def test_probability_of_improvement_has_an_interval_like_a_loop() -> None:
    rng = np.random.default_rng(3)
    games = [rng.normal(mean, 1, n).tolist() for mean, n in ((0.3, 4), (0.8, 6), (0, 5), (0, 4))]

    def naive(samples: list[list[float]]) -> float:
        chances = [
            sum((x > y) + (x == y) / 2 for x in samples[i] for y in samples[i + 2])
            / (len(samples[i]) * len(samples[i + 2]))
            for i in (0, 1)
        ]
        return sum(chances) / 2

    found = probability_of_improvement(games[:2], games[2:])
    assert found.value == pytest.approx(naive(games))
    assert [found.low, found.high] == pytest.approx(naive_interval(naive, games, 3000), abs=0.03)


def test_rejects_games_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="2 and 1 games"):
        probability_of_improvement([[1.0], [1.0]], [[1.0]])


@pytest.mark.parametrize("games", [[], [[]], [[1.0], [math.nan]], [[math.inf]], [[[1.0, 2.0]]]])
def test_rejects_missing_and_infinite_scores(games: list[Any]) -> None:
    with pytest.raises(ValueError, match="scores"):
        estimate(mean_of_games, games)
