"""A player of Breakout, and what the pixels show, found the stupid way."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

NOOP, FIRE, RIGHT, LEFT = range(4)


def standing_bricks(screen: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which bricks stand, (6, 18): more of a cell is coloured than a ball can colour."""
    wall = screen[57:93, 8:152].max(axis=2) > 0
    n_coloured = wall.reshape(6, 6, 18, 8).sum(axis=(1, 3))  # (row, line, column, pixel)
    bricks: NDArray[np.bool_] = n_coloured > 8
    return bricks


def loose_pixels(screen: NDArray[np.uint8], bricks: NDArray[np.bool_]) -> set[tuple[int, int]]:
    """Return (row, column) of all that is between the walls, above the paddle, and no brick."""
    coloured = screen[32:189, 8:152].max(axis=2) > 0
    coloured[25:61] &= ~bricks.repeat(6, axis=0).repeat(8, axis=1)
    return {(32 + int(y), 8 + int(x)) for y, x in np.argwhere(coloured)}


def paddle_columns(screen: NDArray[np.uint8]) -> list[int]:
    """Return the columns between the walls that the paddle fills."""
    red = (screen[189:193] == (200, 72, 72)).all(axis=(0, 2))
    return [int(x) for x in np.flatnonzero(red) if 8 <= x < 152]


def dig_tunnel(env: gym.Env[Any, Any]) -> None:
    """Take ten columns of bricks out of the wall, so that a ball is above it soon.

    Only once a brick was hit: until then the game mends the wall.
    """
    for address in range(6, 24):
        env.unwrapped.ale.setRAM(address, 0)  # type: ignore[attr-defined]


def follow(ram: NDArray[np.uint8], aim: int) -> int:
    """Return the action of a player who knows the addresses by heart, for one frame.

    :param aim: columns between the middle of the paddle and the ball that it wants.
    """
    if ram[101] == 0:
        return FIRE
    away = int(ram[99]) - 48 - (int(ram[72]) - 39 + aim)
    return RIGHT if away > 3 else LEFT if away < -3 else NOOP
