"""Hyperparameters of ``fast_dqn.yml``, for ``-conf sb3_atari_course.hyperparams.fast_dqn``."""

from sb3_atari_course.hyperparams import read_at_each_access

__getattr__ = read_at_each_access("fast_dqn")
