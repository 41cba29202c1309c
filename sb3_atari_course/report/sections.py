"""The sections of a run in a report: key figures, curves, scores, video, settings, files."""

from __future__ import annotations

import html
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from sb3_atari_course.evaluation import GamesReport
from sb3_atari_course.report.run import draw_run
from sb3_atari_course.report.run_data import WINDOW, RunCurves
from sb3_atari_course.report.run_facts import AGENT, EARLIER, RunFacts
from sb3_atari_course.report.svg import inline_svg
from sb3_atari_course.report.tables import Markup, key_table, number, table
from sb3_atari_course.report.video.player import video_html
from sb3_atari_course.zoo.run_folder import run_number

#: A longer video makes the file too heavy to send: 24 MB, 32 MB as base64.
MOST_VIDEO_BYTES = 24_000_000

#: Scores shown one by one.
_MOST_SCORES = 1000


def run_sections(curves: RunCurves, *, name: str, level: int) -> str:
    """Return everything about one run as HTML.

    :param curves: of the run, with its facts.
    :param name: beginning of all ids, not used twice in a page.
    :param level: of the headlines, 2 or 3.
    """
    facts = curves.facts
    label = f"Score, {curves.loss_name} and epsilon of {facts.title} over {curves.unit}"
    picture = inline_svg(draw_run(curves), name=f"{name}-curves", label=label)
    parts = [
        _tiles(curves),
        _headline("Learning curves", level),
        f"<figure>{picture}</figure>",
        _headline("Scores of whole games", level),
        _scores(facts),
        _headline("Video", level),
        _video(facts),
        _headline("Command", level),
        _command(facts),
        _headline("Settings", level),
        _settings(facts),
        _headline("Files", level),
        _files(facts),
    ]
    return "\n".join(parts)


def last_games(curves: RunCurves) -> tuple[str, float]:
    """Return what the last value of the average is called, and that value."""
    n_games = min(WINDOW, len(curves.games.values))
    return f"mean of the last {n_games} games", float(curves.average.values[-1])


def mean_and_sd(report: GamesReport, evaluated: str) -> Markup:
    """Return the score of an evaluation, of how many games it is, and of which model."""
    n = len(report.scores)
    whose = "" if evaluated == AGENT else f", {html.escape(evaluated)}"
    return Markup(f"{number(report.mean)} ± {number(report.std)} (n = {n}{whose})")


def _headline(text: str, level: int) -> str:
    return f"<h{level}>{html.escape(text)}</h{level}>"


def _tiles(curves: RunCurves) -> str:
    """Return the figures that one looks for first."""
    facts, (name, mean) = curves.facts, last_games(curves)
    tiles = {
        "seed": "unknown" if facts.seed is None else str(facts.seed),
        curves.unit: f"{curves.n_steps:,}",
        "finished games": f"{len(curves.games.values):,}",
        f"training: {name}": number(mean),
    }
    if facts.report is not None:
        whose = "" if facts.evaluated == AGENT else f" of {facts.evaluated}"
        tiles[f"evaluation{whose}: mean"] = number(facts.report.mean)
    items = "".join(
        f"<div><dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd></div>"
        for key, value in tiles.items()
    )
    return f'<dl class="tiles">{items}</dl>'


