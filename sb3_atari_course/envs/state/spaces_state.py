"""The random streams of a space of actions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym

from sb3_atari_course._common.state_tree import Tree
from sb3_atari_course.envs.state.random_streams import read_generator, write_generator

Space = gym.Space[Any]


def read_space(space: Space) -> Tree:
    """Return where the streams of a space stand and of the spaces in it; None for one not begun."""
    return [
        None if part._np_random is None else read_generator(part._np_random)
        for part in _parts(space)
    ]


def write_space(space: Space, state: Tree) -> None:
    """Let them go on from there."""
    for part, stream in zip(_parts(space), state, strict=True):
        if stream is None:
            part._np_random = None  # type: ignore[assignment]  # as Space.__init__ does
        else:
            write_generator(part.np_random, stream)


def _parts(space: Space) -> Iterator[Space]:
    """Yield a space and all in it."""
    yield space
    inner = getattr(space, "spaces", ())
    for part in inner.values() if isinstance(inner, dict) else inner:
        yield from _parts(part)
