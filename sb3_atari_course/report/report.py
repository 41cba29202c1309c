"""Reports: everything about a run, or about several beside each other, in one HTML file."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sb3_atari_course._common.atomic_files import write_result
from sb3_atari_course.report.comparison import draw_comparison, read_runs
from sb3_atari_course.report.page import html_page
from sb3_atari_course.report.run_data import WINDOW, RunCurves, read_run
from sb3_atari_course.report.sections import last_games, mean_and_sd, run_sections
from sb3_atari_course.report.svg import inline_svg
from sb3_atari_course.report.tables import Markup, number, table


def write_report(folder: str | Path, *, output: str | Path | None = None) -> Path:
    """Write ``report.html``: curves, scores, video, settings and files of a run in one file.

    The file needs no network, no script and nothing beside it; the same run gives the same file.

    :param folder: a run folder of RL Zoo.
    :param output: folder of the report, made if missing; default: the run folder.
    :return: the path of the report.
    :raises ValueError: for a folder that is no run, or cannot be read, and a report that cannot be
        written.
    :raises ImportError: without the extra ``plots``.
    """
    curves = read_run(folder)
    body = run_sections(curves, name="run", level=2)
    return _write(Path(output or folder), html_page(curves.facts.title, body))


def write_comparison_report(folders: Sequence[str | Path], output: str | Path) -> Path:
    """Write ``report.html`` about several runs: compared, in a table, and each by itself.

    :param folders: at least two run folders of RL Zoo.
    :param output: folder of the report, made if missing.
    :return: the path of the report.
    :raises ValueError: for runs that cannot be read or compared, and a report that cannot be
        written.
    :raises ImportError: without the extra ``plots``.
    """
    runs = read_runs(folders)
    label = f"Mean score of {len(runs)} runs over {runs[0].unit}"
    picture = inline_svg(draw_comparison(runs), name="comparison", label=label)
    parts = [
        f"<figure>{picture}</figure>",
        '<p class="soft">Runs of one algorithm in one environment with the same settings are seeds'
        " of one line: their mean as far as all of them came, the 95 % interval of that mean by"
        " Student's t, and the single seeds as thin lines."
        " An interval much wider than the lines is cut off.</p>",
        "<h2>The runs</h2>",
        _table_of_runs(runs),
    ]
    for i, curves in enumerate(runs, start=1):
        title = html.escape(curves.facts.title)
        sections = run_sections(curves, name=f"run-{i}", level=3)
        parts.append(
            f'<section class="run" id="run-{i}">\n<h2>{title}</h2>\n{sections}\n</section>'
        )
    page = html_page(f"Comparison of {len(runs)} runs", "\n".join(parts))
    return _write(Path(output), page)


def _table_of_runs(runs: Sequence[RunCurves]) -> str:
    columns = ["run", "algorithm", "environment", "seed", runs[0].unit, "games"]
    columns += [f"last {WINDOW} games: mean", "evaluation: mean ± SD"]
    rows: list[list[Any]] = []
    for i, curves in enumerate(runs, start=1):
        facts = curves.facts
        link = Markup(f'<a href="#run-{i}">{html.escape(facts.folder.resolve().name)}</a>')
        seed = "" if facts.seed is None else Markup(html.escape(str(facts.seed)))
        score = number(last_games(curves)[1])
        evaluation: Any = "not evaluated"
        if facts.report is not None:
            evaluation = mean_and_sd(facts.report, facts.evaluated)
        n_games = len(curves.games.values)
        known = [link, facts.algo, facts.env_id, seed]
        rows.append([*known, curves.n_steps, n_games, score, evaluation])
    return table(columns, rows)


def _write(folder: Path, page: str) -> Path:
    path = folder / "report.html"
    write_result(
        path, lambda file: file.write(page.encode()), advice="choose another output folder (-o)"
    )
    return path
