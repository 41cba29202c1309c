"""Checks of arguments that more than one module needs: which value was wrong, and what to do."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


def integer_at_least(minimum: int, name: str, value: Any) -> int:
    """Return ``value`` as an int.

    :param minimum: smallest value allowed.
    :param name: name of the argument, for the message.
    :param value: what the caller passed; anything that is an exact integer, numpy's too.
    :raises TypeError: if it is no integer.
    :raises ValueError: if it is below ``minimum``.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def boolean(name: str, value: Any) -> bool:
    """Return ``value`` as a bool.

    :param name: name of the argument, for the message.
    :param value: what the caller passed: a Python or NumPy bool; ``"no"`` or 0 are not flags.
    :raises TypeError: if it is anything else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def probability(name: str, value: Any) -> float:
    """Return ``value`` as a float from 0 to 1.

    :param name: name of the argument, for the message.
    :param value: what the caller passed; any real number, numpy's too.
    :raises TypeError: if it is not a number.
    :raises ValueError: if it is below 0, above 1 or NaN.
    """
    number = finite_number(name, value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} must be a probability from 0 to 1, got {value!r}")
    return number


def finite_number(name: str, value: Any) -> float:
    """Return ``value`` as a float.

    :param name: name of the argument, for the message.
    :param value: what the caller passed; any real number, numpy's too.
    :raises TypeError: if it is no number.
    :raises ValueError: if it is infinite or not a number (NaN).
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


class RecordConstructorArgs(gym.utils.RecordConstructorArgs):
    """Gymnasium's record of a wrapper's arguments, by which ``env.spec`` goes to JSON and back.

    NumPy's arrays and numbers, which JSON does not hold, are recorded as lists and Python's own.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{name: _plain(value) for name, value in kwargs.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def image_space(env: gym.Env[Any, Any], wrapper: str) -> spaces.Box:
    """Return the observation space of ``env`` if it holds images.

    :param env: any environment.
    :param wrapper: who asks, for the message.
    :return: a uint8 Box of shape (h, w) or (h, w, channels).
    :raises ValueError: if the observations are no such images.
    """
    space = env.observation_space
    if (
        not isinstance(space, spaces.Box)
        or len(space.shape) not in (2, 3)
        or space.dtype != np.uint8
    ):
        raise ValueError(
            f"{wrapper} needs images (a uint8 Box of shape (h, w) or (h, w, channels)) as"
            f" observations, got {space}; for an Atari game choose obs_type='rgb' or 'grayscale'"
        )
    return space
