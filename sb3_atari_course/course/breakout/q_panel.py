"""What a Q-network thinks of each action, as bars beside the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch as th
from numpy.typing import NDArray
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_course._common.validation import integer_at_least

Screen = NDArray[np.uint8]

#: Width of the panel, in pixels of the result.
PANEL_WIDTH = 240
_MARGIN = 12  # left and right of the bars
_MOST_ROW = 64  # height of one action's text and bar
_TEXT, _DIM, _BACK = (235, 235, 235), (90, 90, 90), (24, 24, 24)
_BAR, _CHOSEN_BAR = (90, 140, 200), (240, 170, 40)


def q_values_of(model: BaseAlgorithm, observation: NDArray[Any]) -> NDArray[np.float32]:
    """Return what a model expects from each action: the discounted sum of what it is paid.

    :param model: SB3's DQN, FastDQN, or sb3-contrib's QR-DQN, whose quantiles are averaged.
    :param observation: one as the environment shows it, (h, w, n_stack) or (n_stack, h, w) for
        images, or a batch of them.
    :return: (n_actions,) float32, or (B, n_actions).
    :raises TypeError: for another kind of model.
    """
    if not isinstance(model, (DQN, QRDQN)):
        raise TypeError(f"only DQN, FastDQN and QRDQN have Q-values here, got {model!r}")
    observation = np.asarray(observation)
    policy = model.policy
    policy.set_training_mode(False)
    tensor, is_batch = policy.obs_to_tensor(observation)
    with th.no_grad():
        if isinstance(model, QRDQN):
            values = model.quantile_net(tensor).mean(dim=1)  # (B, n_quantiles, n_actions)
        else:
            values = model.q_net(tensor)
    q_values: NDArray[np.float32] = values.cpu().numpy()
    return q_values if is_batch else q_values[0]


def draw_q_values(
    frame: Screen,
    q_values: Sequence[float] | NDArray[Any],
    names: Sequence[str],
    *,
    chosen: int | None = None,
    limits: tuple[float, float] | None = None,
    scale: int = 3,
) -> Screen:
    """Draw the Q-values as labelled bars to the right of an enlarged screen.

    Bars begin at 0, to the left if they are negative.

    :param frame: (H, W, 3) uint8 RGB.
    :param q_values: (n_actions,).
    :param names: of the actions, as ``get_action_meanings`` tells them.
    :param chosen: the action taken, which is drawn in another colour.
    :param limits: Q-values at the left and right end of the bars, 0 between them or at an end; pass
        the same ones through a whole game, so that bars can be compared. Values beyond are cut off
        at the end, their number is still right. None: those of ``q_values``.
    :param scale: each pixel of the screen becomes so many pixels wide and high.
    :return: (H * scale, W * scale + 240, 3) uint8, an array of its own.
    :raises ValueError: for what does not fit together: number of names, action, limits, frame.
    """
    values = np.asarray(q_values, dtype=np.float64)
    integer_at_least(1, "scale", scale)
    _check(frame, values, names, chosen)
    low, high = _checked_limits(limits, values)
    height, width = frame.shape[0] * scale, frame.shape[1] * scale
    canvas = np.full((height, width + PANEL_WIDTH, 3), _BACK, np.uint8)
    canvas[:, :width] = frame.repeat(scale, axis=0).repeat(scale, axis=1)

    left, right = width + _MARGIN, width + PANEL_WIDTH - _MARGIN
    row = min(_MOST_ROW, height // len(values))
    top = (height - row * len(values)) // 2
    for action, (name, value) in enumerate(zip(names, values, strict=True)):
        color = _CHOSEN_BAR if action == chosen else _BAR
        _draw_bar(canvas, top + action * row, row, (left, right), (low, high), value, color)
        _write(canvas, name, left, top + action * row, row, _TEXT)
        _write(canvas, f"{value:.2f}", right, top + action * row, row, _TEXT, flush_right=True)
    return canvas


def _check(frame: Screen, values: NDArray[Any], names: Sequence[str], chosen: int | None) -> None:
    """Refuse arguments that do not fit together."""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(
            f"frame must be (H, W, 3) uint8, got {frame.shape} {frame.dtype}: make the game with"
            " render_mode='rgb_array' and pass what env.render() returns"
        )
    if values.ndim != 1 or len(values) != len(names) or not len(values):
        raise ValueError(
            f"one Q-value and one name for each action, got shape {values.shape} and"
            f" {len(names)} names"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"Q-values must be finite, got {values}")
    if chosen is not None and not 0 <= chosen < len(values):
        raise ValueError(f"chosen must be an action, 0 to {len(values) - 1}, got {chosen}")


def _checked_limits(
    limits: tuple[float, float] | None, values: NDArray[Any]
) -> tuple[float, float]:
    """Return the ends of the scale, with 0 among them."""
    if limits is None:
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        return (low, high) if low < high else (0.0, 1.0)
    low, high = (float(limit) for limit in limits)
    if not (np.isfinite([low, high]).all() and low <= 0 <= high and low < high):
        raise ValueError(f"limits must be (low, high) with low <= 0 <= high, got {(low, high)}")
    return low, high


def _draw_bar(
    canvas: Screen,
    top: int,
    row: int,
    ends: tuple[int, int],
    limits: tuple[float, float],
    value: float,
    color: tuple[int, int, int],
) -> None:
    """Draw one bar in the lower half of its row, and the line of 0."""
    columns = np.interp([0.0, value], limits, ends).round().astype(int)
    upper, lower = top + row // 2 + 2, top + row - 4
    canvas[upper:lower, ends[0] : ends[1]] = _BACK
    canvas[(upper + lower) // 2, ends[0] : ends[1]] = _DIM
    canvas[upper:lower, min(columns) : max(columns)] = color
    canvas[upper - 2 : lower + 2, columns[0] : columns[0] + 1] = _TEXT


def _write(
    canvas: Screen,
    text: str,
    column: int,
    top: int,
    row: int,
    color: tuple[int, int, int],
    *,
    flush_right: bool = False,
) -> None:
    """Write text into the upper half of a row, beginning or ending at a column."""
    size = min(0.6, row / 72)  # a letter is 22 pixels high at 1
    font = cv2.FONT_HERSHEY_SIMPLEX
    if flush_right:
        column -= cv2.getTextSize(text, font, size, 1)[0][0]
    cv2.putText(canvas, text, (column, top + row // 2 - 3), font, size, color, 1, cv2.LINE_AA)
