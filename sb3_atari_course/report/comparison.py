"""Runs compared: one line for each algorithm and environment, seeds as mean with interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from sb3_atari_course.report.averages import mean_of_seeds
from sb3_atari_course.report.figure import COLORS, make_figure, plain, save_figure, tidy
from sb3_atari_course.report.groups import Group, group_runs
from sb3_atari_course.report.run_data import WINDOW, RunCurves, read_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Characters in a line of the legend.
_LONGEST_LINE = 95

_DASHES = ("-", "--", ":", "-.")


def plot_comparison(folders: Sequence[str | Path], path: str | Path) -> Path:
    """Draw several runs into one picture: seeds of a training as their mean with its interval.

    :param folders: at least two run folders of RL Zoo, each with its ``args.yml``.
    :param path: of the PNG to write; its folder is made if missing.
    :return: the same path.
    :raises ValueError: for fewer than two runs, the same run twice, runs that cannot be read or
        compared, and a figure that cannot be written.
    :raises ImportError: without the extra ``plots``.
    """
    figure = draw_comparison(read_runs(folders))
    path = Path(path)
    save_figure(figure, path)
    return path


def read_runs(folders: Sequence[str | Path]) -> list[RunCurves]:
    """Read several run folders, in the order given.

    :raises ValueError: for fewer than two, the same one twice, and those that cannot be compared.
    """
    if len(folders) < 2:
        raise ValueError(f"a comparison needs at least two runs, got {len(folders)}")
    seen: dict[Path, str | Path] = {}
    for folder in folders:
        place = Path(folder).resolve()
        if place in seen:
            raise ValueError(
                f"{folder} is given twice (as {seen[place]} before): name each run once"
            )
        seen[place] = folder
    runs = [read_run(folder) for folder in folders]
    units = {run.unit for run in runs}
    if len(units) > 1:
        worst = next(run for run in runs if run.unit != "agent steps")
        raise ValueError(
            f"{worst.facts.folder} has neither progress.csv nor config.yml, so nobody knows its"
            " agent steps: leave it out"
        )
    return runs


def draw_comparison(runs: Sequence[RunCurves]) -> Figure:
    """Draw the scores of several runs, one panel for each environment.

    Of each group the mean over its seeds where all of them played, with the 95 % interval of that
    mean by Student's t, and thin lines for the single seeds.

    :raises ValueError: for runs without ``args.yml``, seeds without a common step.
    :raises ImportError: without the extra ``plots``.
    """
    groups = group_runs(runs)
    env_ids = list(dict.fromkeys(group.env_id for group in groups))
    heights = [2.0 + 0.12 * len(groups)] * len(env_ids)  # with room for the legend
    figure, panels = make_figure(len(env_ids), heights=heights, share=False)
    for env_id, axes in zip(env_ids, np.atleast_1d(panels), strict=True):
        members = [group for group in groups if group.env_id == env_id]
        for i, group in enumerate(members):
            _draw_group(axes, group, COLORS[i % len(COLORS)], _DASHES[i // len(COLORS) % 4])
        _keep_lines_large(axes)
        axes.set_title(plain(env_id))
        axes.set_ylabel(f"true score, mean of {WINDOW} games")
        axes.set_xlabel(runs[0].unit)
        tidy(axes)
        _put_legend_below(figure, axes)
    return figure


def _put_legend_below(figure: Figure, axes: Any) -> None:
    """Put the legend under the words of the x axis: it is too wide to leave the lines alone."""
    from matplotlib.transforms import ScaledTranslation

    inches = ScaledTranslation(0, -0.42, figure.dpi_scale_trans)
    place = {"loc": "upper left", "bbox_to_anchor": (0, 0), "borderaxespad": 0}
    axes.legend(**place, bbox_transform=axes.transAxes + inches, frameon=False)


def _draw_group(axes: Any, group: Group, color: str, dashes: str) -> None:
    averages = [run.average for run in group.runs]
    mean = mean_of_seeds(averages)
    label = f"{group.name}: {group.count}"
    if len(averages) > 1:
        label = f"{group.name}: mean of {group.count}, 95 % interval of the mean (Student's t)"
        for average in averages:
            axes.plot(*average, color=color, linewidth=0.7, alpha=0.4)
        low, high = mean.values - mean.half_width, mean.values + mean.half_width
        axes.fill_between(mean.steps, low, high, color=color, alpha=0.18, linewidth=0)
    label = "\n".join(wrap(plain(label), _LONGEST_LINE))
    axes.plot(mean.steps, mean.values, dashes, color=color, linewidth=2, label=label)


def _keep_lines_large(axes: Any) -> None:
    """Cut off intervals that would press the lines flat: that of two seeds is 18 SD high."""
    values = np.concatenate([line.get_ydata() for line in axes.get_lines()])
    low, high = values.min(), values.max()
    room = max((high - low) / 2, 1e-9 + 0.02 * abs(high))
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - room), min(top, high + room))
