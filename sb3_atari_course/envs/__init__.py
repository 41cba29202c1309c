"""Atari environments: ids, preprocessing, native vectorized environments, saving and restoring.

- ``ids.py``: register, find and check environment ids.
- ``atari.py``: ``wrap_atari`` and ``make_atari_env``, which set the order of the wrappers.
- ``native/``: vectorized environment on ale-py's C++ backend.
- ``env_state.py``, ``emulator_state.py``, ``vec_env_state.py``: state of an environment with its
  wrappers, of an ale-py emulator, and of SB3's VecEnvs, as plain data.
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
