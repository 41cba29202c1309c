"""Pictures: the learning curve of a run or of a table, the way of a screen to the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.monitor import get_monitor_files, load_results

from sb3_atari_course.envs import make_game, wrap_atari
from sb3_atari_course.wrappers import crop_gray_resize
from sb3_atari_course.wrappers.checks import integer_at_least

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Whole games over which the curve is averaged.
_WINDOW = 100


def plot_run(folder: str | Path) -> Path:
    """Draw what a run folder tells of its training: true scores, evaluations, loss, epsilon.

    :param folder: a run folder with monitor files; ``evaluations.npz`` and ``progress.csv`` are
        drawn if there.
    :return: the path of the picture, ``learning_curve.png`` in that folder.
    :raises ValueError: if there is nothing to draw.
    :raises ImportError: without the extra ``plots``.
    """
    folder = Path(folder)
    figure, (top, middle, bottom) = _figure(rows=3)
    if not get_monitor_files(str(folder)):
        raise ValueError(f"no monitor file in {folder}: it is no run folder of RL Zoo")
    games = load_results(str(folder))  # all monitor files, in the order of time
    if games.empty:
        raise ValueError(f"no whole game was finished in {folder}: train for longer, then plot")
    progress = _read_progress(folder / "progress.csv")

    # Monitor counts emulator frames; SB3's log says at the end how many agent steps they were.
    n_frames = games["l"].cumsum()
    n_steps = (
        n_frames
        if progress is None
        else n_frames * (progress["time/total_timesteps"].max() / n_frames.max())
    )
    average = games["r"].rolling(_WINDOW, min_periods=1).mean()
    top.plot(n_steps, games["r"], ".", color="0.7", label="one whole game")
    top.plot(n_steps, average, color="tab:blue", label=f"mean of the last {_WINDOW} games")
    if (folder / "evaluations.npz").is_file():
        evaluations = np.load(folder / "evaluations.npz")
        mean = evaluations["results"].mean(axis=1)
        top.plot(evaluations["timesteps"], mean, "o", color="tab:red", label="RL Zoo's evaluation")
    top.set_ylabel("true score")
    top.set_title(folder.name)
    figure.legend(loc="outside upper center", ncols=3)
    if progress is not None and "train/td_error" in progress:  # a table has no loss
        _plot_column(middle, progress, "train/td_error", "mean |TD error|")
    else:
        _plot_column(middle, progress, "train/loss", "loss")
    _plot_column(bottom, progress, "rollout/exploration_rate", "epsilon")
    bottom.set_ylim(0, 1.05)
    bottom.set_xlabel("steps, as Monitor counts them" if progress is None else "agent steps")
    path = folder / "learning_curve.png"
    figure.savefig(path)
    return path


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
    figure, left = _figure(rows=1)
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


def plot_pipeline(path: str | Path) -> Path:
    """Draw what becomes of a Breakout screen: the picture at the head of the README.

    :param path: of the PNG to write.
    :return: the same path.
    :raises ImportError: without the extra ``plots``.
    """
    crop = (30, 195, 5, 155)
    env = wrap_atari(
        make_game("BreakoutNoFrameskip-v4", render_mode="rgb_array"), crop=crop, n_stack=4
    )
    env.reset(seed=4)
    env.action_space.seed(4)
    for _ in range(10):
        stack = env.step(env.action_space.sample())[0]
    screen: Any = env.render()
    gray = crop_gray_resize(screen, shape=screen.shape[:2])[..., 0]
    top, bottom, left, right = crop
    stages = [
        ("screen (210, 160, 3)", screen),
        ("grey (210, 160)", gray),
        ("crop (165, 150)", gray[top:bottom, left:right]),
        ("resize (84, 84)", stack[..., 3]),
        *[
            (f"stack, {age} ago" if age else "stack, now", stack[..., 3 - age])
            for age in (3, 2, 1, 0)
        ],
    ]
    env.close()
    figure, all_axes = _figure(rows=1, columns=len(stages))
    for axes, (title, picture) in zip(all_axes, stages, strict=True):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title, fontsize=9)
        axes.axis("off")
    figure.savefig(path)
    return Path(path)


def _figure(rows: int, columns: int = 1) -> tuple[Figure, Any]:
    """Return a figure and its axes, one column or one row of them, drawn without any screen."""
    try:
        import pandas  # noqa: F401  # SB3 reads monitor files with it
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            'drawing needs the extra "plots": pip install "sb3_atari_course[plots]"'
        ) from None
    size = (8, 2.5 * rows) if columns == 1 else (1.6 * columns, 2.4)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    heights = [2] + [1] * (rows - 1)
    return figure, figure.subplots(rows, columns, sharex=columns == 1, height_ratios=heights)


def _plot_column(axes: Axes, progress: pd.DataFrame | None, column: str, label: str) -> None:
    """Draw one column of SB3's log over the agent steps, as far as it was logged."""
    axes.set_ylabel(label)
    if progress is not None and column in progress:
        logged = progress.dropna(subset=[column])
        axes.plot(logged["time/total_timesteps"], logged[column])


def _read_progress(path: Path) -> pd.DataFrame | None:
    """Return SB3's CSV log, None if there is none or it is empty."""
    import pandas as pd

    if not path.is_file() or path.stat().st_size == 0:
        return None
    return pd.read_csv(path)
