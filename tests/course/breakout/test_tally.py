"""Counts of frames written by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sb3_atari_course.course.breakout import BreakoutState, GameTally


def state(
    ball: tuple[int, int] | None, *, paddle_x: int = 80, gone: tuple[tuple[int, int], ...] = ()
) -> BreakoutState:
    """Return a state; ``ball`` is (x, y), ``gone`` the bricks that do not stand."""
    bricks = np.ones((6, 18), bool)
    for brick in gone:
        bricks[brick] = False
    x, y = ball or (None, None)
    return BreakoutState(paddle_x, 16, x, y, lives=5, bricks=bricks)


def tally_of(*states: BreakoutState, reward: float = 0.0) -> GameTally:
    tally = GameTally()
    for before, after in pairwise(states):
        tally.see(before, after, reward=reward)
    return tally


def test_frames_and_rewards_are_summed_up() -> None:
    tally = tally_of(state(None), state(None), state(None), reward=4.0)
    assert (tally.n_frames, tally.score) == (2, 8.0)


def test_a_brick_hit_by_a_rising_ball_is_not_hit_from_above() -> None:
    tally = tally_of(state((80, 100)), state((80, 97)), state((80, 100), gone=((5, 8),)))
    assert (tally.n_bricks, tally.n_from_above) == (1, 0)


def test_a_brick_hit_by_a_falling_ball_is_hit_from_above() -> None:
    tally = tally_of(state((80, 45)), state((80, 48)), state((80, 45), gone=((0, 8),)))
    assert (tally.n_bricks, tally.n_from_above) == (1, 1)


def test_a_brick_counts_once_and_a_new_wall_does_not() -> None:
    hit = state((80, 100), gone=((5, 8),))
    tally = tally_of(state((80, 97)), hit, hit, state((80, 103)), state((80, 106)))
    assert tally.n_bricks == 1


def test_distance_is_measured_only_while_the_ball_falls_in_the_lower_half() -> None:
    tally = tally_of(
        state((10, 90)),
        state((12, 100)),  # falls, in the upper half
        state((14, 110)),  # falls, in the lower half: 66 columns left of the paddle
        state((200, 113)),  # 120 columns right of it
        state((18, 110)),  # rises
    )
    assert tally.distances == [66, 120]


def test_a_rally_is_what_the_paddle_returns_in_one_life() -> None:
    down, up = [state((80, 180)), state((80, 186))], [state((80, 180)), state((80, 110))]
    bounce = [*down, *up]
    tally = tally_of(*bounce, *bounce, *bounce, state(None), *bounce, *bounce)
    assert (tally.n_returns, tally.longest_rally) == (5, 3)


def test_turning_around_at_a_brick_is_no_return() -> None:
    tally = tally_of(state((80, 45)), state((80, 48)), state((80, 45)))
    assert tally.n_returns == 0


def test_a_frame_in_which_the_ball_keeps_its_row_changes_nothing() -> None:
    tally = tally_of(
        state((80, 45)), state((80, 48)), state((82, 48)), state((82, 45), gone=((0, 8),))
    )
    assert tally.n_from_above == 1


@pytest.mark.parametrize("lost_at", [180, 205])
def test_a_lost_ball_is_no_return(lost_at: int) -> None:
    tally = tally_of(state((80, lost_at - 3)), state((80, lost_at)), state(None), state((80, 120)))
    assert tally.n_returns == 0
