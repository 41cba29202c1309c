"""Lives, scores and lengths of all games: what has ended, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course.envs.native.batch import Played

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """What a step has ended, for n games; numbers as they were before a new game began.

    :param over: (n,) the game is over or was cut off.
    :param truncated: (n,) it was cut off.
    :param life_lost: (n,) a life was lost, and the game goes on.
    :param lives: (n,) lives left; 0 at a game over.
    :param frame_number: (n,) frames that the emulator has played since it was seeded.
    :param episode_frame_number: (n,) frames of the game, no-ops included.
    :param lengths: (n,) frames of the game, without those that the emulator plays during a reset.
    :param scores: (n,) unclipped score of the game so far, no-ops included.
    """

    over: Flags
    truncated: Flags
    life_lost: Flags
    lives: Numbers
    frame_number: Numbers
    episode_frame_number: Numbers
    lengths: Numbers
    scores: Numbers


class Games:
    """Counts along, as SB3's Monitor between emulator and wrappers does.

    :param n_held: frames of an agent step.
    :param n_first_frames: frames that the emulator plays during a reset.
    :param noop_scores: scores of a new game after 0, 1, ... no-ops; the last one after more.
    """

    def __init__(
        self, n_held: int, *, n_first_frames: int = 0, noop_scores: Sequence[int] | Numbers = (0,)
    ) -> None:
        self.n_held, self.n_first_frames = n_held, n_first_frames
        self.noop_scores = np.asarray(noop_scores, np.int64)

    def begin(self, played: Played) -> None:
        """Begin all games, after a reset."""
        self._scores = self._first_scores(played)
        self._remember(played)

    def step(self, played: Played) -> Step:
        """Count one step of all games and return what it has ended."""
        over = played.terminated | played.truncated
        self._scores += played.rewards
        n_frames = played.frame_number - self._frame_number
        # the no-ops of a new game are among them; one that a no-op ended is not told apart
        n_frames = np.where(
            over, np.minimum(n_frames - played.episode_frame_number, self.n_held), n_frames
        )
        episode_frame_number = self._episode_frame_number + n_frames
        step = Step(
            over=over,
            truncated=played.truncated & ~played.terminated,
            life_lost=~over & (played.lives > 0) & (played.lives < self._lives),
            lives=np.where(over, np.where(played.terminated, 0, self._lives), played.lives),
            frame_number=self._frame_number + n_frames,
            episode_frame_number=episode_frame_number,
            lengths=episode_frame_number - self.n_first_frames,
            scores=self._scores,
        )
        self._scores = np.where(over, self._first_scores(played), self._scores)
        self._remember(played)
        return step

    def _first_scores(self, played: Played) -> Numbers:
        """Return the scores of new games: what their no-ops were rewarded with."""
        n_noops = played.episode_frame_number - self.n_first_frames
        return self.noop_scores[np.clip(n_noops, 0, len(self.noop_scores) - 1)]

    def _remember(self, played: Played) -> None:
        self._lives = played.lives.astype(np.int64)
        self._frame_number = played.frame_number.astype(np.int64)
        self._episode_frame_number = played.episode_frame_number.astype(np.int64)


def infos_of(numbers: Played | Step) -> list[dict[str, Any]]:
    """Return ale-py's numbers of each game as Python integers, as its Python env does."""
    columns = (numbers.lives, numbers.frame_number, numbers.episode_frame_number)
    return [
        {"lives": lives, "frame_number": frame, "episode_frame_number": episode_frame}
        for lives, frame, episode_frame in zip(*(c.tolist() for c in columns), strict=True)
    ]
