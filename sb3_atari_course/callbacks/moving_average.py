"""When a training has reached its aim: an early end."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course._common.validation import explain_arguments, finite_number, integer_at_least
from sb3_atari_course.callbacks.whole_games import WholeGames, refuse_in_event


class StopOnMovingAverage(BaseCallback):
    """Ends the training once the mean score of the last ``window`` whole games is high enough.

    The games are those of the training, exploration included; all environments count together.
    SB3's ``StopTrainingOnRewardThreshold`` looks at evaluations instead. A ``learn()`` that counts
    its steps from 0 begins to count the games anew, too.

    :param threshold: mean score at which the training ends, 195 for CartPole-v0, say.
    :param window: games in the mean; before so many are finished nothing ends.
    :param verbose: 1 prints a line at the end, 0 nothing.
    :raises TypeError: for a value that is no number.
    :raises ValueError: for a ``window`` below 1, an infinite ``threshold``; when the training
        begins, if no Monitor counts whole games, and inside of a callback that does not call this
        one at each step.
    """

    @explain_arguments
    def __init__(self, threshold: float, *, window: int = 100, verbose: int = 1) -> None:
        super().__init__(verbose)
        self.threshold = finite_number("threshold", threshold)
        self.window = integer_at_least(1, "window", window)
        self.n_games = 0
        self._scores: deque[float] = deque(maxlen=self.window)
        self._games = WholeGames()

    def _init_callback(self) -> None:
        refuse_in_event(self)

    def _on_training_start(self) -> None:
        if self._games.begin(self):
            self._scores.clear()
            self.n_games = 0

    def _on_step(self) -> bool:
        for game in self._games.finished(self):
            self.n_games += 1
            self._scores.append(game.score)
            if len(self._scores) == self.window and np.mean(self._scores) >= self.threshold:
                if self.verbose:
                    print(
                        f"stopped after {self.n_games:,} games and {self.num_timesteps:,} steps:"
                        f" mean score of the last {self.window} games {np.mean(self._scores):g}"
                        f" >= {self.threshold:g}"
                    )
                return False
        return True

    def checkpoint_state(self) -> Any:
        """Return what changes while training."""
        games = self._games.checkpoint_state()
        return {"n_games": self.n_games, "scores": list(self._scores), "games": games}

    def restore_checkpoint_state(self, state: Any) -> None:
        """Go on counting from there."""
        self.n_games = state["n_games"]
        self._scores = deque(state["scores"], maxlen=self.window)
        self._games.restore_checkpoint_state(state["games"])
