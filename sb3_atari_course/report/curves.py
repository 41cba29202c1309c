"""Learning curves of runs, comparisons over seeds, and episodes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course._common.atomic_files import write_result
from sb3_atari_course._common.validation import integer_at_least
from sb3_atari_course.report.run_data import WINDOW, Curve, RunCurves, need_extra, read_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Color-blind safe palette (Okabe and Ito 2008), the palest last.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")


def make_figure(
    rows: int, *, heights: Sequence[float] = (), share: bool = True
) -> tuple[Figure, Any]:
    """Return a figure and its axes, one below the other; no display is needed.

    :param heights: how high each row is, in units of the lowest; default: the first twice the rest.
    :param share: the rows have the same x axis.
    :raises ImportError: without the extra ``plots``.
    """
    need_extra()
    from matplotlib.figure import Figure

    heights = heights or [2] + [1] * (rows - 1)
    figure = Figure(figsize=(8, 0.5 + 1.9 * sum(heights)), dpi=100, layout="constrained")
    return figure, figure.subplots(rows, sharex=share, height_ratios=heights)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a file atomically; its folder is created if missing.

    :param path: the suffix selects the format, PNG without one.
    :raises ValueError: if it cannot be written.
    """
    kind = path.suffix[1:] or "png"
    write_result(
        path,
        lambda file: figure.savefig(file, format=kind),
        advice="choose another output folder (-o)",
    )


def plain(text: object) -> str:
    r"""Return a text escaped so that matplotlib parses no formula in it.

    >>> plain("a $x$")
    'a \\$x\\$'
    """
    return " ".join(str(text).split()).replace("$", r"\$")


def tidy(axes: Any) -> None:
    """Give a panel a light grid, no box, and thousands separators on the x axis."""
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter("{x:,.0f}")


#: Points of the common grid, more than a figure of this size resolves.
N_POINTS = 300


class MeanCurve(NamedTuple):
    """Mean over seeds, and the half width of its 95 % interval.

    :param steps: (n,) float64, agent steps.
    :param values: (n,) float64, mean over the seeds.
    :param half_width: (n,) float64, zero for a single seed, whose spread is unknown.
    """

    steps: NDArray[np.float64]
    values: NDArray[np.float64]
    half_width: NDArray[np.float64]


