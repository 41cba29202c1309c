"""HTML reports of one run or of several compared: a single file without scripts or network."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sb3_atari_course.report.curves import draw_comparison, draw_run, read_runs
from sb3_atari_course.report.html_page import as_data_url, format_number, write_page
from sb3_atari_course.report.run_data import (
    AGENT,
    EARLIER,
    WINDOW,
    RunCurves,
    RunFacts,
    read_run,
)
from sb3_atari_course.zoo.run_folder import run_number

#: Largest video that is embedded: 24 MB, which are 32 MB as base64.
MOST_VIDEO_BYTES = 24_000_000

#: Most scores that are listed individually.
_MOST_SCORES = 1000


def write_report(folder: str | Path, *, output: str | Path | None = None) -> Path:
    """Write ``report.html``: curves, scores, video, settings and files of a run in one file.

    The file is self-contained, without scripts or network; the same run gives the same file.

    :param folder: a run folder of RL Zoo.
    :param output: folder of the report, created if missing; default: the run folder.
    :return: the path of the report.
    :raises ValueError: for a folder that is not a run, or cannot be read, and a report that cannot
        be written.
    :raises ImportError: without the extra ``plots``.
    """
    curves = read_run(folder)
    return _write(Path(output or folder), title=curves.facts.title, runs=[_contents(curves)])


def write_comparison_report(folders: Sequence[str | Path], output: str | Path) -> Path:
    """Write ``report.html`` of several runs: comparison plot, table, and a section per run.

    :param folders: at least two run folders of RL Zoo.
    :param output: folder of the report, created if missing.
    :return: the path of the report.
    :raises ValueError: for runs that cannot be read or compared, and a report that cannot be
        written.
    :raises ImportError: without the extra ``plots``.
    """
    runs = read_runs(folders)
    return _write(
        Path(output),
        title=f"Comparison of {len(runs)} runs",
        comparison=as_data_url(draw_comparison(runs)),
        runs=[_contents(curves) for curves in runs],
    )


def _write(folder: Path, **contents: Any) -> Path:
    template = Path(__file__).with_name("report.html")
    return write_page(
        folder / "report.html", template, **{"window": WINDOW, "comparison": None, **contents}
    )


def _contents(curves: RunCurves) -> dict[str, Any]:
    """Return the variables of the template for one run."""
    facts = curves.facts
    n_games = min(WINDOW, len(curves.games.values))
    mean = float(curves.average.values[-1])
    tiles: dict[str, Any] = {
        "seed": "unknown" if facts.seed is None else facts.seed,
        curves.unit: f"{curves.n_steps:,}",
        "finished games": f"{len(curves.games.values):,}",
        f"training: mean of the last {n_games} games": format_number(mean),
    }
    if facts.report is not None:
        model = "" if facts.evaluated == AGENT else f" of {facts.evaluated}"
        tiles[f"evaluation{model}: mean"] = format_number(facts.report.mean)
    return {
        "curves": curves,
        "facts": facts,
        "figure": as_data_url(draw_run(curves)),
        "tiles": tiles,
        "last_mean": mean,
        "scores": _scores(facts),
        "video": _video(facts),
        "evaluate": _command(facts, "evaluate"),
        "record": _command(facts, "record"),
        "hyperparams": _hyperparams(facts),
        "files": [
            (path.relative_to(facts.folder).as_posix(), path.stat().st_size) for path in facts.files
        ],
    }


def _scores(facts: RunFacts) -> dict[str, Any] | None:
    """Return rows, protocol and single scores of the evaluation, None without one."""
    report = facts.report
    if report is None:
        return None
    unit = "frames" if "max_frames" in report.protocol else "steps"
    rows = {facts.evaluated: report.scores}
    if report.random_scores:
        rows["random play, same games"] = report.random_scores
    model = facts.evaluated_model
    protocol: dict[str, Any] = {"model": model} if model else {}
    protocol |= {key.replace("_", " "): value for key, value in report.protocol.items()}
    if report.lengths:
        protocol[f"mean length ({unit})"] = format_number(report.mean_length)
    if report.mean_penalties is not None:
        protocol["mean penalties a game"] = format_number(report.mean_penalties)
    return {
        "rows": [
            (name, [float(f(of)) for f in (np.mean, np.std, min, max)], len(of))
            for name, of in rows.items()
        ],
        "mean": report.mean,
        "std": report.std,
        "n_games": len(report.scores),
        "model_note": "" if facts.evaluated == AGENT else f", {facts.evaluated}",
        "is_earlier": facts.evaluated == EARLIER,
        "protocol": protocol,
        "single": " ".join(f"{score:g}" for score in report.scores[:_MOST_SCORES]),
        "n_more": max(0, len(report.scores) - _MOST_SCORES),
    }


def _video(facts: RunFacts) -> dict[str, Any] | None:
    """Return the newest video of a run, None without one."""
    video = facts.video
    if video is None:
        return None
    n_bytes = video.stat().st_size
    is_small = n_bytes <= MOST_VIDEO_BYTES
    return {
        "where": video.relative_to(facts.folder).as_posix(),
        "model_note": f", of {EARLIER}" if facts.is_video_earlier else "",
        "n_bytes": n_bytes,
        "most_bytes": MOST_VIDEO_BYTES,
        "data": base64.b64encode(video.read_bytes()).decode() if is_small else "",
    }


def _hyperparams(facts: RunFacts) -> dict[str, Any]:
    hyperparams = dict(facts.hyperparams)
    asked, in_yml = facts.arguments.get("n_timesteps"), hyperparams.get("n_timesteps")
    if hyperparams and isinstance(asked, int) and asked > 0:
        hyperparams["n_timesteps"] = f"{asked:,} (set by -n; config file: {in_yml})"
    return hyperparams


def _command(facts: RunFacts, command: str) -> str:
    """Return the command that adds what is missing, "" if algorithm or environment is unknown."""
    if not facts.algo or not facts.env_id:
        return ""
    words = ["python", "-m", "sb3_atari_course", command, "--algo", facts.algo]
    words += ["--env", facts.env_id, "-f", str(facts.folder.parent.parent)]
    number = run_number(facts.folder)
    return shlex.join([*words, "--exp-id", number] if number else words)
