"""Report of a suite: tables, figures, and one HTML page without scripts or network."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_sb3 import EnvironmentName

from sb3_atari_course.report.curves import save_figure
from sb3_atari_course.report.html_page import as_data_url, write_page
from sb3_atari_course.report.run_data import WINDOW, need_extra
from sb3_atari_course.suite.figures import (
    draw_aggregates,
    draw_learning_curves,
    draw_profiles,
    draw_scores,
)
from sb3_atari_course.suite.scores import (
    ALL_GAMES,
    Scores,
    Suite,
    protocol_of,
    read_suite,
    write_tables,
)
from sb3_atari_course.suite.statistics import AGGREGATES, N_RESAMPLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_suite_report(
    folders: Sequence[Path],
    output: Path,
    *,
    missing: Sequence[str] = (),
    title: str = "Suite",
) -> list[Path]:
    """Write tables (CSV), figures (PNG) and ``report.html`` of a suite's evaluated runs.

    A run counts if the agent that its folder holds now was evaluated; the page lists the others.
    Equal inputs give equal files.

    :param folders: run folders of RL Zoo, with ``evaluation.json`` of the command ``evaluate``.
    :param output: folder of the files, created if missing.
    :param missing: runs that have no folder; the page lists them.
    :param title: of the page.
    :return: the files, ``report.html`` last.
    :raises ValueError: without an evaluated run; for different protocols in one environment, runs
        that are not seeds of one experiment, and files that cannot be written.
    :raises ImportError: without the extra ``plots``.
    """
    need_extra()
    suite = read_suite(folders, missing)
    files = write_tables(suite, output)
    figures = _figures(suite)
    for name, figure in figures.items():
        files.append(output / f"{name}.png")
        save_figure(figure, files[-1])
    page = write_page(
        output / "report.html",
        Path(__file__).with_name("suite_report.html"),
        title=title,
        suite=suite,
        figures={name: as_data_url(figure) for name, figure in figures.items()},
        curves={env_id: _curves_name(env_id) for env_id in suite.env_ids},
        tiles=_tiles(suite),
        protocols={env_id: _protocol(suite, env_id) for env_id in suite.env_ids},
        statistics=list(AGGREGATES),
        all_games=ALL_GAMES,
        has_single=any(len(one.runs) < 2 for one in suite.scores),
        steps_of=_steps,
        n_resamples=N_RESAMPLES,
        window=WINDOW,
        names=[path.name for path in files],
    )
    return [*files, page]


def _figures(suite: Suite) -> dict[str, Figure]:
    """Return the figures by the name of their file, without its suffix."""
    figures = {"scores": draw_scores(suite)}
    if suite.aggregated:
        figures["aggregates"] = draw_aggregates(suite)
        figures["performance_profile"] = draw_profiles(suite)
    for env_id in suite.env_ids:
        with contextlib.suppress(ValueError):  # too few training games: the page says so
            figures[_curves_name(env_id)] = draw_learning_curves(suite, env_id)
    return figures


def _curves_name(env_id: str) -> str:
    return f"learning_curves_{EnvironmentName(env_id)}"  # RL Zoo's name has no slash


def _tiles(suite: Suite) -> dict[str, str]:
    counts = [len(one.runs) for one in suite.scores]
    return {
        "environments": str(len(suite.env_ids)),
        "algorithms": str(len(suite.algos)),
        "seeds": _range(counts),
        "scored runs": str(sum(counts)),
        "runs without a score": str(len(suite.missing)),
    }


def _steps(scores: Scores) -> str:
    """Return how many agent steps the runs were trained."""
    return _range([run.n_steps for run in scores.runs])


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _protocol(suite: Suite, env_id: str) -> dict[str, Any]:
    rules = protocol_of(suite.of(env_id)[0].runs[0])
    return {key.replace("_", " "): value for key, value in rules.items()}
