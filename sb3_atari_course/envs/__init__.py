"""Atari environments: ids, wrapped games, the native vector environment, saving and restoring.

- ``ids.py``          registering, finding and checking environment ids
- ``atari.py``        ``wrap_atari``, ``make_atari_env``: the one place that knows the order
- ``native/``         many games at once, in ale-py's C++ threads
- ``env_state.py``, ``emulator_state.py``, ``vec_env_state.py``  state of an environment with its
  wrappers, of an emulator with the action that sticks, and of SB3's VecEnvs, as plain data
"""

from sb3_atari_course.envs.atari import GRAY_SCREENS, make_atari_env, make_game, wrap_atari
from sb3_atari_course.envs.ids import (
    find_spec,
    import_packages,
    is_atari,
    register_envs,
)
from sb3_atari_course.wrappers.screen import warn_if_stacked_twice

__all__ = [
    "GRAY_SCREENS",
    "find_spec",
    "import_packages",
    "is_atari",
    "make_atari_env",
    "make_game",
    "register_envs",
    "warn_if_stacked_twice",
    "wrap_atari",
]
