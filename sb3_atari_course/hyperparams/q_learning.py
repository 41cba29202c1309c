"""Hyperparameters of ``q_learning.yml``, for ``-conf sb3_atari_course.hyperparams.q_learning``."""

from sb3_atari_course.hyperparams import read_at_each_access

__getattr__ = read_at_each_access("q_learning")
