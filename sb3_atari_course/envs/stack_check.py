"""A warning about frames that are stacked twice: by two wrappers, or by a wrapper and a yml."""

from __future__ import annotations

import warnings
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space

#: Colour frames in a usual stack (4) times their channels.
_MOST_CHANNELS = 12


def warn_if_stacked_twice(space: spaces.Space[Any]) -> None:
    """Warn of images with more channels than a usual stack has: it was perhaps stacked again.

    :param space: of the observations; the axis that is shortest has the channels, as SB3 has it.
    """
    n_channels = min(space.shape or (0,)) if is_image_space(space) else 0
    if n_channels > _MOST_CHANNELS:
        warnings.warn(
            f"observations have {n_channels} channels, more than 4 colour frames"
            f" ({_MOST_CHANNELS}): were stacked frames stacked again? make_atari_env and n_stack of"
            " wrap_atari stack already: leave out VecFrameStack, or frame_stack in a yml",
            stacklevel=1,  # this line, so that Python shows the same text once
        )