def mean_of_seeds(curves: Sequence[Curve]) -> MeanCurve:
    """Average curves over the steps that all of them cover; a value holds until the next one.

    :param curves: one per seed, steps in increasing order.
    :return: the mean; a single curve is returned unchanged.
    :raises ValueError: if some curve ends before another begins.
    """
    if len(curves) == 1:
        return MeanCurve(*curves[0], np.zeros_like(curves[0].values))
    start = max(curve.steps[0] for curve in curves)
    stop = min(curve.steps[-1] for curve in curves)
    if stop < start:
        raise ValueError(
            f"the seeds have no step in common: one ends at step {stop:,.0f}, another has its first"
            f" finished game at step {start:,.0f}; leave one of them out"
        )
    steps = np.linspace(start, stop, N_POINTS)
    values = np.stack(
        [curve.values[np.searchsorted(curve.steps, steps, side="right") - 1] for curve in curves]
    )
    mean, n = values.mean(axis=0), len(curves)
    from scipy.stats import t  # type: ignore[import-untyped]  # takes a second to import

    half_width = t.ppf(0.975, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return MeanCurve(steps, mean, half_width)


#: Most characters of a setting in a legend.
_LONGEST = 40


@dataclass(frozen=True)
class Group:
    """Runs of one algorithm in one environment with one set of hyperparameters.

    :param name: for a legend of one environment: the algorithm, and settings that differ.
    :param env_id: the environment.
    :param runs: in the order given.
    """

    name: str
    env_id: str
    runs: tuple[RunCurves, ...]

    @property
    def count(self) -> str:
        """Number of runs: "3 seeds", or "3 runs" if some have the same seed."""
        n = len(self.runs)
        seeds = {run.facts.seed for run in self.runs} - {None}
        word = "seed" if len(seeds) == n else "run"
        return f"{n} {word}{'s' if n > 1 else ''}"


def group_runs(runs: Sequence[RunCurves]) -> list[Group]:
    """Group runs by algorithm, environment and hyperparameters (training lengths may differ).

    Groups with the same algorithm and environment are named by the settings in which they differ.

    :raises ValueError: for a run without the algorithm in an ``args.yml``.
    """
    groups: dict[str, list[RunCurves]] = {}
    for run in runs:
        facts = run.facts
        if facts.algo is None or facts.env_id is None:
            raise ValueError(
                f"{facts.folder} has no args.yml with algo and env: it can be plotted alone, but"
                " not compared"
            )
        key = json.dumps([facts.algo, facts.env_id, _settings(run)], sort_keys=True, default=str)
        groups.setdefault(key, []).append(run)
    firsts = [members[0] for members in groups.values()]
    result = []
    for members in groups.values():
        facts = members[0].facts
        algo, env_id = str(facts.algo), str(facts.env_id)
        same = [run for run in firsts if (run.facts.algo, run.facts.env_id) == (algo, env_id)]
        differences = _differences(_settings(members[0]), [_settings(run) for run in same])
        result.append(Group(", ".join([algo, *differences]), env_id, tuple(members)))
    return result


def _settings(run: RunCurves) -> dict[str, Any]:
    """Return the settings in which the seeds of one experiment agree."""
    hyperparams = {k: v for k, v in run.facts.hyperparams.items() if k != "n_timesteps"}
    arguments = {
        name: run.facts.arguments[name]
        # runs that start from different models are not seeds of one experiment
        for name in ("env_kwargs", "trained_agent")
        if run.facts.arguments.get(name)
    }
    return {**hyperparams, **arguments}


def _differences(settings: dict[str, Any], rivals: Sequence[dict[str, Any]]) -> list[str]:
    """Return ``key value`` for each setting that differs among the rivals."""
    flat = [_flatten(rival) for rival in rivals]
    paths = dict.fromkeys(path for rival in flat for path in rival)
    mine, texts = _flatten(settings), []
    for path in paths:
        if len({repr(rival.get(path)) for rival in flat}) > 1:
            text = f"{path[-1]} {mine.get(path, 'default')}"
            texts.append(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...")
    return texts


def _flatten(settings: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return path -> value of nested settings, to show only the leaves that differ."""
    if isinstance(settings, dict) and settings:
        items = [((*path, str(key)), value) for key, value in settings.items()]
    elif isinstance(settings, list) and any(isinstance(value, dict) for value in settings):
        items = [(path, value) for value in settings]
    else:
        return {path or ("settings",): settings}
    return {k: v for inner, value in items for k, v in _flatten(value, inner).items()}


#: Above this number, points are rasterized: thousands of SVG shapes slow down a page.
_MOST_SHAPES = 2000

#: Up to this number of games, markers are larger.
_FEW_GAMES = 100


def plot_run(folder: str | Path, *, output: str | Path | None = None) -> Path:
    """Plot the learning curves of a run: unclipped scores, evaluations, loss, epsilon.

    :param folder: a run folder with monitor files; ``evaluations.npz``, ``progress.csv`` and
        ``evaluation.json`` are used if present.
    :param output: folder of the image, created if missing; default: the run folder.
    :return: the path of the image, ``learning_curve.png`` in that folder.
    :raises ValueError: if there is nothing to plot, a file cannot be read, or the figure cannot be
        written.
    :raises ImportError: without the extra ``plots``.
    """
    figure = draw_run(read_run(folder))
    path = Path(output or folder) / "learning_curve.png"
    save_figure(figure, path)
    return path


def draw_run(curves: RunCurves) -> Figure:
    """Draw the scores, the loss (TD error of tabular Q-learning) and epsilon of a run.

    :raises ImportError: without the extra ``plots``.
    """
    figure, (top, middle, bottom) = make_figure(3)
    games, average, facts = curves.games, curves.average, curves.facts
    top.plot(
        *games,
        ".",
        color="0.72",
        markersize=4 if len(games.steps) > _FEW_GAMES else 7,
        label="one full game",
        rasterized=len(games.steps) > _MOST_SHAPES,
    )
    if facts.report is not None and facts.report.random_mean is not None:
        mean = facts.report.random_mean
        top.axhline(mean, color="0.35", linestyle="--", linewidth=1, label="random play")
    top.plot(*average, color=COLORS[0], linewidth=2, label=f"mean of the last {WINDOW} games")
    if curves.evaluations.steps.size:
        top.plot(*curves.evaluations, "o", color=COLORS[1], label="RL Zoo's evaluation")
    top.set_ylabel("unclipped score")
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


#: Characters in a line of the legend.
_LONGEST_LINE = 95

_DASHES = ("-", "--", ":", "-.")


def plot_comparison(folders: Sequence[str | Path], path: str | Path) -> Path:
    """Plot several runs in one figure; seeds of an experiment as their mean with a 95 % interval.

    :param folders: at least two run folders of RL Zoo, each with its ``args.yml``.
    :param path: the PNG file to write; its folder is created if missing.
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
                f"{folder} is given twice (as {seen[place]} before): give each run once"
            )
        seen[place] = folder
    runs = [read_run(folder) for folder in folders]
    units = {run.unit for run in runs}
    if len(units) > 1:
        worst = next(run for run in runs if run.unit != "agent steps")
        raise ValueError(
            f"{worst.facts.folder} has neither progress.csv nor config.yml, so its agent steps are"
            " unknown: leave it out"
        )
    return runs


def draw_comparison(
    runs: Sequence[RunCurves], *, colors: Mapping[str, str] = MappingProxyType({})
) -> Figure:
    """Draw the scores of several runs, one panel for each environment.

    Each group is drawn as the mean over its seeds, as far as all of them were trained, with the
    95 % confidence interval of that mean (Student's t), and a thin line for each seed.

    :param colors: name of a group -> its color; default: in the order of the groups.
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
            color = colors.get(group.name, COLORS[i % len(COLORS)])
            _draw_group(axes, group, color, _DASHES[i // len(COLORS) % 4])
        _keep_lines_large(axes)
        axes.set_title(plain(env_id))
        axes.set_ylabel(f"unclipped score, mean of {WINDOW} games")
        axes.set_xlabel(runs[0].unit)
        tidy(axes)
        _put_legend_below(figure, axes)
    return figure


def _put_legend_below(figure: Figure, axes: Any) -> None:
    """Put the legend below the label of the x axis: inside, it would cover the curves."""
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
    """Limit the y axis where wide intervals would flatten the curves (two seeds: 18 SD)."""
    values = np.concatenate([line.get_ydata() for line in axes.get_lines()])
    low, high = values.min(), values.max()
    room = max((high - low) / 2, 1e-9 + 0.02 * abs(high))
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - room), min(top, high + room))


def plot_episodes(
    lengths: Sequence[float], returns: Sequence[float], *, window: int = 100
) -> Figure:
    """Plot the length and the return of each episode, on separate y axes.

    :param lengths: steps of each episode, in order.
    :param returns: sum of rewards of each episode.
    :param window: episodes over which the thick lines are averaged.
    :return: the figure; a notebook shows it, ``figure.savefig(path)`` saves it.
    :raises ValueError: if there are no episodes, or not as many lengths as returns.
    :raises ImportError: without the extra ``plots``.
    """
    if len(lengths) != len(returns):
        raise ValueError(
            f"lengths and returns must be equally many, got {len(lengths)} and {len(returns)}"
        )
    if not len(lengths):
        raise ValueError("no episode was finished: train for longer, then plot")
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
