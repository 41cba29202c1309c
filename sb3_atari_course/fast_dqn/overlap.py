"""Work that is done while the emulators play."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


class WorkWhilePlaying(VecEnvWrapper):
    """Calls a function in each step, between sending the actions and waiting for the screens.

    :param venv: its ``step_async`` should send: ``NativeAtariVecEnv`` and ``SubprocVecEnv`` do.
    :param work: what to do meanwhile.
    """

    def __init__(self, venv: VecEnv, work: Callable[[], None]) -> None:
        super().__init__(venv)
        self._work = work

    def reset(self) -> VecEnvObs:
        """Reset."""
        return self.venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Send the actions, then work."""
        self.venv.step_async(actions)
        self._work()

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the screens."""
        return self.venv.step_wait()

    def checkpoint_state(self) -> None:
        """Return nothing: it has no state that checkpoints must hold."""

    def restore_checkpoint_state(self, state: None) -> None:
        """Restore nothing."""
