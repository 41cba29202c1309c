"""Checks of arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sb3_atari_course.wrappers.checks import boolean, finite_number, probability


def test_numbers() -> None:
    for number in (0, 1.5, np.float32(2), np.int64(3)):
        assert finite_number("x", number) == number
        assert type(finite_number("x", number)) is float


@pytest.mark.parametrize(
    ("value", "error"),
    [("1", TypeError), (None, TypeError), (True, TypeError), (1j, TypeError), ([1], TypeError),
     (float("nan"), ValueError), (float("inf"), ValueError)],
)  # fmt: skip
def test_what_is_no_number(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"x must be a (finite )?number, got"):
        finite_number("x", value)


@pytest.mark.parametrize("value", ["no", "true", 0, 1, 1.0, None, [True], np.array([True])])
def test_a_flag_is_a_bool_and_nothing_else(value: object) -> None:
    with pytest.raises(TypeError, match="max_pool"):
        boolean("max_pool", value)


@pytest.mark.parametrize("value", [True, np.True_, False, np.False_])
def test_flags_may_be_numpy_bools(value: object) -> None:
    assert boolean("max_pool", value) is bool(value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_probability_is_from_0_to_1(value: float) -> None:
    with pytest.raises(ValueError, match="epsilon"):
        probability("epsilon", value)
    assert probability("epsilon", 1) == 1.0
