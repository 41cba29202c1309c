"""Aggregate statistics of scores in several games, with stratified bootstrap intervals.

The statistics are those of Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice". Scores are given as one array for each game, with the normalized score of
each run (seed); games may have different numbers of runs. Each statistic is a function of these
arrays and an axis, as :func:`scipy.stats.bootstrap` calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Statistic = Callable[..., Any]

#: Resamples of the bootstrap, and how many of them are in RAM at once.
N_RESAMPLES, _BATCH = 10_000, 1000

#: Normalized score above which the optimality gap counts no improvement: that of a human.
HUMAN = 1.0


class Estimate(NamedTuple):
    """Value of a statistic and its 95 % interval.

    :param value: float, or an array for a statistic with several values.
    :param low: lower bound of the same shape; None if a game has a single run.
    :param high: upper bound.
    """

    value: Any
    low: Any = None
    high: Any = None


def interquartile_mean(*games: Floats, axis: int = -1) -> Any:
    """Return the mean of all runs without the lowest and the highest quarter (rounded down).

    :param games: normalized scores of each game, runs along ``axis``.
    """
    from scipy.stats import trim_mean  # type: ignore[import-untyped]  # takes a second to import

    return trim_mean(np.concatenate(games, axis), 0.25, axis)


def median_of_games(*games: Floats, axis: int = -1) -> Any:
    """Return the median of the games' means."""
    return np.median([game.mean(axis) for game in games], axis=0)


def mean_of_games(*games: Floats, axis: int = -1) -> Any:
    """Return the mean of the games' means."""
    return np.mean([game.mean(axis) for game in games], axis=0)


def optimality_gap(*games: Floats, axis: int = -1) -> Any:
    """Return by how much all runs fall short of a human on average; better ones count as equal."""
    return HUMAN - np.minimum(np.concatenate(games, axis), HUMAN).mean(axis)


#: Name -> aggregate statistic.
AGGREGATES: Mapping[str, Statistic] = MappingProxyType(
    {
        "interquartile mean": interquartile_mean,
        "median": median_of_games,
        "mean": mean_of_games,
        "optimality gap": optimality_gap,
    }
)


def estimate(
    statistic: Statistic,
    samples: Sequence[ArrayLike],
    *,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> Estimate:
    """Compute a statistic and its 95 % percentile interval by a stratified bootstrap.

    The runs of each sample are resampled independently of those of the others.

    :param statistic: function of the samples and ``axis``, along which the runs are.
    :param samples: scores of the runs, one array for each game (and algorithm).
    :param seed: of the resampling.
    :param n_resamples: number of resamples.
    :raises ValueError: without samples, for a sample without runs or with a score that is not
        finite.
    """
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    if not arrays:
        raise ValueError("scores of at least one game are needed, got none")
    for array in arrays:
        if array.ndim != 1 or not array.size or not np.isfinite(array).all():
            raise ValueError(f"each game needs a list of finite scores, got {array.tolist()}")
    value = statistic(*arrays, axis=-1)
    if min(array.size for array in arrays) < 2:
        return Estimate(value)
    from scipy.stats import bootstrap

    interval = bootstrap(
        arrays,
        statistic,
        n_resamples=n_resamples,
        batch=_BATCH,
        vectorized=True,
        paired=False,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(value, interval.low, interval.high)


def performance_profile(
    games: Sequence[ArrayLike], thresholds: ArrayLike, **kwargs: Any
) -> Estimate:
    """Compute the fraction of all runs above each threshold, with pointwise intervals.

    :param games: normalized scores of the runs of each game.
    :param thresholds: (n,) normalized scores.
    :param kwargs: ``seed`` and ``n_resamples`` of :func:`estimate`.
    :return: arrays of shape (n,).
    """
    limits = np.asarray(thresholds, dtype=np.float64)

    def profile(*games: Floats, axis: int = -1) -> Any:
        runs = np.concatenate(games, axis)
        return np.stack([(runs > limit).mean(axis) for limit in limits])

    return estimate(profile, games, **kwargs)


def probability_of_improvement(
    games: Sequence[ArrayLike], others: Sequence[ArrayLike], **kwargs: Any
) -> Estimate:
    """Compute how likely a run of one algorithm scores higher than one of another.

    The probability is that of two runs chosen at random in the same game, ties counted as one
    half, and averaged over the games.

    :param games: scores of the runs of each game, in any unit.
    :param others: scores of the other algorithm in the same games.
    :param kwargs: ``seed`` and ``n_resamples`` of :func:`estimate`.
    :raises ValueError: if there are not as many games of both.
    """
    n = len(games)
    if len(others) != n:
        raise ValueError(
            f"both algorithms need scores in the same games, got {n} and {len(others)} games"
        )

    def probability(*samples: Floats, axis: int = -1) -> Any:
        chances = []
        for runs, rivals in zip(samples[:n], samples[n:], strict=True):
            pairs = np.expand_dims(runs, -1) - np.expand_dims(rivals, -2)
            chances.append(((np.sign(pairs) + 1) / 2).mean((-2, -1)))
        return np.mean(chances, axis=0)

    return estimate(probability, [*games, *others], **kwargs)
