"""What was seen in several games of Breakout, in numbers and as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sb3_atari_course.course.breakout.tally import GameTally


@dataclass(frozen=True)
class LifeStart:
    """How a life began that was not begun by a forced FIRE.

    :param n_waited: agent steps without a ball, the one that began it not counted.
    :param by: who pressed FIRE: the ``"agent"``, ``"chance"`` (a random action of epsilon), or
        ``"nobody"`` until the game was cut off.
    """

    n_waited: int
    by: str


@dataclass(frozen=True)
class WatchReport:
    """What :func:`~sb3_atari_course.course.breakout.watch_games` saw.

    Shares are 0 to 1. What cannot be told is None: the share of bricks hit from above if none was
    hit, say.

    :param games: the counts of each game, in order.
    :param lives: how the lives of all games began; empty if FIRE was forced.
    :param protocol: how they were played, name -> value.
    """

    games: tuple[GameTally, ...]
    lives: tuple[LifeStart, ...]
    protocol: dict[str, Any]

    @property
    def scores(self) -> tuple[float, ...]:
        """True score of each game."""
        return tuple(game.score for game in self.games)

    @property
    def score(self) -> float:
        """Mean score."""
        return float(np.mean(self.scores))

    @property
    def fired_share(self) -> float | None:
        """Share of lives that the agent began by its own FIRE; None if FIRE was forced."""
        return _mean([life.by == "agent" for life in self.lives])

    @property
    def wait(self) -> float | None:
        """Mean number of agent steps before the agent's own FIRE."""
        return _mean([life.n_waited for life in self.lives if life.by == "agent"])

    @property
    def distance(self) -> float | None:
        """Mean distance of paddle and ball in pixels while it falls in the lower half."""
        return _mean([pixels for game in self.games for pixels in game.distances])

    @property
    def bricks(self) -> float:
        """Mean number of bricks a game."""
        return float(np.mean([game.n_bricks for game in self.games]))

    @property
    def from_above_share(self) -> float | None:
        """Share of bricks that a falling ball hit."""
        n_bricks = sum(game.n_bricks for game in self.games)
        return sum(game.n_from_above for game in self.games) / n_bricks if n_bricks else None

    @property
    def longest_rally(self) -> int:
        """Most returns in one life, of all games."""
        return max(game.longest_rally for game in self.games)

    @property
    def n_capped(self) -> int:
        """Games that were cut off."""
        return sum(game.was_capped for game in self.games)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values, ready for a row of a table or for JSON."""
        names = ["score", "fired_share", "wait", "distance", "bricks", "from_above_share"]
        numbers = {name: getattr(self, name) for name in [*names, "longest_rally", "n_capped"]}
        return {**numbers, "scores": self.scores, "protocol": dict(self.protocol)}

    def __str__(self) -> str:
        n_games, n_lives = len(self.games), len(self.lives)
        fires = "begins lives itself: unknown, FIRE is forced"
        if self.fired_share is not None:
            fires = f"begins lives itself: {self.fired_share:.0%} of {n_lives}"
            if self.wait is not None:
                fires += f", after {self.wait:.1f} steps on average"
        distance = "the ball never fell in the lower half"
        if self.distance is not None:
            distance = (
                f"follows the ball: {self.distance:.1f} pixels away (mean, while it falls in the"
                " lower half)"
            )
        above = "" if self.from_above_share is None else f", {self.from_above_share:.1%} from above"
        return "\n".join(
            [
                f"Breakout: {self.score:.2f} +- {np.std(self.scores):.2f}"
                f" (mean +- SD of {n_games} games)",
                fires,
                distance,
                f"bricks: {self.bricks:.1f} a game{above}",
                f"longest rally: {self.longest_rally} returns",
                f"cut off: {self.n_capped} of {n_games} games",
                "protocol: " + ", ".join(f"{k} {v}" for k, v in self.protocol.items()),
            ]
        )


def _mean(values: list[Any]) -> float | None:
    """Return the mean, None of nothing."""
    return float(np.mean(values)) if values else None
