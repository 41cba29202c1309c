"""Gymnasium wrappers between an emulator and an agent, in the order in which the data meets them.

- ``timing``: :class:`ActionRepeat`, how long an action lasts.
- ``episode``: :class:`NoopReset`, :class:`LifeLossTerminal`, :class:`FireOnReset`, when an episode
  starts and ends.
- ``screen``: :class:`CropGrayResize`, :class:`FrameStack`, the observation.
- ``spaces``: :class:`ClipReward`, the reward; :class:`DiscretizeActions` and
  :class:`DiscretizeObservations` for continuous environments.

Each stands alone around any :func:`gymnasium.make`; :func:`sb3_atari_course.envs.wrap_atari` is
the one place that knows their order. ``checkpoint_fields`` names what changes while playing.
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