def _scores(facts: RunFacts) -> str:
    report = facts.report
    if report is None:
        return _advice("Not evaluated yet", "evaluate", facts)
    unit = "frames" if "max_frames" in report.protocol else "steps"
    columns = ["", "mean", "SD", "lowest", "highest", "games"]
    rows: list[list[Any]] = [[facts.evaluated, *_summary(report.scores)]]
    if report.random_scores:
        rows.append(["random play, same games", *_summary(report.random_scores)])
    model, advice = facts.evaluated_model, ""
    if facts.evaluated == EARLIER:
        advice = _advice(f"{model} has been replaced since", "evaluate", facts)
    protocol: dict[str, Any] = {"model": model} if model else {}
    protocol |= {key.replace("_", " "): value for key, value in report.protocol.items()}
    if report.lengths:
        protocol[f"mean length ({unit})"] = number(report.mean_length)
    if report.mean_penalties is not None:
        protocol["mean penalties a game"] = number(report.mean_penalties)
    shown = " ".join(f"{score:g}" for score in report.scores[:_MOST_SCORES])
    more = f" and {len(report.scores) - _MOST_SCORES} more" * (len(report.scores) > _MOST_SCORES)
    return (
        f"{advice}{table(columns, rows)}\n<p class=soft>Whole games, scores not clipped; SD over"
        f" the games.</p>\n{key_table(protocol)}\n<details><summary>Every score</summary>"
        f'<p class="card"><code>{shown}{more}</code></p></details>'
    )


def _summary(scores: tuple[float, ...]) -> list[Any]:
    values = (np.mean(scores), np.std(scores), min(scores), max(scores))
    return [*(number(float(value)) for value in values), len(scores)]


def _video(facts: RunFacts) -> str:
    video = facts.video
    if video is None:
        return _advice("Not filmed yet", "record", facts)
    where = html.escape(_relative(video, facts.folder))
    whose = f", of {EARLIER}" if facts.is_video_earlier else ""
    n_bytes = video.stat().st_size
    if n_bytes > MOST_VIDEO_BYTES:
        most = _size(MOST_VIDEO_BYTES)
        return (
            f"<p><code>{where}</code> ({_size(n_bytes)}{whose}) is too large for a page:"
            f" {most}.</p>"
        )
    return f'<div class="card">{video_html(video)}</div><p class="soft">{where}{whose}</p>'


def _command(facts: RunFacts) -> str:
    if not facts.command:
        return '<p class="soft">The folder does not tell it.</p>'
    seed = ""
    if facts.seed is not None and "--seed" not in facts.command:
        seed = f'<p class="soft">With <code>--seed {facts.seed}</code> to repeat it exactly.</p>'
    return f'<pre class="command">{html.escape(facts.command)}</pre>{seed}'


def _settings(facts: RunFacts) -> str:
    parts = []
    if facts.hyperparams:
        hyperparams = dict(facts.hyperparams)
        asked, in_yml = facts.arguments.get("n_timesteps"), hyperparams.get("n_timesteps")
        if isinstance(asked, int) and asked > 0:
            hyperparams["n_timesteps"] = f"{asked:,} by -n (the yml says {in_yml})"
        parts.append(key_table(hyperparams))
    if facts.arguments:
        arguments = key_table(facts.arguments)
        parts.append(f"<details><summary>RL Zoo's arguments</summary>{arguments}</details>")
    return "\n".join(parts) or '<p class="soft">The folder does not tell them.</p>'


def _files(facts: RunFacts) -> str:
    sizes = [(_relative(path, facts.folder), path.stat().st_size) for path in facts.files]
    rows = [(path, Markup(_size(n_bytes))) for path, n_bytes in sizes]
    where = html.escape(str(facts.folder))
    return f'<p class="soft">In <code>{where}</code></p>{table(["file", "size"], rows)}'


def _advice(what: str, command: str, facts: RunFacts) -> str:
    """Return a sentence about what is missing, with the command that brings it."""
    what = html.escape(what)
    if not facts.algo or not facts.env_id:
        return f'<p class="soft">{what}.</p>'
    words = ["python", "-m", "sb3_atari_course", command, "--algo", facts.algo]
    words += ["--env", facts.env_id, "-f", str(facts.folder.parent.parent)]
    number = run_number(facts.folder)
    words += ["--exp-id", number] if number else []
    return f'<p class="soft">{what}:</p><pre class="command">{html.escape(shlex.join(words))}</pre>'


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _size(n_bytes: int) -> str:
    """Return a size as people say it."""
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    unit, divisor = ("kB", 1e3) if n_bytes < 1e6 else ("MB", 1e6)
    return f"{n_bytes / divisor:,.1f} {unit}"
