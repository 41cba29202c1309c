"""The memory of the console against its screen."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from sb3_atari_course import wrap_atari
from sb3_atari_course.course.breakout import BreakoutState, read_state
from tests.course.breakout.players import (
    NOOP,
    dig_tunnel,
    follow,
    loose_pixels,
    paddle_columns,
    standing_bricks,
)

Played = Iterator[tuple[NDArray[np.uint8], BreakoutState]]


def play(seed: int, n_frames: int, *, p_random: float, tunnel: bool = False) -> Played:
    """Yield screen and state of each frame of scripted play, some of it random."""
    env = gym.make("BreakoutNoFrameskip-v4")
    rng = np.random.default_rng(seed)
    screen, _ = env.reset(seed=seed)
    aim = 0
    for frame in range(n_frames):
        yield screen, read_state(env)
        if frame % 120 == 0:
            aim = int(rng.integers(-5, 6))
        action = follow(env.unwrapped.ale.getRAM(), aim)
        if rng.random() < p_random:
            action = int(rng.integers(4))
        screen, reward, terminated, truncated, _ = env.step(action)
        if reward and tunnel:
            dig_tunnel(env)
            screen, _, terminated, truncated, _ = env.step(NOOP)
            tunnel = False
        if terminated or truncated:
            screen, _ = env.reset()


def assert_is_shown(state: BreakoutState, screen: NDArray[np.uint8]) -> bool:
    """Compare a state with its pixels; return whether the whole ball was seen."""
    np.testing.assert_array_equal(state.bricks, standing_bricks(screen))
    loose = loose_pixels(screen, state.bricks)
    if state.ball_y is None or state.ball_x is None:
        assert state.ball_x is None
        assert not loose
        return False
    drawn = pixels_of(state.ball_x, state.ball_y)
    near_wall = {(y - 1, x) for y, x in drawn}
    if state.ball_y < 96:  # the console draws the ball up to a row higher beside bricks
        assert visible(drawn & near_wall, state) <= loose <= visible(drawn | near_wall, state)
    else:
        assert loose == visible(drawn, state)
    return len(loose) >= 8


def pixels_of(x: int, y: int) -> set[tuple[int, int]]:
    """Return (row, column) of the pixels of a ball whose middle is there."""
    return {(row, column) for row in range(y - 2, y + 2) for column in range(x - 1, x + 1)}


def visible(ball: set[tuple[int, int]], state: BreakoutState) -> set[tuple[int, int]]:
    """Return what is hidden neither by the walls nor by bricks nor by the paddle."""

    def is_brick(y: int, x: int) -> bool:
        return 57 <= y < 93 and bool(state.bricks[(y - 57) // 6, (x - 8) // 8])

    return {(y, x) for y, x in ball if 32 <= y < 189 and 8 <= x < 152 and not is_brick(y, x)}


def assert_paddle_is_shown(state: BreakoutState, screen: NDArray[np.uint8]) -> None:
    left = state.paddle_x - state.paddle_width // 2
    expected = list(range(left, min(left + state.paddle_width, 152)))
    if state.ball_y == 191:  # it has the paddle's colour and stands in its four rows
        assert set(expected) <= set(paddle_columns(screen))
    else:
        assert paddle_columns(screen) == expected


@pytest.mark.parametrize(("seed", "p_random", "n_frames"), [(1, 0.3, 1000), (2, 1.0, 500)])
def test_what_is_read_is_what_is_shown(seed: int, p_random: float, n_frames: int) -> None:
    n_seen = 0
    for screen, state in play(seed, n_frames, p_random=p_random):
        n_seen += assert_is_shown(state, screen)
        assert_paddle_is_shown(state, screen)
    assert n_seen > n_frames // 2


def test_above_the_wall_and_with_the_small_paddle() -> None:
    rows, widths = set(), set()
    for screen, state in play(1, 1000, p_random=0.0, tunnel=True):
        assert_is_shown(state, screen)
        assert_paddle_is_shown(state, screen)
        rows.add(state.ball_y)
        widths.add(state.paddle_width)
    assert widths == {12, 16}
    assert min(row for row in rows if row is not None) < 57, "the ball was above the wall"


def test_wrappers_do_not_matter() -> None:
    env = wrap_atari(gym.make("BreakoutNoFrameskip-v4"), n_stack=4)
    env.reset(seed=0)
    state = read_state(env)
    assert (state.paddle_x, state.paddle_width, state.lives) == (107, 16, 5)
    assert state.ball_in_play, "FIRE was pressed"
    assert state.bricks.shape == (6, 18)
    assert state.bricks.all()


def test_before_fire_there_is_no_ball() -> None:
    env = gym.make("BreakoutNoFrameskip-v4")
    env.reset(seed=0)
    state = read_state(env)
    assert (state.ball_x, state.ball_y, state.ball_in_play) == (None, None, False)


@pytest.mark.parametrize("env_id", ["PongNoFrameskip-v4", "CartPole-v1"])
def test_another_game_is_refused(env_id: str) -> None:
    env = gym.make(env_id)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"only Breakout can be read so, got .*" + env_id):
        read_state(env)


def test_a_variant_of_breakout_is_refused() -> None:
    env = gym.make("BreakoutNoFrameskip-v4", mode=4)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="got mode=4: leave mode out"):
        read_state(env)
