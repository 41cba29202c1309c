"""Several seeds as one curve: their mean on a common grid, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.report.run_data import Curve

#: Points of the common grid: more than a picture of this size can show apart.
N_POINTS = 300

#: Two-sided 95 % quantile of Student's t for 1 to 8 degrees of freedom; a formula does the rest.
_T_95 = (12.7062047, 4.3026527, 3.1824463, 2.7764451, 2.5705818, 2.4469119, 2.3646243, 2.3060041)


class MeanCurve(NamedTuple):
    """Mean over seeds, and the half width of its 95 % interval.

    :param steps: (n,) float64, agent steps.
    :param values: (n,) float64, mean over the seeds.
    :param half_width: (n,) float64, zero for a single seed, of which nothing is known.
    """

    steps: NDArray[np.float64]
    values: NDArray[np.float64]
    half_width: NDArray[np.float64]


def mean_of_seeds(curves: Sequence[Curve]) -> MeanCurve:
    """Average curves where all of them are known; a value holds until the next one.

    :param curves: one of each seed, steps in increasing order.
    :return: one curve comes back as it is.
    :raises ValueError: if some curve ends before another begins.
    """
    if len(curves) == 1:
        return MeanCurve(*curves[0], np.zeros_like(curves[0].values))
    start = max(curve.steps[0] for curve in curves)
    stop = min(curve.steps[-1] for curve in curves)
    if stop < start:
        raise ValueError(
            f"the seeds have no step in common: one ends at step {stop:,.0f}, another has its first"
            f" finished game at step {start:,.0f}; leave one of them out"
        )
    steps = np.linspace(start, stop, N_POINTS)
    values = np.stack(
        [curve.values[np.searchsorted(curve.steps, steps, side="right") - 1] for curve in curves]
    )
    mean, n = values.mean(axis=0), len(curves)
    half_width = student_t_95(n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return MeanCurve(steps, mean, half_width)


def student_t_95(n_free: int) -> float:
    """Return the two-sided 95 % quantile of Student's t, to three decimals (SciPy is not needed).

    From 9 degrees of freedom on the expansion around the normal distribution (Abramowitz and
    Stegun 1964, 26.7.5).

    :param n_free: degrees of freedom, at least 1.

    >>> f"{student_t_95(4):.3f} {student_t_95(9):.3f}"
    '2.776 2.262'
    """
    if n_free <= len(_T_95):
        return _T_95[n_free - 1]
    z = NormalDist().inv_cdf(0.975)
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(n_free) ** (i + 1) for i, term in enumerate(terms))
