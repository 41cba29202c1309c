"""Statistics of a suite compared with those of rliable 1.2.0 on the same scores.

Run:  python benchmarks/statistics_vs_rliable.py [--quick]

rliable was archived in October 2025, does not run with pandas 3, and is not a dependency. Install
it into a folder that comes first: ``pip install --target FOLDER rliable==1.2.0 "pandas<3"``, then
``PYTHONPATH=.:FOLDER python benchmarks/statistics_vs_rliable.py``.

Scores are synthetic (log-normal, seeded): 5 games, 5 runs, 2 algorithms. Each statistic is computed
by both, its 95 % interval from 50,000 resamples, rliable's default. Point estimates must agree to
rounding errors. Bounds of intervals differ by the noise of the resampling, which is the standard
deviation of ours over 10 random seeds, given next to it. The last line is JSON: the largest
difference of point estimates, of bounds, and of bounds in units of that noise.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.suite.statistics import (
    AGGREGATES,
    Estimate,
    estimate,
    performance_profile,
    probability_of_improvement,
)

N_GAMES, N_RUNS = 5, 5
THRESHOLDS = np.linspace(0, 2, 9)
#: Random seeds over which the noise of a bound is measured.
N_SEEDS = 10

Floats = NDArray[np.float64]
#: Ours, as a function of ``seed``, and rliable's function with its scores.
Pair = tuple[Callable[..., Estimate], Callable[..., Any], Any]


def import_rliable() -> tuple[Any, Any]:
    """Return rliable's modules ``library`` and ``metrics``."""
    try:
        return importlib.import_module("rliable.library"), importlib.import_module(
            "rliable.metrics"
        )
    except (ImportError, TypeError) as error:  # TypeError: pandas 3
        raise SystemExit(
            f'{error!r}: pip install --target FOLDER rliable==1.2.0 "pandas<3", and run again with'
            " PYTHONPATH=.:FOLDER"
        ) from None


def pairs(metrics: Any, library: Any, x: Floats, y: Floats, n_resamples: int) -> dict[str, Pair]:
    """Return what is compared, by name."""
    games, others = list(x.T), list(y.T)
    theirs = {
        "interquartile mean": metrics.aggregate_iqm,
        "median": metrics.aggregate_median,
        "mean": metrics.aggregate_mean,
        "optimality gap": metrics.aggregate_optimality_gap,
    }
    settings: dict[str, Any] = {"n_resamples": n_resamples}
    found: dict[str, Pair] = {
        name: (partial(estimate, statistic, games, **settings), theirs[name], x)
        for name, statistic in AGGREGATES.items()
    }
    found["performance profile"] = (
        partial(performance_profile, games, THRESHOLDS, **settings),
        lambda scores: library.score_distributions(scores, THRESHOLDS),
        x,
    )
    found["probability of improvement"] = (
        partial(probability_of_improvement, games, others, **settings),
        metrics.probability_of_improvement,
        [x, y],
    )
    return found


def bounds(found: Estimate) -> Floats:
    """Return the bounds, shape (2, n)."""
    return np.array([np.atleast_1d(found.low), np.atleast_1d(found.high)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 resamples")
    n_resamples = 2000 if parser.parse_args().quick else 50_000
    library, metrics = import_rliable()
    rng = np.random.default_rng(0)
    x = rng.lognormal(-0.3, 0.6, (N_RUNS, N_GAMES))
    y = rng.lognormal(-0.5, 0.6, (N_RUNS, N_GAMES))
    np.random.seed(0)  # noqa: NPY002  # rliable samples from the global generator
    print(f"{'':27} {'ours':>24} {'rliable':>24}  difference: value, bounds (noise)")
    worst = np.zeros(3)
    for name, (ours, function, scores) in pairs(metrics, library, x, y, n_resamples).items():
        mine = [ours(seed=seed) for seed in range(N_SEEDS)]
        point, interval = library.get_interval_estimates(
            {"x": scores}, lambda *data, f=function: np.atleast_1d(f(*data)), reps=n_resamples
        )
        value, limits = point["x"], interval["x"]
        noise = np.std([bounds(found) for found in mine], axis=0, ddof=1)
        of_value = np.abs(np.atleast_1d(mine[0].value) - value).max()
        of_bounds = np.abs(bounds(mine[0]) - limits)
        in_noise = np.divide(of_bounds, noise, out=np.zeros_like(noise), where=noise > 0).max()
        worst = np.maximum(worst, [of_value, of_bounds.max(), in_noise])
        cells = [_cell(mine[0].value, bounds(mine[0])), _cell(value, limits)]
        print(
            f"{name:27} {cells[0]:>24} {cells[1]:>24}  {of_value:.1e}, {of_bounds.max():.4f}"
            f" ({noise.max():.4f})"
        )
    names = ("value_difference", "bound_difference", "bound_difference_in_noise")
    print(json.dumps(dict(zip(names, worst.tolist(), strict=True))))


def _cell(value: Any, limits: Floats) -> str:
    """Return a value with its interval; of a profile that of the middle threshold."""
    values = np.atleast_1d(value)
    i = len(values) // 2
    return f"{values[i]:.4f} [{limits[0, i]:.4f}, {limits[1, i]:.4f}]"


if __name__ == "__main__":
    main()
