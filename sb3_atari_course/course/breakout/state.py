"""Where paddle, ball and bricks of Breakout are, read from the emulator's memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from ale_py.env import AtariEnv
from numpy.typing import NDArray

#: Rows and columns of the wall; a brick is 6 rows high and 8 columns wide (pixels).
WALL_SHAPE = (6, 18)
BRICK_HEIGHT, BRICK_WIDTH = 6, 8
#: The pixel of the upper left corner of the wall.
WALL_TOP, WALL_LEFT = 57, 8

# Found by comparing memory and screen; tests/breakout/test_state.py proves it anew.
_BALL_X, _BALL_Y, _PADDLE_X, _HALF_PADDLE = 99, 101, 72, 108
_BALL_LEFT_AT_ZERO, _BALL_TOP_AT_ZERO, _PADDLE_LEFT_AT_ZERO = -49, 9, -47
_NO_BALL = 0  # in _BALL_Y

# The wall is a playfield of the console, two bits a brick. For each column of bricks: where its six
# bytes begin (lowest row first), and one of its bits. The console draws some bytes back to front.
_BYTES = (30, 24, 24, 24, 24, 18, 18, 18, 18, 12, 12, 6, 6, 6, 6, 0, 0, 0)
_BITS = (7, 7, 5, 3, 1, 1, 3, 5, 7, 5, 7, 7, 5, 3, 1, 1, 3, 5)
_BRICK_BYTES = np.array(_BYTES)[None, :] + np.arange(5, -1, -1)[:, None]  # (6, 18)
_BRICK_BITS = np.array(_BITS, dtype=np.uint8)[None, :]


@dataclass(frozen=True, eq=False)
class BreakoutState:
    """One frame of Breakout, in pixels of the screen of 210 rows and 160 columns.

    :param paddle_x: column of the middle of the paddle; the wall on the right can hide half of it.
    :param paddle_width: in pixels: 16, or 12 once the ball has touched the top.
    :param ball_x: column of the middle of the ball (2 wide, 4 high), None if none is in play.
    :param ball_y: row of the middle of the ball, None if none is in play. Beside bricks the console
        draws it up to one row higher.
    :param lives: lives left, that which is being played included: 5 at the start.
    :param bricks: (6, 18) bool, which bricks stand, the top row first.
    """

    paddle_x: int
    paddle_width: int
    ball_x: int | None
    ball_y: int | None
    lives: int
    bricks: NDArray[np.bool_]

    @property
    def ball_in_play(self) -> bool:
        """Tell whether there is a ball; without one the game waits for FIRE."""
        return self.ball_y is not None


def read_state(env: gym.Env[Any, Any]) -> BreakoutState:
    """Read the frame that the emulator shows now.

    The memory is surer than the pixels: the ball has the colour of the bricks beside it, and walls
    hide it.

    :param env: Breakout, with any wrappers around it.
    :raises ValueError: if it is another game, or a variant of Breakout (``mode``).
    """
    emulator = breakout_behind(env)
    return state_of(emulator.ale.getRAM(), lives=emulator.ale.lives())


def state_of(ram: NDArray[np.uint8], *, lives: int) -> BreakoutState:
    """Return what the memory of the console says.

    :param ram: (128,) uint8, as ale-py's ``getRAM`` returns it.
    :param lives: as ale-py's ``lives`` tells them.
    """
    half_paddle = int(ram[_HALF_PADDLE])
    has_ball = ram[_BALL_Y] != _NO_BALL
    return BreakoutState(
        paddle_x=int(ram[_PADDLE_X]) + _PADDLE_LEFT_AT_ZERO + half_paddle,
        paddle_width=2 * half_paddle,
        ball_x=int(ram[_BALL_X]) + _BALL_LEFT_AT_ZERO + 1 if has_ball else None,
        ball_y=int(ram[_BALL_Y]) + _BALL_TOP_AT_ZERO + 2 if has_ball else None,
        lives=lives,
        bricks=(ram[_BRICK_BYTES] >> _BRICK_BITS & 1).astype(bool),
    )


def breakout_behind(env: gym.Env[Any, Any]) -> Any:
    """Return the ale-py emulator of Breakout inside all wrappers.

    :raises ValueError: if it is another game, or a variant of Breakout (``mode``).
    """
    emulator: Any = env.unwrapped
    if not isinstance(emulator, AtariEnv) or emulator._game != "breakout":
        raise ValueError(
            f"only Breakout can be read so, got {env}: make it with BreakoutNoFrameskip-v4"
        )
    if emulator._game_mode not in (None, 0):
        raise ValueError(
            f"only Breakout's usual game can be read so, got mode={emulator._game_mode}:"
            " leave mode out"
        )
    return emulator
