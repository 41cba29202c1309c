"""``-conf sb3_atari_course.hyperparams.dqn_laptop``: see :mod:`sb3_atari_course.hyperparams`."""

from sb3_atari_course.hyperparams import read_at_each_access

__getattr__ = read_at_each_access("dqn_laptop")
