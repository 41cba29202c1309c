"""Observation wrappers: grayscale conversion, cropping, resizing and frame stacking."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal, SupportsFloat

import cv2
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space

from sb3_atari_course._common.validation import explain_arguments, integer_at_least

Screen = NDArray[np.uint8]
Crop = tuple[int, int, int, int]

#: Channels of a stack of 4 RGB frames; more suggest stacking twice.
_MAX_CHANNELS = 12


@explain_arguments
def crop_gray_resize(
    screen: Screen, *, crop: Crop | None = None, shape: tuple[int, int] = (84, 84)
) -> Screen:
    """Crop a frame, convert it to grayscale and resize it.

    Grayscale is ITU-R BT.601 luma, as in SB3, Gymnasium, TensorFlow and ale-py (scikit-image uses
    BT.709). Resizing uses area interpolation. Cropping first gives the same pixels as converting
    first, with less work.

    :param screen: frame, RGB of shape (H, W, 3) or grayscale of shape (H, W, 1) or (H, W); uint8.
    :param crop: (top, bottom, left, right), slice bounds in pixels; None for the whole frame.
    :param shape: (h, w) of the result in pixels.
    :return: a new array of shape (h, w, 1), uint8.

    >>> crop_gray_resize(np.zeros((210, 160, 3), np.uint8), crop=(30, 195, 5, 155)).shape
    (84, 84, 1)
    """
    if crop is not None:
        top, bottom, left, right = crop
        screen = screen[top:bottom, left:right]
    if screen.ndim == 3 and screen.shape[2] == 3:
        screen = cv2.cvtColor(screen, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
    small: Any = cv2.resize(screen, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return small.reshape(*shape, 1)  # type: ignore[no-any-return]


class CropGrayResize(gym.ObservationWrapper[Screen, int, Screen], RecordConstructorArgs):
    """Observation wrapper: cropping, grayscale and resizing; see :func:`crop_gray_resize`.

    :param env: environment with RGB observations of shape (H, W, 3) or grayscale ones of shape
        (H, W, 1) or (H, W); uint8.
    :param crop: (top, bottom, left, right), slice bounds in pixels: rows ``top`` to ``bottom - 1``
        and columns ``left`` to ``right - 1`` are kept. ``(30, 195, 5, 155)`` is the playing field
        of Breakout. None keeps the whole frame.
    :param shape: (h, w) of the result in pixels.
    :raises ValueError: if the crop is empty or exceeds the frame, if a side of ``shape`` is not
        positive, if the observations are not RGB or grayscale images.
    :raises TypeError: if a bound or side is not an integer.

    >>> import ale_py, gymnasium as gym
    >>> env = CropGrayResize(gym.make("BreakoutNoFrameskip-v4"), crop=(30, 195, 5, 155))
    >>> env.reset(seed=0)[0].shape
    (84, 84, 1)
    """

    checkpoint_fields = ()

    @explain_arguments
    def __init__(
        self,
        env: gym.Env[Screen, int],
        *,
        crop: Sequence[int] | None = None,
        shape: Sequence[int] = (84, 84),
    ) -> None:
        super().__init__(env)
        screen = _image_shape(env, "CropGrayResize")
        if len(screen) == 3 and screen[2] not in (1, 3):
            raise ValueError(
                f"CropGrayResize needs RGB or grayscale frames, got {screen[2]} channels"
                f" in shape {screen}: apply it before the frame stack"
            )
        self.crop = None if crop is None else checked_crop(crop, screen)
        self.shape = checked_shape(shape)
        RecordConstructorArgs.__init__(self, crop=self.crop, shape=self.shape)
        self.observation_space = spaces.Box(0, 255, (*self.shape, 1), np.uint8)

    def observation(self, observation: Screen) -> Screen:
        """Return the preprocessed frame, (h, w, 1) uint8."""
        return crop_gray_resize(observation, crop=self.crop, shape=self.shape)


class FrameStack(gym.Wrapper[Screen, int, Screen, int], RecordConstructorArgs):
    """Frame stack: the last ``n_stack`` observations along the channel axis, newest last.

    Every returned observation is a new array.

    :param env: environment with observations of shape (h, w, c) or (h, w), uint8.
    :param n_stack: number of stacked observations, at least 1; the result has the shape
        (h, w, n_stack * c).
    :param padding: how the stack is filled at the start of an episode: ``"repeat"`` the first
        observation (as Gymnasium's ``FrameStackObservation``) or ``"zero"`` (as SB3's
        ``VecFrameStack``).
    :raises ValueError: if ``padding`` is unknown, if ``n_stack`` is below 1, if the observations
        are not images.
    :raises TypeError: if ``n_stack`` is not an integer.
    """

    checkpoint_fields = ("_frames",)

    @explain_arguments
    def __init__(
        self,
        env: gym.Env[Screen, int],
        *,
        n_stack: int = 4,
        padding: Literal["repeat", "zero"] = "repeat",
    ) -> None:
        super().__init__(env)
        self.n_stack = integer_at_least(1, "n_stack", n_stack)
        self.padding = checked_padding(padding)
        RecordConstructorArgs.__init__(self, n_stack=self.n_stack, padding=padding)
        height, width, *channels = _image_shape(env, "FrameStack")
        self._shape = (height, width, self.n_stack * (channels[0] if channels else 1))
        self.observation_space = spaces.Box(0, 255, self._shape, np.uint8)
        self._frames: deque[Screen] = deque(maxlen=self.n_stack)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Screen, dict[str, Any]]:
        """Reset and fill the stack according to ``padding``."""
        obs, info = self.env.reset(seed=seed, options=options)
        past = obs if self.padding == "repeat" else np.zeros_like(obs)
        self._frames.extend([past.copy()] * (self.n_stack - 1))
        return self._push(obs), info

    def step(self, action: int) -> tuple[Screen, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step and append the new observation to the stack."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._push(obs), reward, terminated, truncated, info

    def _push(self, obs: Screen) -> Screen:
        """Append one observation and return the stack, (h, w, n_stack * c)."""
        self._frames.append(obs.copy())  # the environment may reuse its array
        stack: Any = cv2.merge(list(self._frames))  # four times as fast as numpy's concatenate
        return stack.reshape(self._shape)  # type: ignore[no-any-return]


def warn_if_stacked_twice(space: spaces.Space[Any]) -> None:
    """Warn if image observations have so many channels that they were probably stacked twice.

    :param space: observation space; its shortest axis is taken as the channel axis, as in SB3.
    """
    n_channels = min(space.shape or (0,)) if is_image_space(space) else 0
    if n_channels > _MAX_CHANNELS:
        warnings.warn(
            f"observations have {n_channels} channels, more than 4 RGB frames ({_MAX_CHANNELS}):"
            " they may be stacked twice. make_atari_env and wrap_atari(n_stack=...) already stack"
            " frames: remove VecFrameStack, or frame_stack from the yml file",
            stacklevel=1,  # this line, so that Python shows the same text once
        )


def checked_crop(crop: Sequence[int], screen: tuple[int, ...]) -> Crop:
    """Return ``crop`` as four ints within a frame of shape (H, W, ...)."""
    if isinstance(crop, str) or not isinstance(crop, Sequence) or len(crop) != 4:
        raise ValueError(f"crop must be (top, bottom, left, right), got {crop!r}")
    height, width = screen[:2]
    top, bottom, left, right = (
        integer_at_least(0, f"{name} of crop {tuple(crop)}", value)
        for name, value in zip(("top", "bottom", "left", "right"), crop, strict=True)
    )
    if top >= bottom or left >= right:
        raise ValueError(
            f"crop {tuple(crop)} is empty: top must be less than bottom and left less than right"
        )
    if bottom > height or right > width:
        raise ValueError(
            f"crop {tuple(crop)} exceeds the frame of {height} rows and {width} columns:"
            f" bottom may be at most {height}, right at most {width}"
        )
    return top, bottom, left, right


def checked_padding(padding: Literal["repeat", "zero"]) -> Literal["repeat", "zero"]:
    """Return ``padding``, or raise a ValueError if it is unknown."""
    if padding not in ("repeat", "zero"):
        raise ValueError(f"padding must be 'repeat' or 'zero', got {padding!r}")
    return padding


def checked_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Return ``shape`` as two positive ints."""
    if isinstance(shape, str) or not isinstance(shape, Sequence) or len(shape) != 2:
        raise ValueError(f"shape must be (height, width) in pixels, got {shape!r}")
    height, width = (integer_at_least(1, f"each side of shape {tuple(shape)}", n) for n in shape)
    return height, width


def _image_shape(env: gym.Env[Any, Any], wrapper: str) -> tuple[int, ...]:
    """Return the shape (h, w) or (h, w, channels) of image observations."""
    space = env.observation_space
    if isinstance(space, spaces.Box) and len(space.shape) in (2, 3) and space.dtype == np.uint8:
        return space.shape
    raise ValueError(
        f"{wrapper} needs image observations (a uint8 Box of shape (h, w) or (h, w, channels)),"
        f" got {space}: for an Atari game set obs_type='rgb' or 'grayscale'"
    )
