"""Importing this module registers our environment ids: RL Zoo's ``--gym-packages`` wants that.

It and :mod:`sb3_atari_course.native_zoo` are the modules of the package whose import does
something. Elsewhere call :func:`sb3_atari_course.envs.register_envs`.
"""

from sb3_atari_course.envs import register_envs

register_envs()
