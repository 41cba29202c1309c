"""A wrapper for worker processes: it saves and restores there what the main process asks for."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from sb3_atari_course._common.state_tree import Tree
from sb3_atari_course.envs.state.env_state import (
    EnvStateError,
    UnsavableEnvError,
    monitor_file,
    read_env,
    write_env,
)


class SavableEnv(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Lets checkpoints reach an environment inside SB3's SubprocVecEnv.

    It must be the outermost wrapper: the last one in the ``env_wrapper`` list of an RL Zoo yml, or
    ``wrapper_class`` of SB3's ``make_vec_env``. It changes nothing of what is played.

    In a worker process it makes Ctrl-C a matter of the main process, which stops the training
    cleanly; the signal goes to all processes of a terminal. SIGTERM still ends the worker.

    :param env: any environment.
    """

    #: Not a layer of the environment's state.
    only_calls_checkpoints = True

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        in_worker = multiprocessing.parent_process() is not None
        if in_worker and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    # An exception would end the worker, so these return what went wrong.

    def checkpoint_tree(self) -> tuple[Tree, str | None]:
        """Return the state of the environment, or None and why there is none."""
        try:
            return read_env(self.env), None
        except UnsavableEnvError as error:
            return None, str(error)

    def restore_checkpoint_tree(self, state: Tree) -> str | None:
        """Put a state into the environment; return why that cannot be, None if it is done."""
        try:
            write_env(self.env, state)
        except EnvStateError as error:
            return str(error)
        return None

    def checkpoint_monitor_file(self) -> str | None:
        """Return the path of the file that SB3's Monitor writes, None for none."""
        return monitor_file(self.env)
