"""An environment for the training loops whose observations show when they were made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_atari_course.course.exercises.fake_envs import RecordingEnv
from sb3_atari_course.course.exercises.judging import WrongError

#: Top, bottom, left, right of what the agent sees of a screen; around it all is white.
CROP = (28, 190, 8, 148)

#: Marks of one game; the games of a training that is checked by marks are shorter.
GAME = 20

#: Marks that differ: as many as a byte holds.
_N_MARKS = 12 * GAME

#: Steps after which a game cannot end any more; no training here allows as many.
_LONGEST = 200


class MarkedEnv(RecordingEnv):
    """An environment whose observations show when they were made, so that none is mistaken.

    Its state is a mark, ``(20 * game + step) % 240``: no two of twelve games in a row are alike. It
    is seen as a vector (n_inputs,) float32 that begins with mark / 100, or as a screen
    (210, 160, 3) uint8 which is of the grey mark + 1 inside ``crop``. Actions change nothing.
    Games are terminated after 5, 9 or 7 steps; rewards are negative, 0 and positive in turn.

    :param screens: show screens.
    :param n_actions: number of actions.
    :param n_inputs: length of a vector.
    :param crop: top, bottom, left, right of what is not white.
    :param ends: False: games never end.
    :param time_limit: see :class:`.RecordingEnv`.
    :param first_game: number of the first game in the marks.
    :param scales: by which the rewards of each game are multiplied, the last one for all later
        games; default: 1, 2, 3, ...
    """

    def __init__(
        self,
        *,
        screens: bool = False,
        n_actions: int = 3,
        n_inputs: int = 4,
        crop: tuple[int, int, int, int] = CROP,
        ends: bool = True,
        time_limit: int | None = None,
        first_game: int = 0,
        scales: Sequence[int] = range(1, 1000),
    ) -> None:
        super().__init__(n_actions, time_limit)
        vector = spaces.Box(0.0, 3.0, (n_inputs,))
        self.observation_space = spaces.Box(0, 255, (210, 160, 3), np.uint8) if screens else vector
        self.screens, self.n_inputs, self.crop = screens, n_inputs, crop
        self.ends, self.first_game, self.scales = ends, first_game, scales
        #: Seeds with which it was reset.
        self.seeds: list[int] = []
        #: Called before each step.
        self.before_step: Callable[[], None] = lambda: None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin a game.

        :raises WrongError: if a seed is used a second time.
        """
        if seed in self.seeds:
            raise WrongError(
                f"env.reset(seed={seed}) was called more than once: with the same seed the same"
                " game is played again. Write env.reset(); who calls your function seeds env"
            )
        self.seeds += [] if seed is None else [seed]
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Play a step.

        :raises WrongError: if a real environment would refuse the action, or if a game is too long.
        """
        if not self.action_space.contains(action):
            try:
                is_number = float(action) == int(action) not in range(self.n_actions)
            except (TypeError, ValueError):
                is_number = False
            hint = (
                f"it has {self.n_actions} actions; take their number from env.action_space.n, not"
                " from a global or the lesson"
                if is_number
                else f"an action is an int, not a {type(action).__name__}: write int(...)"
            )
            raise WrongError(f"env.step got {action!r}: {hint}")
        if self.lengths and self.lengths[-1] >= _LONGEST:
            raise WrongError(f"a game has {_LONGEST} steps: max_steps must end it, too")
        self.before_step()
        return super().step(action)

    def first_state(self) -> int:
        """Return the mark of this moment."""
        game = self.first_game + len(self.lengths) - 1
        return (GAME * game + self.lengths[-1] % GAME) % _N_MARKS

    def outcome(self, action: int) -> tuple[int, float, bool]:
        """Continue by a step."""
        game, step = len(self.lengths) - 1, self.lengths[-1]
        scale = self.scales[min(game, len(self.scales) - 1)]
        reward = float(scale * (-1, 1, 0, 2)[step % 4])
        return self.first_state(), reward, self.ends and step == (5, 9, 7)[game % 3]

    def observe(self, state: int) -> NDArray[Any]:
        """Return a vector or a screen."""
        if not self.screens:
            return np.array([state, 100, *[0] * (self.n_inputs - 2)], np.float32) / 100
        screen = np.full((210, 160, 3), 255, np.uint8)
        top, bottom, left, right = self.crop
        screen[top:bottom, left:right] = state + 1
        return screen


def marks_of(observations: NDArray[Any]) -> NDArray[np.int64]:
    """Return the marks of a batch, (B, 1) for vectors, (B, n_stack) for stacks; -1 for black.

    :param observations: (B, n_inputs) or (B, n_stack, height, width).
    :raises WrongError: if the white around the screens was not cropped.
    """
    if observations.ndim == 2:
        return (observations[:, :1] * 100).round().astype(np.int64)
    if np.any(observations.max(axis=(2, 3)) != observations.min(axis=(2, 3))):
        raise WrongError(
            "a remembered frame shows the white around the field: crop each screen by the argument"
            " `crop` (not by a global), the first of a game too"
        )
    return observations[:, :, 0, 0].astype(np.int64) - 1


def show_marks(marks: Sequence[int]) -> str:
    """Return where marks come from, as text."""
    return ", ".join(
        "(black)" if mark < 0 else f"(game {mark // GAME}, step {mark % GAME})" for mark in marks
    )
