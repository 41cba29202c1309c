"""Figures of a suite: scores in each environment, aggregates, performance profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sb3_atari_course.report.curves import COLORS, draw_comparison, plain, tidy
from sb3_atari_course.report.run_data import need_extra
from sb3_atari_course.suite.scores import Suite
from sb3_atari_course.suite.statistics import AGGREGATES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Width of a figure in inches, and panels in a row.
_WIDTH, _COLUMNS = 8.0, 3


def colors_of(suite: Suite) -> dict[str, str]:
    """Return the color of each algorithm, the same in all figures."""
    return {algo: COLORS[i % len(COLORS)] for i, algo in enumerate(suite.algos)}


def draw_learning_curves(suite: Suite, env_id: str) -> Figure:
    """Draw the training scores in one environment: the mean over the seeds with its interval.

    :raises ValueError: if no run has finished a training game, or the seeds have no step in common.
    """
    runs = [run for scores in suite.of(env_id) for run in scores.runs if run.games.values.size]
    if not runs:
        raise ValueError("no training game was finished")
    return draw_comparison(runs, colors=colors_of(suite))


def draw_scores(suite: Suite) -> Figure:
    """Draw every run's score and the mean over the seeds, a panel an environment.

    Random play is shown where it was evaluated.
    """
    colors, n = colors_of(suite), len(suite.env_ids)
    columns = min(_COLUMNS, n)
    rows = -(-n // columns)
    figure = _figure(height=0.6 + 2.2 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[n:]:
        axes.set_axis_off()
    for env_id, axes in zip(suite.env_ids, panels[:n], strict=True):
        found = suite.of(env_id)
        for scores in found:
            _draw_runs(axes, suite.algos.index(scores.algo), scores.values, colors[scores.algo])
        random_mean = next((one.random_mean for one in found if one.random_mean is not None), None)
        if random_mean is not None:
            axes.axhline(random_mean, color="0.35", linestyle="--", linewidth=1)
        axes.set_title(plain(env_id), fontsize="small")
        _light_grid(axes, "y")
        axes.set_xlim(-0.6, len(suite.algos) - 0.4)
        axes.set_xticks([])
        axes.yaxis.set_major_formatter("{x:,g}")
    _legend(figure, colors, random=any(one.random_mean is not None for one in suite.scores))
    figure.supylabel("unclipped score", fontsize="medium")
    return figure


def _draw_runs(axes: Any, place: int, values: Any, color: str) -> None:
    """Draw the runs of one algorithm side by side, and their mean as a line."""
    n = len(values)
    offsets = (np.arange(n) - (n - 1) / 2) * min(0.14, 0.6 / n)
    axes.plot(place + offsets, values, "o", color=color, alpha=0.6, markersize=5)
    axes.hlines(values.mean(), place - 0.4, place + 0.4, color=color, linewidth=2)


def draw_aggregates(suite: Suite) -> Figure:
    """Draw the aggregate statistics of the algorithms with their intervals."""
    colors, algos = colors_of(suite), suite.aggregated_algos
    figure = _figure(height=1.1 + 0.45 * len(algos))
    panels = figure.subplots(1, len(AGGREGATES), sharey=True)
    for name, axes in zip(AGGREGATES, panels, strict=True):
        for i, algo in enumerate(algos):
            found = suite.aggregates[algo][name]
            if found.low is not None:
                axes.barh(i, found.high - found.low, 0.5, found.low, color=colors[algo], alpha=0.35)
            axes.plot([found.value] * 2, [i - 0.25, i + 0.25], color=colors[algo], linewidth=2.5)
        axes.set_title(name, fontsize="medium")
        _light_grid(axes, "x")
        axes.locator_params(axis="x", nbins=4)
        axes.use_sticky_edges = False
        axes.margins(x=0.1)
    panels[0].set_yticks(range(len(algos)), [plain(algo) for algo in algos])
    panels[0].set_ylim(len(algos) - 0.5, -0.5)
    figure.supxlabel("human-normalized score (gap: lower is better)", fontsize="medium")
    return figure


def draw_profiles(suite: Suite) -> Figure:
    """Draw the performance profiles of the algorithms with pointwise intervals."""
    colors = colors_of(suite)
    figure = _figure(height=4.2)
    axes = figure.subplots()
    for algo, profile in suite.profiles.items():
        if profile.low is not None:
            axes.fill_between(
                suite.thresholds,
                profile.low,
                profile.high,
                step="post",
                color=colors[algo],
                alpha=0.18,
                linewidth=0,
            )
        axes.step(suite.thresholds, profile.value, where="post", color=colors[algo], linewidth=2)
    axes.axvline(1, color="0.35", linestyle="--", linewidth=1)
    axes.annotate(
        "human", (1, 1), (3, 0), textcoords="offset points", color="0.35", fontsize="small"
    )
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("human-normalized score")
    axes.set_ylabel("fraction of runs above it")
    tidy(axes)
    axes.xaxis.set_major_formatter("{x:g}")
    _legend(figure, {algo: colors[algo] for algo in suite.profiles})
    return figure


def _figure(*, height: float) -> Figure:
    need_extra()
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH, height), dpi=100, layout="constrained")


def _light_grid(axes: Any, axis: str) -> None:
    axes.grid(axis=axis, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, colors: Mapping[str, str], *, random: bool = False) -> None:
    """Put a legend of the algorithms below a figure."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=color, linewidth=2) for color in colors.values()]
    labels = [plain(algo) for algo in colors]
    if random:
        lines.append(Line2D([], [], color="0.35", linestyle="--", linewidth=1))
        labels.append("random play")
    figure.legend(lines, labels, loc="outside lower center", ncols=4, frameon=False)
