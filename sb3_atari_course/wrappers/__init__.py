"""Gymnasium wrappers for Atari preprocessing and for discretizing continuous environments.

- ``timing``: :class:`ActionRepeat` (frame skip and max-pooling).
- ``episode``: :class:`NoopReset`, :class:`LifeLossTerminal`, :class:`FireOnReset` (start and end of
  an episode).
- ``screen``: :class:`CropGrayResize`, :class:`FrameStack` (observations).
- ``spaces``: :class:`ClipReward`, :class:`DiscretizeActions`, :class:`DiscretizeObservations`.

Each wrapper can be used individually; :func:`sb3_atari_course.envs.wrap_atari` applies the Atari
wrappers in the right order. ``checkpoint_fields`` lists the attributes of a wrapper that change
during an episode, for exact resume.
"""

from sb3_atari_course.wrappers.episode import FireOnReset, LifeLossTerminal, NoopReset
from sb3_atari_course.wrappers.screen import CropGrayResize, FrameStack, crop_gray_resize
from sb3_atari_course.wrappers.spaces import ClipReward, DiscretizeActions, DiscretizeObservations
from sb3_atari_course.wrappers.timing import ActionRepeat

__all__ = [
    "ActionRepeat",
    "ClipReward",
    "CropGrayResize",
    "DiscretizeActions",
    "DiscretizeObservations",
    "FireOnReset",
    "FrameStack",
    "LifeLossTerminal",
    "NoopReset",
    "crop_gray_resize",
]
