"""A training that ends when its time is over, its schedules with it."""

from __future__ import annotations

import time

from stable_baselines3.common.callbacks import BaseCallback


class WallClock(BaseCallback):
    """Ends a training after so many minutes, and stretches its schedules over them.

    What falls with SB3's progress (epsilon, learning rates) falls with the share of the time that
    has gone by, whatever ``n_timesteps`` says; counts of steps (``learning_starts``) stay. Such a
    training cannot be repeated to the bit, and has to be given more ``n_timesteps`` than it plays.

    :param minutes: from the first step of the environments on.
    """

    def __init__(self, minutes: float) -> None:
        super().__init__()
        self.minutes = minutes

    def _on_training_start(self) -> None:
        self._start = time.perf_counter()

    def _on_step(self) -> bool:
        share = (time.perf_counter() - self._start) / (60 * self.minutes)
        self.model._total_timesteps = max(round(self.num_timesteps / max(share, 1e-9)), 1)
        return share < 1
