"""The last pictures of each game, (n_envs, n_stack, h, w), newest last."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course._common.array_pool import Scratch
from sb3_atari_course._common.validation import integer_at_least

Pictures = NDArray[np.uint8]


class Stacks:
    """Stacks the pictures of all games at once, as :class:`.FrameStack` does those of one.

    Arrays that were handed out are never written to again while anyone holds them, and nothing
    that is written into them comes back.

    :param n_envs: number of games.
    :param n_stack: pictures in one observation, at least 1.
    :param shape: (h, w) of a picture.
    :param padding: what stands for the past at the start: ``"repeat"`` or ``"zero"``.
    :raises ValueError: for another ``padding`` or an ``n_stack`` below 1.
    """

    def __init__(
        self, n_envs: int, n_stack: int, shape: tuple[int, int], padding: Literal["repeat", "zero"]
    ) -> None:
        if padding not in ("repeat", "zero"):
            raise ValueError(f"padding must be 'repeat' or 'zero', got {padding!r}")
        self.padding = padding
        self.shape = (n_envs, integer_at_least(1, "n_stack", n_stack), *shape)
        self._now = np.zeros(self.shape, np.uint8)
        self._scratch = Scratch()

    def room(self) -> Pictures:
        """Return room for the next stacks, (n_envs, n_stack, h, w) uint8, with anything in it."""
        return self._scratch.array(self.shape)

    def move_on(self, stacks: Pictures) -> None:
        """Fill in all but the newest pictures, which others may be drawing at the same time.

        :param stacks: (n_envs, n_stack, h, w), changed in place in ``[:, :-1]``.
        """
        stacks[:, :-1] = self._now[:, 1:]
        self._now[:, :-1] = stacks[:, :-1]

    def begin(self, stacks: Pictures, games: NDArray[np.bool_]) -> None:
        """Let the newest picture of some games be their first one.

        :param stacks: (n_envs, n_stack, h, w), changed in place.
        :param games: (n_envs,) which ones.
        """
        if games.any():
            first = stacks[games, -1:]
            stacks[games, :-1] = first if self.padding == "repeat" else 0

    def keep(self, stacks: Pictures, begun: NDArray[np.bool_]) -> None:
        """Remember these stacks: the next ones follow them.

        :param stacks: (n_envs, n_stack, h, w), moved on.
        :param begun: (n_envs,) games that began anew.
        """
        self._now[:, -1] = stacks[:, -1]
        if begun.any():
            self._now[begun] = stacks[begun]

    def newest(self) -> Pictures:
        """Return a copy of the newest pictures, (n_envs, h, w)."""
        return self._now[:, -1].copy()
