"""How a training goes, game by game: a line on the screen, a row in a file."""

from __future__ import annotations

import csv
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course._common.validation import explain_arguments, integer_at_least
from sb3_atari_course.callbacks.whole_games import WholeGames, refuse_in_event


class EpisodeRow(NamedTuple):
    """A line of the table.

    :param game: number of the game, from 1; games of all environments in the order of their ends.
    :param steps: agent steps of the training so far, of all environments together.
    :param game_steps: agent steps of the game.
    :param epsilon: the model's probability of a random action at its end; None without one.
    :param seconds: how long the game took, training included.
    :param score: its true score.
    :param mean: mean score of the last ``window`` games, or of all so far.
    :param best: highest score so far.
    """

    game: int
    steps: int
    game_steps: int
    epsilon: float | None
    seconds: float
    score: float
    mean: float
    best: float

    def __str__(self) -> str:
        epsilon = "-" if self.epsilon is None else f"{self.epsilon:.4f}"
        return (
            f"{self.game:>7} {self.steps:>10} {self.game_steps:>10} {epsilon:>8}"
            f" {self.seconds:>8.1f} {self.score:>9g} {self.mean:>9.2f} {self.best:>9g}"
        )


_HEADER = (
    f"{'game':>7} {'steps':>10} {'game steps':>10} {'epsilon':>8}"
    f" {'seconds':>8} {'score':>9} {'mean':>9} {'best':>9}"
)


class EpisodeTable(BaseCallback):
    """Prints a line for each whole game of the training, and keeps the rows.

    A ``learn()`` that counts its steps from 0 begins a new table (and file); one with
    ``reset_num_timesteps=False`` goes on in both.

    :param window: games in the moving average.
    :param every: print every so many games; rows and file have all of them.
    :param path: a CSV file for the rows, each there once its game is over; its folder is made if
        missing, a file of an earlier training is replaced.
    :raises TypeError: for a number that is no integer.
    :raises ValueError: for a number below 1; when the training begins, if no Monitor counts whole
        games, and inside of a callback that does not call this one at each step.
    """

    @explain_arguments
    def __init__(
        self, *, window: int = 100, every: int = 1, path: str | Path | None = None
    ) -> None:
        super().__init__()
        self.every = integer_at_least(1, "every", every)
        self.path = None if path is None else Path(path)
        #: :class:`EpisodeRow` of each game
        self.rows: list[EpisodeRow] = []
        self._scores: deque[float] = deque(maxlen=integer_at_least(1, "window", window))
        self._games = WholeGames()
        self._is_begun = False

    def _init_callback(self) -> None:
        refuse_in_event(self)

    def _on_training_start(self) -> None:
        if self._games.begin(self) or not self._is_begun:
            self._is_begun = True
            self.rows = []
            self._scores.clear()
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._write("w", EpisodeRow._fields)
        print(_HEADER, flush=True)

    def _on_step(self) -> bool:
        for game in self._games.finished(self):
            self._scores.append(game.score)
            row = EpisodeRow(
                game=len(self.rows) + 1,
                steps=self.num_timesteps,
                game_steps=game.n_steps,
                epsilon=getattr(self.model, "exploration_rate", None),
                seconds=round(game.seconds, 3),
                score=game.score,
                mean=float(np.mean(self._scores)),
                best=max(game.score, self.rows[-1].best if self.rows else game.score),
            )
            self.rows.append(row)
            if self.path is not None:
                self._write("a", row)
            if row.game % self.every == 0:
                print(row, flush=True)
        return True

    def checkpoint_state(self) -> Any:
        """Return what changes while training; the rows as float64, NaN for no number."""
        rows = np.array(self.rows, dtype=np.float64).reshape(-1, len(EpisodeRow._fields))
        return {"rows": rows, "is_begun": self._is_begun, "games": self._games.checkpoint_state()}

    def restore_checkpoint_state(self, state: Any) -> None:
        """Go on with the table; its file was cut back already."""
        self._is_begun = state["is_begun"]
        self.rows = [_row_of(numbers) for numbers in state["rows"].tolist()]
        self._scores.clear()
        self._scores.extend(row.score for row in self.rows[-(self._scores.maxlen or 0) :])
        self._games.restore_checkpoint_state(state["games"])

    def _write(self, mode: str, values: Any) -> None:
        """Write one line; the file is closed in between, whatever ends the training."""
        assert self.path is not None
        with open(self.path, mode, newline="") as file:
            csv.writer(file).writerow(values)


def _row_of(numbers: list[float]) -> EpisodeRow:
    """Return a row of the table from numbers alone."""
    game, steps, game_steps, epsilon, *others = numbers
    return EpisodeRow(
        int(game), int(steps), int(game_steps), None if np.isnan(epsilon) else epsilon, *others
    )
