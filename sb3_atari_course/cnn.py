"""Alias of ``AtariCNN`` for older configuration files; see :mod:`sb3_atari_course.policies`."""

from sb3_atari_course.policies import AtariCNN

__all__ = ["AtariCNN"]
