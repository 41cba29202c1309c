"""Blocks of a master file: solutions for teachers, blanks for students."""

from __future__ import annotations

import pytest

from sb3_atari_course.course.blanks import blank, blank_one, count_blanks, solved

MASTER = """def f(x):
    # 1. double it
    # >>> y = ...
    y = 2 * x
    y += 0
    # <<<
    if y:
        # >>> y = ...
        # >>> z = ...
        y, z = 1, 2
        # <<<
    return y
"""


def test_a_solved_lesson_has_no_markers() -> None:
    expected = """def f(x):
    # 1. double it
    y = 2 * x
    y += 0
    if y:
        y, z = 1, 2
    return y
"""
    assert solved(MASTER) == expected


def test_students_see_what_stands_in_the_markers() -> None:
    expected = """def f(x):
    # 1. double it
    y = ...
    if y:
        y = ...
        z = ...
    return y
"""
    assert blank(MASTER) == expected


def test_one_blank_leaves_the_other_solutions() -> None:
    assert count_blanks(MASTER) == 2
    assert "y = 2 * x" in blank_one(MASTER, 1)
    assert "z = ..." in blank_one(MASTER, 1)
    assert "y = 2 * x" not in blank_one(MASTER, 0)
    assert "y, z = 1, 2" in blank_one(MASTER, 0)


def test_text_without_blocks_stays() -> None:
    assert solved("a\n# >> b\n") == blank("a\n# >> b\n") == "a\n# >> b\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# >>> a = ...\na = 1\n", "not closed"),
        ("a = 1\n# <<<\n", "line 2"),
        ("# >>> a = ...\n# <<<\n", "line 2"),
        ("# >>> a = ...\na = 1\n# >>> b = ...\n# <<<\n", "line 3"),
    ],
)
def test_broken_blocks_are_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solved(text)
