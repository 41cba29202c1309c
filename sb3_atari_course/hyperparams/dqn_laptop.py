"""Hyperparameters of ``dqn_laptop.yml``; see :mod:`sb3_atari_course.hyperparams`."""

from sb3_atari_course.hyperparams import read_at_each_access

__getattr__ = read_at_each_access("dqn_laptop")
