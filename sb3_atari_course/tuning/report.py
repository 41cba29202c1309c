"""What is left of a study: the best yml, a table of the trials, Optuna's own plots."""

from __future__ import annotations

import shlex
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial

from sb3_atari_course.tuning.settings import StudySettings
from sb3_atari_course.tuning.space import Space
from sb3_atari_course.tuning.study import settings_of, standing_of
from sb3_atari_course.tuning.yml import write_text, yml_block
from sb3_atari_course.zoo.algorithms import OUR_ALGORITHMS

#: Inches: of a plot, and of each parameter in those that show all of them side by side.
_WIDTH, _HEIGHT, _WIDTH_EACH = 9.0, 5.0, 2.2

_PLOTS = ("optimization_history", "param_importances", "slice", "parallel_coordinate")
_AXIS = {name: {"target_name": "mean score"} for name in _PLOTS if name != "param_importances"}
_SIDE_BY_SIDE = ("slice", "parallel_coordinate")


def best_block(study: Study, file: Path) -> str:
    """Return the best trial as a yml block, with its origin in a comment.

    :param file: where it will be, for the command in the comment.
    :raises ValueError: if no trial is finished.
    """
    best, settings = _best(study), settings_of(study)
    entry = Space(settings.algo, settings.space).fill(best.params, settings.hyperparams)
    return _comment(study, best, settings, file) + yml_block(
        settings.env_id, entry, settings.n_timesteps
    )


def write_report(study: Study, folder: Path) -> list[Path]:
    """Write ``best.yml``, ``trials.csv`` and ``plots/*.png`` and ``*.html``.

    :return: the files.
    :raises ValueError: if no trial is finished.
    """
    best = folder / "best.yml"
    write_text(best, best_block(study, best))
    table = folder / "trials.csv"
    write_text(table, study.trials_dataframe().to_csv(index=False))
    return [best, table, *draw_plots(study, folder / "plots")]


def draw_plots(study: Study, folder: Path) -> list[Path]:
    """Draw history, importances, slices and parallel coordinates, as PNG and as HTML.

    :return: the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental, and logarithms of what is on the edge
        for name in _PLOTS:
            for draw, suffix in ((_draw_png, "png"), (_draw_html, "html")):
                files.append(folder / f"{name}.{suffix}")
                draw(name, study, files[-1])
    return files


def _best(study: Study) -> FrozenTrial:
    best = standing_of(study).best
    if best is None:
        raise ValueError(f"study {study.study_name!r} has no finished trial yet")
    return best


def _comment(study: Study, best: FrozenTrial, settings: StudySettings, file: Path) -> str:
    n_finished = standing_of(study).finished
    n = settings.n_repeats
    trainings = "after a training" if n == 1 else f"after each of {n} trainings"
    return (
        f"# Study {study.study_name}: trial {best.number}, the best of {n_finished} finished.\n"
        f"# Score {best.values[0]:.4g}, mean of {settings.n_games} games at epsilon"
        f" {settings.epsilon:g} {trainings}.\n"
        "# Few trainings are luck: train it with other seeds too.\n"
        f"#   {_command(settings, file)}\n"
    )


def _command(settings: StudySettings, file: Path) -> str:
    """Return the command that trains a yml of this study."""
    is_ours = settings.algo in OUR_ALGORITHMS
    packages = list(settings.gym_packages)
    if "Deterministic-v4" in settings.env_id and not is_ours:  # our launcher knows them
        packages.append("sb3_atari_course.register")
    words = [
        *("python", "-m"),
        *(("sb3_atari_course", "train") if is_ours else ("rl_zoo3.train",)),
        *("--algo", settings.algo, "--env", settings.env_id, "-conf", str(file), "--seed", "1"),
        *(("--gym-packages", *packages) if packages else ()),
    ]
    return shlex.join(words)


def _draw_png(name: str, study: Study, path: Path) -> None:
    import matplotlib.pyplot as plt
    import optuna.visualization.matplotlib as visualization

    width = _WIDTH
    if name in _SIDE_BY_SIDE:
        names = {parameter for trial in study.trials for parameter in trial.params}
        width = max(width, _WIDTH_EACH * len(names))
    with plt.rc_context({"figure.figsize": (width, _HEIGHT)}):
        axes: Any = getattr(visualization, f"plot_{name}")(study, **_AXIS.get(name, {}))
        figure = axes.flat[0].figure if hasattr(axes, "flat") else axes.figure
        if name == "slice":  # Optuna makes each of them as wide as a whole plot
            figure.set_size_inches(width, _HEIGHT)
            for axis in figure.axes:
                axis.tick_params(axis="x", labelsize=8, labelrotation=30)
                axis.xaxis.set_minor_formatter("")  # of a logarithm: no room for its numbers
                axis.xaxis.label.set_size(8)
        figure.savefig(path, dpi=100, bbox_inches="tight")
        plt.close(figure)


def _draw_html(name: str, study: Study, path: Path) -> None:
    figure = getattr(optuna.visualization, f"plot_{name}")(study, **_AXIS.get(name, {}))
    figure.write_html(path, include_plotlyjs="directory")  # one plotly.min.js for all
