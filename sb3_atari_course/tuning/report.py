"""What is left of a study: the best yml, a table of the trials, Optuna's own plots."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial

from sb3_atari_course.tuning.settings import StudySettings
from sb3_atari_course.tuning.space import Space
from sb3_atari_course.tuning.study import settings_of, standing_of
from sb3_atari_course.tuning.yml import write_text, yml_block

#: Inches.
_SIZE = (9.0, 5.0)
_INCHES_PER_SLICE = 2.6


def best_block(study: Study) -> str:
    """Return the best trial as a yml block, with its origin in a comment.

    :raises ValueError: if no trial is finished.
    """
    best, settings = _best(study), settings_of(study)
    entry = Space(settings.algo, settings.space).fill(best.params, settings.hyperparams)
    return _comment(study, best, settings) + yml_block(settings.env_id, entry, settings.n_timesteps)


def write_report(study: Study, folder: Path) -> list[Path]:
    """Write ``best.yml``, ``trials.csv`` and ``plots/*.png`` and ``*.html``.

    :return: the files. A plot that needs more trials than there are is left out.
    :raises ValueError: if no trial is finished.
    """
    best = folder / "best.yml"
    write_text(best, best_block(study))
    table = folder / "trials.csv"
    write_text(table, study.trials_dataframe().to_csv(index=False))
    return [best, table, *draw_plots(study, folder / "plots")]


def draw_plots(study: Study, folder: Path) -> list[Path]:
    """Draw history, importances, slices and parallel coordinates, as PNG and as HTML.

    :return: the files; a plot that needs more trials than there are is left out.
    """
    import matplotlib as mpl

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with warnings.catch_warnings(), mpl.rc_context({"figure.figsize": _SIZE}):
        warnings.simplefilter("ignore")  # experimental, and tight layouts
        for name in ("optimization_history", "param_importances", "slice", "parallel_coordinate"):
            for draw, suffix in ((_draw_png, "png"), (_draw_html, "html")):
                path = folder / f"{name}.{suffix}"
                if _try(draw, name, study, path):
                    files.append(path)
    return files


def _best(study: Study) -> FrozenTrial:
    best = standing_of(study).best
    if best is None:
        raise ValueError(f"study {study.study_name!r} has no finished trial yet")
    return best


def _comment(study: Study, best: FrozenTrial, settings: StudySettings) -> str:
    n_finished = standing_of(study).finished
    score = f"{best.values[0]:.4g}, the mean of {settings.n_games} games at epsilon"
    return (
        f"# Trial {best.number} of {n_finished} of study {study.study_name}: {score}"
        f" {settings.epsilon:g}.\n"
        "# One training is luck; train it with other seeds before you believe it:\n"
        f"#   python -m {_trainer(settings.algo)} --algo {settings.algo} --env {settings.env_id}"
        " -conf THIS_FILE --seed 1\n"
    )


def _trainer(algo: str) -> str:
    return "rl_zoo3.train" if algo in ("dqn", "qrdqn") else "sb3_atari_course train"


def _try(draw: Callable[[str, Study, Path], None], name: str, study: Study, path: Path) -> bool:
    try:
        draw(name, study, path)
    except (ValueError, RuntimeError, ZeroDivisionError):
        return False  # e.g. importances of one trial
    return True


def _draw_png(name: str, study: Study, path: Path) -> None:
    import matplotlib.pyplot as plt
    import optuna.visualization.matplotlib as visualization

    axes: Any = getattr(visualization, f"plot_{name}")(study)
    figure = axes.flat[0].figure if hasattr(axes, "flat") else axes.figure
    if name == "slice":
        figure.set_size_inches(max(_INCHES_PER_SLICE * len(figure.axes), _SIZE[0]), _SIZE[1])
    figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(figure)


def _draw_html(name: str, study: Study, path: Path) -> None:
    figure = getattr(optuna.visualization, f"plot_{name}")(study)
    figure.write_html(path, include_plotlyjs="directory")  # one plotly.min.js for all
