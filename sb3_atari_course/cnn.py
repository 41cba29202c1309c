"""An alias, which older configurations and agents name: see :mod:`sb3_atari_course.policies`."""

from sb3_atari_course.policies import AtariCNN

__all__ = ["AtariCNN"]
