"""A training told as lists of numbers: how long its episodes were, and what they returned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sb3_atari_course._common.validation import integer_at_least
from sb3_atari_course.report.figure import make_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_episodes(
    lengths: Sequence[float], returns: Sequence[float], *, window: int = 100
) -> Figure:
    """Draw the length and the return of each episode, each on an axis of its own.

    :param lengths: steps of each episode, in order.
    :param returns: sum of rewards of each episode.
    :param window: episodes over which the thick lines are averaged.
    :return: the figure; a notebook shows it, ``figure.savefig(path)`` keeps it.
    :raises ValueError: if there are no episodes, or not as many lengths as returns.
    :raises ImportError: without the extra ``plots``.
    """
    if len(lengths) != len(returns):
        raise ValueError(
            f"one length and one return for each episode, got {len(lengths)} and {len(returns)}"
        )
    if not len(lengths):
        raise ValueError("no episode was finished: train for longer, then draw")
    integer_at_least(1, "window", window)
    figure, left = make_figure(1)
    right = left.twinx()
    left.set_xlabel("episode")
    for axes, values, label, color in (
        (left, lengths, "steps", "tab:orange"),
        (right, returns, "return", "tab:blue"),
    ):
        average = np.convolve(values, np.ones(window))[: len(values)]
        average /= np.minimum(np.arange(1, len(values) + 1), window)
        axes.plot(values, color=color, alpha=0.25, linewidth=0.5)
        axes.plot(average, color=color, label=f"{label}, mean of the last {window} episodes")
        axes.set_ylabel(label, color=color)
        axes.tick_params(axis="y", labelcolor=color)
    figure.legend(loc="outside upper center", ncols=2)
    return figure
