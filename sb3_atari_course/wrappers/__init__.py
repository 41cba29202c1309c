"""Gymnasium wrappers between an emulator and an agent, in the order in which the data meets them.

- :class:`ActionRepeat` (``timing``): how long an action lasts.
- :class:`NoopReset`, :class:`LifeLossTerminal`, :class:`FireOnReset` (``episode``): when an episode
  starts and ends.
- :class:`CropGrayResize`, :class:`FrameStack` (``screen``): what the agent sees.
- :class:`ClipReward` (``reward``): what it is paid.
- :class:`DiscretizeActions` (``actions``): what it may do.
- :class:`DiscretizeObservations` (``observations``): what a table sees of continuous observations.

Each stands alone around any :func:`gymnasium.make`; :func:`sb3_atari_course.envs.wrap_atari` is
the one place that knows their order.
"""

from sb3_atari_course.wrappers.actions import DiscretizeActions
from sb3_atari_course.wrappers.episode import FireOnReset, LifeLossTerminal, NoopReset
from sb3_atari_course.wrappers.observations import DiscretizeObservations
from sb3_atari_course.wrappers.reward import ClipReward
from sb3_atari_course.wrappers.screen import CropGrayResize, FrameStack, crop_gray_resize
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
