"""Checks of arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sb3_atari_course.wrappers.checks import finite_number


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
