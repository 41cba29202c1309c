"""Check of a solution, judged in a separate process with a limit of time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from sb3_atari_course._common.progress import Progress
from sb3_atari_course.course.exercises import check_name
from sb3_atari_course.course.lesson import in_notebook
from sb3_atari_course.course.student_code import Cell, read_cells, running_cells

#: Seconds after which the judge gives up, on a slow machine too.
_MOST_SECONDS = 120.0

#: Module that judges, in a process of its own.
_JUDGE = "sb3_atari_course.course.exercises.judging"

#: Last characters of what a process that died has printed.
_TAIL = 500


#: Name of what is looked at before any property.
READING = "The code is Python, and no blank is left"


@dataclass(frozen=True)
class Finding:
    """What came out of one property.

    :param name: what was looked at.
    :param message: what is wrong, empty if it holds.
    """

    name: str
    message: str = ""

    @property
    def passed(self) -> bool:
        """Whether the property holds."""
        return not self.message


@dataclass(frozen=True)
class Verdict:
    """What the judge found.

    :param exercise: what was asked for.
    :param findings: one for each property that was looked at; only the last may have failed.
    :param n_left: properties that were not looked at.
    """

    exercise: str
    findings: tuple[Finding, ...]
    n_left: int = 0

    @property
    def passed(self) -> bool:
        """Whether all properties hold."""
        return all(finding.passed for finding in self.findings)

    def __str__(self) -> str:
        lines = []
        for finding in self.findings:
            lines.append(f"  {'ok' if finding.passed else 'NO'}  {finding.name}")
            if not finding.passed:
                lines.append(f"      {finding.message}")
        more = f" ({self.n_left} more to look at after that)" if self.n_left else ""
        return "\n".join(
            [*lines, f"{self.exercise}: {'right' if self.passed else 'not yet' + more}"]
        )


def check(exercise: str, file: str | Path | None = None) -> bool:
    """Check a solution and print what was found; return whether it is right.

    Only the functions of the exercise and what they use are run, in a separate process.

    :param exercise: its name.
    :param file: script or notebook with the solution; default: the script or the notebook that
        calls this, as far as its cells were run.
    :raises ValueError: for an unknown exercise, for a file that cannot be read.
    :raises SystemExit: in a script that checks itself and is not right: what follows needs it.
    """
    check_name(exercise)
    if file is None:
        verdict = judge_apart(exercise, running_cells())
    else:
        verdict = judge_apart(exercise, read_cells(file), beside=Path(file).parent)
    print(verdict)
    if file is None and not verdict.passed and not in_notebook():
        raise SystemExit(f"{exercise} first, then run this script again")
    return verdict.passed


def judge_apart(
    exercise: str,
    cells: Sequence[Cell],
    *,
    beside: Path = Path(),
    most_seconds: float = _MOST_SECONDS,
) -> Verdict:
    """Judge in a separate process, which is ended when its time is over.

    :param exercise: what was asked for.
    :param cells: the student's code.
    :param beside: folder whose modules the code may import.
    :param most_seconds: the time that it has.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, result, errors = (folder / file for file in ("cells", "findings", "errors"))
        source.write_text(json.dumps([astuple(cell) for cell in cells]), encoding="utf-8")
        code = f"from {_JUDGE} import main; main(*{[exercise, str(source), str(result)]!r})"
        paths = [os.path.abspath(str(path)) for path in (beside, *sys.path)]
        end = f"not finished after {most_seconds:g} seconds: a loop without an end? "
        with (
            errors.open("wb") as stderr,
            contextlib.suppress(subprocess.TimeoutExpired),
            Progress(f"Checking {exercise}"),
        ):
            done = subprocess.run(
                [sys.executable, "-c", code],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                timeout=most_seconds,
            )
            end = f"the process that ran your code ended with status {done.returncode}. "
        end += errors.read_text(encoding="utf-8", errors="replace").strip()[-_TAIL:]
        lines = result.read_text(encoding="utf-8").splitlines() if result.is_file() else []
    return _verdict(exercise, [json.loads(line) for line in lines], end.strip())


def _verdict(exercise: str, lines: list[Any], end: str) -> Verdict:
    """Return what the judge wrote, and how its process ended if that came too early."""
    names, *entries = lines or [[READING]]
    is_done = entries[-1:] == ["done"]
    findings = [Finding(*entry) for entry in (entries[:-1] if is_done else entries)]
    if not is_done:
        findings.append(Finding(names[min(len(findings), len(names) - 1)], end))
    return Verdict(exercise, tuple(findings), n_left=max(0, len(names) - len(findings)))
