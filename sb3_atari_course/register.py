"""Registration of the environment ids on import, for RL Zoo's ``--gym-packages``.

This module and :mod:`sb3_atari_course.native_zoo` are the only ones with a side effect on import.
Elsewhere call :func:`sb3_atari_course.envs.register_envs`.
"""

from sb3_atari_course.envs import register_envs

register_envs()
