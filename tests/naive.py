"""The same things done the stupid way: slow, short, obviously right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ale_py
import ale_py.roms
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from skimage import color, transform

#: Weights of red, green and blue in a grey: scikit-image's, and those of nearly everybody else.
BT709 = (0.2125, 0.7154, 0.0721)
BT601 = (0.299, 0.587, 0.114)


def preprocess(
    screen: NDArray[np.uint8],
    luma: tuple[float, float, float] = BT709,
    crop: tuple[int, int, int, int] = (30, 195, 5, 155),
    shape: tuple[int, int] = (84, 84),
) -> NDArray[np.uint8]:
    """Seed 002's preprocessing, (H, W, 3) -> (h, w), with scikit-image: grey, crop, resize."""
    top, bottom, left, right = crop
    gray = color.rgb2gray(screen) if luma == BT709 else screen @ np.array(luma) / 255
    return (transform.resize(gray[top:bottom, left:right], shape) * 255).astype(np.uint8)


def repeat_action(
    env: gym.Env[Any, Any], action: int, frame_skip: int
) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
    """Play one agent step on an environment that plays one frame, keeping all screens."""
    screens, rewards = [], []
    for _ in range(frame_skip):
        screen, reward, terminated, truncated, info = env.step(action)
        screens.append(np.array(screen))
        rewards.append(float(reward))
        if terminated or truncated:
            break
    whole = len(screens) == frame_skip and frame_skip > 1
    obs = np.max(screens[-2:], axis=0) if whole else screens[-1]
    return obs, sum(rewards), terminated, truncated, info


def replay(game: str, actions: Sequence[int]) -> tuple[float, bool]:
    """Play one game on a bare emulator, a frame an action; return its score and if it is over.

    :param game: ale-py's name of the ROM, e.g. ``"breakout"``.
    :param actions: indices into the minimal action set.
    """
    ale = ale_py.ALEInterface()
    ale.setLoggerMode(ale_py.LoggerMode.Error)
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(ale_py.roms.get_rom_path(game))
    ale.reset_game()
    legal = ale.getMinimalActionSet()
    score = sum(ale.act(legal[action]) for action in actions)
    return float(score), bool(ale.game_over())
