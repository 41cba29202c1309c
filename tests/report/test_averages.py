"""The mean over seeds and its interval, against loops and published tables."""

from __future__ import annotations

import numpy as np
import pytest

from sb3_atari_course.report.curves import N_POINTS, mean_of_seeds
from sb3_atari_course.report.run_data import Curve


def curve(steps: list[float], values: list[float]) -> Curve:
    return Curve(np.array(steps, dtype=float), np.array(values, dtype=float))


def test_one_seed_stays_as_it_is() -> None:
    mean = mean_of_seeds([curve([1, 5], [2, 3])])
    assert mean.steps.tolist() == [1, 5]
    assert mean.values.tolist() == [2, 3]
    assert mean.half_width.tolist() == [0, 0]


def test_three_seeds_by_hand() -> None:
    """1, 2, 3: mean 2, SD 1; 4.3027 / sqrt(3) = 2.4842."""
    mean = mean_of_seeds([curve([0, 10], [value, value]) for value in (1, 2, 3)])
    np.testing.assert_allclose(mean.values, 2.0)
    np.testing.assert_allclose(mean.half_width, 2.4842, atol=1e-4)


def test_the_mean_goes_as_far_as_all_seeds() -> None:
    mean = mean_of_seeds([curve([0, 50, 90], [1, 2, 3]), curve([20, 200], [5, 6])])
    assert (mean.steps[0], mean.steps[-1], len(mean.steps)) == (20, 90, N_POINTS)
    assert (mean.values[0], mean.values[-1]) == (3.0, 4.0)  # (1 + 5) / 2 and (3 + 5) / 2


@pytest.mark.parametrize("seed", range(5))
def test_a_value_holds_until_the_next_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seeds = [
        Curve(np.cumsum(rng.integers(1, 30, n)).astype(float), rng.normal(size=n))
        for n in rng.integers(40, 60, 4)
    ]
    mean = mean_of_seeds(seeds)
    for i in range(0, N_POINTS, 17):
        known = [[v for s, v in zip(*one, strict=True) if s <= mean.steps[i]][-1] for one in seeds]
        assert mean.values[i] == pytest.approx(sum(known) / 4)
        variance = sum((value - sum(known) / 4) ** 2 for value in known) / 3
        assert mean.half_width[i] == pytest.approx(3.1824 * (variance / 4) ** 0.5, rel=1e-4)


def test_seeds_without_a_common_step_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ends at step 20, another .* at step 30; leave one"):
        mean_of_seeds([curve([0, 20], [0, 0]), curve([30, 40], [0, 0])])


@pytest.mark.parametrize(
    ("n_free", "published"),
    [(1, 12.706), (2, 4.303), (8, 2.306), (9, 2.262), (29, 2.045), (120, 1.980)],
)
def test_students_t_as_in_the_tables(n_free: int, published: float) -> None:
    """Values whose SD is the root of their number: the half width is t itself."""
    n = n_free + 1
    values = np.random.default_rng(0).normal(size=n)
    values *= np.sqrt(n) / values.std(ddof=1)
    mean = mean_of_seeds([curve([0, 1], [x, x]) for x in values])
    assert mean.half_width[0] == pytest.approx(published, abs=5.1e-4)


def test_the_interval_holds_the_truth_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        mean = mean_of_seeds([curve([0, 1], [x, x]) for x in rng.normal(size=4)])
        inside += abs(mean.values[0]) <= mean.half_width[0]
    assert 0.935 < inside / 2000 < 0.965
