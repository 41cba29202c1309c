"""Steps and returns of each episode."""

from __future__ import annotations

import pytest

from sb3_atari_course.report import plot_episodes
from tests.report.run_folders import lines


def test_steps_and_returns_have_an_axis_each() -> None:
    figure = plot_episodes([10, 20, 60], [-4, -2, 3], window=2)
    steps, returns = lines(figure)
    assert steps[""] == ([0, 1, 2], [10, 20, 60])
    assert steps["steps, mean of the last 2 episodes"] == ([0, 1, 2], [10, 15, 40])
    assert returns[""] == ([0, 1, 2], [-4, -2, 3])
    assert returns["return, mean of the last 2 episodes"] == ([0, 1, 2], [-4, -3, 0.5])
    assert [axes.get_ylabel() for axes in figure.axes] == ["steps", "return"]
    assert figure.axes[0].get_xlabel() == "episode"


def test_a_window_may_be_longer_than_the_training() -> None:
    steps, _ = lines(plot_episodes([10, 20], [0, 0], window=100))
    assert steps["steps, mean of the last 100 episodes"][1] == [10, 15]


@pytest.mark.parametrize(
    ("lengths", "returns", "window", "message"),
    [
        ([], [], 100, "no episode was finished"),
        ([1], [1, 2], 100, "got 1 and 2"),
        ([1], [1], 0, "window must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_drawn(
    lengths: list[int], returns: list[int], window: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_episodes(lengths, returns, window=window)
