"""The learning curve of one run: scores, loss and epsilon below each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sb3_atari_course.report.figure import COLORS, make_figure, plain, save_figure, tidy
from sb3_atari_course.report.run_data import WINDOW, RunCurves, read_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: More dots than these become a picture inside an SVG: thousands of shapes make a page slow.
_MOST_SHAPES = 2000

#: Fewer games than these have larger dots.
_FEW_GAMES = 100


def plot_run(folder: str | Path, *, output: str | Path | None = None) -> Path:
    """Draw what a run folder tells of its training: true scores, evaluations, loss, epsilon.

    :param folder: a run folder with monitor files; ``evaluations.npz``, ``progress.csv`` and
        ``evaluation.json`` are drawn if there.
    :param output: folder of the picture, made if missing; default: the run folder.
    :return: the path of the picture, ``learning_curve.png`` in that folder.
    :raises ValueError: if there is nothing to draw, a file cannot be read, or the figure cannot be
        written.
    :raises ImportError: without the extra ``plots``.
    """
    figure = draw_run(read_run(folder))
    path = Path(output or folder) / "learning_curve.png"
    save_figure(figure, path)
    return path


def draw_run(curves: RunCurves) -> Figure:
    """Draw the scores, the loss (the TD error of a table) and epsilon of a run.

    :raises ImportError: without the extra ``plots``.
    """
    figure, (top, middle, bottom) = make_figure(3)
    games, average, facts = curves.games, curves.average, curves.facts
    top.plot(
        *games,
        ".",
        color="0.72",
        markersize=4 if len(games.steps) > _FEW_GAMES else 7,
        label="one whole game",
        rasterized=len(games.steps) > _MOST_SHAPES,
    )
    if facts.report is not None and facts.report.random_mean is not None:
        mean = facts.report.random_mean
        top.axhline(mean, color="0.35", linestyle="--", linewidth=1, label="random play")
    top.plot(*average, color=COLORS[0], linewidth=2, label=f"mean of the last {WINDOW} games")
    if curves.evaluations.steps.size:
        top.plot(*curves.evaluations, "o", color=COLORS[1], label="RL Zoo's evaluation")
    top.set_ylabel("true score")
    top.set_title(plain(facts.title))
    middle.set_ylabel(curves.loss_name)
    middle.plot(*curves.loss, color=COLORS[0])
    bottom.set_ylabel("epsilon")
    bottom.plot(*curves.epsilon, color=COLORS[0])
    bottom.set_ylim(0, 1.05)
    bottom.set_xlabel(curves.unit)
    for axes, curve in ((top, games), (middle, curves.loss), (bottom, curves.epsilon)):
        tidy(axes)
        if not curve.steps.size:
            axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, color="0.5", ha="center")
    figure.align_ylabels()
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure
