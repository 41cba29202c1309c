"""Which file of a run is the best one? Chosen on games of their own, never those of the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sb3_atari_course.zoo.run_folder import Run


@dataclass(frozen=True)
class Selection:
    """The best of several files, and how it was chosen.

    :param run: the best one.
    :param seed: of the games.
    :param n_games: of each file.
    :param means: name of the file -> mean score.
    """

    run: Run
    seed: int
    n_games: int
    means: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        chosen = self.run.model_path.name
        return {
            "chosen": chosen,
            "seed": self.seed,
            "n_games": self.n_games,
            "means": self.means,
        }


def choose_best(candidates: list[Run], *, seed: int, n_games: int, **settings: Any) -> Selection:
    """Score each file and return the best; of equal ones the first.

    :param settings: further arguments of :meth:`Run.evaluate`.
    :raises ValueError: as :meth:`Run.evaluate`.
    """
    means = {
        run.model_path.name: round(
            run.evaluate(seed=seed, n_games=n_games, random_play=False, **settings).mean, 3
        )
        for run in candidates
    }
    best = max(candidates, key=lambda run: means[run.model_path.name])
    return Selection(best, seed, n_games, means)
