"""Stacks of all games at once, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sb3_atari_course.envs.native.stacks import Stacks


def push(stacks: Stacks, newest: list[int], begins: list[bool]) -> list[list[int]]:
    """Push one-pixel pictures; return what the agent sees of each game."""
    now = stacks.room()
    now[:, -1, 0, 0] = newest
    stacks.move_on(now)
    stacks.begin(now, np.array(begins))
    stacks.keep(now, np.array(begins))
    seen: list[list[int]] = now[:, :, 0, 0].tolist()
    now[...] = 99  # what others do with it does not come back
    return seen


@pytest.mark.parametrize(("padding", "past"), [("repeat", 4), ("zero", 0)])
def test_two_games(padding: Any, past: int) -> None:
    stacks = Stacks(2, 3, (1, 1), padding)
    push(stacks, [1, 4], [True, True])
    assert push(stacks, [2, 5], [False, False])[1] == [past, 4, 5]
    assert push(stacks, [3, 6], [False, False]) == [[1, 2, 3], [4, 5, 6]]
    past = 7 if padding == "repeat" else 0
    assert push(stacks, [4, 7], [False, True]) == [[2, 3, 4], [past, past, 7]]
    assert push(stacks, [5, 8], [False, False]) == [[3, 4, 5], [past, 7, 8]]
    assert stacks.newest().tolist() == [[[5]], [[8]]]


def test_a_stack_of_one() -> None:
    stacks = Stacks(2, 1, (1, 1), "repeat")
    assert push(stacks, [1, 2], [True, True]) == [[1], [2]]
    assert push(stacks, [3, 4], [False, True]) == [[3], [4]]
