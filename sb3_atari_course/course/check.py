"""``check``: is a solution right? In a process of its own, with a limit of time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sb3_atari_course.course.exercises import find_exercise
from sb3_atari_course.course.exercises.base import READING, Exercise, Finding, name_of
from sb3_atari_course.course.lesson import in_notebook
from sb3_atari_course.course.sources import Cell, read_cells, running_cells

#: Last characters of what a process that died has printed.
_TAIL = 500


@dataclass(frozen=True)
class Verdict:
    """What the judge found.

    :param exercise: what was asked for.
    :param findings: one for each property that was looked at; only the last may have failed.
    """

    exercise: Exercise
    findings: tuple[Finding, ...]

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
        n_left = 1 + len(self.exercise.properties) - len(self.findings)
        if self.passed:
            end = "right"
        elif n_left:
            end = f"not yet ({n_left} more to look at after that)"
        else:
            end = "not yet"
        return "\n".join([*lines, f"{self.exercise.name}: {end}"])


def check(exercise: str, file: str | Path | None = None) -> bool:
    """Check a solution and print what was found; tell whether it is right.

    Only the functions of the exercise and what they use are run, in a process of its own.

    :param exercise: its name.
    :param file: script or notebook with the solution; default: the script or the notebook that
        calls this, as far as its cells were run.
    :raises ValueError: for an unknown exercise, for a file that cannot be read.
    :raises SystemExit: in a script that checks itself and is not right: what follows needs it.
    """
    found = find_exercise(exercise)
    if file is None:
        verdict = judge_apart(found, running_cells())
    else:
        verdict = judge_apart(found, read_cells(file), beside=Path(file).parent)
    print(verdict)
    if file is None and not verdict.passed and not in_notebook():
        raise SystemExit(f"{exercise} first, then run this script again")
    return verdict.passed


def judge_apart(exercise: Exercise, cells: Sequence[Cell], *, beside: Path = Path()) -> Verdict:
    """Judge in a process of its own, which is ended when its time is over.

    :param exercise: what was asked for.
    :param cells: the student's code.
    :param beside: folder whose modules the code may import.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, result, errors = (folder / file for file in ("cells", "findings", "errors"))
        source.write_text(json.dumps([asdict(cell) for cell in cells]), encoding="utf-8")
        command = [sys.executable, "-m", "sb3_atari_course.course.judge", exercise.name]
        paths = [os.path.abspath(str(path)) for path in (beside, *sys.path)]
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [*command, str(source), str(result)],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
            try:
                status = process.wait(exercise.seconds)
                end = f"the process that ran your code ended with status {status}. "
            except subprocess.TimeoutExpired:
                end = f"not finished after {exercise.seconds:g} seconds: a loop without an end? "
            finally:
                _end_all(process)
        end += errors.read_text(encoding="utf-8", errors="replace").strip()[-_TAIL:]
        return Verdict(exercise, _read_findings(exercise, result, end.strip()))


def _end_all(process: subprocess.Popen[bytes]) -> None:
    """End a process, and where there are process groups what it started, too."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _read_findings(exercise: Exercise, result: Path, end: str) -> tuple[Finding, ...]:
    """Return what the judge wrote, and how it ended if that was not by itself."""
    lines = result.read_text(encoding="utf-8").splitlines() if result.is_file() else []
    entries = [json.loads(line) for line in lines]
    if entries and entries[-1] == "done":
        return tuple(Finding(*entry) for entry in entries[:-1])
    names = [READING, *(name_of(prove) for prove in exercise.properties)]
    findings = tuple(Finding(*entry) for entry in entries)
    return (*findings, Finding(names[min(len(findings), len(names) - 1)], end))
