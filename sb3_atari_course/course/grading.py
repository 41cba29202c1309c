"""Grading of many submissions: every exercise in every file, in parallel, as a table."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sb3_atari_course.course.exercises import EXERCISES, check_name, load_exercise
from sb3_atari_course.course.judge_process import Job, judge_jobs
from sb3_atari_course.course.student_code import Cell, check_syntax, definitions, read_cells
from sb3_atari_course.course.verdict import Verdict

_COLUMNS = ("file", "exercise", "held", "of", "first finding", "seconds")


@dataclass(frozen=True)
class Grade:
    """Verdict on an exercise in a file.

    :param file: that was handed in.
    :param exercise: that was found in it; empty if it cannot be judged.
    :param n_held: number of properties that hold.
    :param n_properties: number of properties there are.
    :param finding: name and message of the first that does not hold.
    :param seconds: that the check took.
    """

    file: Path
    exercise: str = ""
    n_held: int = 0
    n_properties: int = 0
    finding: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the solution is right."""
        return not self.finding

    def __str__(self) -> str:
        """Return a line, and the finding below it."""
        held = f"{self.n_held}/{self.n_properties}"
        line = f"{'ok' if self.passed else 'NO'}  {held:>5}  {self.exercise or '-':15} {self.file}"
        return line if self.passed else f"{line}\n           {self.finding}"


def grade(
    paths: Sequence[str | Path], exercise: str | None = None, *, n_processes: int | None = None
) -> Iterator[Grade]:
    """Check all solutions in files and folders, several at a time.

    Return a grade for each exercise in each file, as they are finished; files that cannot be read
    come first. Each solution runs in a separate process with time limits: what one does to its
    process leaves the others alone. It is not a sandbox.

    :param paths: scripts, notebooks, and folders, which are searched with all folders in them.
    :param exercise: the only one to look at; default: all that a file has.
    :param n_processes: number of solutions checked at the same time; default: one per CPU.
    :raises ValueError: for a path that does not exist, for folders without files, for an unknown
        exercise.
    """
    if exercise is not None:
        check_name(exercise)
    files = list(dict.fromkeys(file for path in paths for file in _files(Path(path))))
    if not files:
        raise ValueError(f"no files to check in {', '.join(map(str, paths))}")
    return _grade_files(files, exercise, n_processes or os.cpu_count() or 1)


def _grade_files(files: list[Path], exercise: str | None, n_processes: int) -> Iterator[Grade]:
    jobs = list[Job]()
    for file in files:
        try:
            cells = read_cells(file)
            found = [exercise] if exercise else _find_exercises(cells)
        except ValueError as error:
            yield Grade(file, finding=str(error))
        else:
            jobs += [Job(name, cells, file) for name in found]
    with closing(judge_jobs(jobs, n_processes=n_processes)) as results:
        for job, result in results:
            if isinstance(result, Verdict) and job.file:
                counts = (result.n_held, result.n_properties)
                yield Grade(job.file, job.exercise, *counts, result.first_failure, result.seconds)


def _files(path: Path) -> Iterator[Path]:
    """Return a file, or all files of a folder but hidden ones, caches and tables of grades.

    :raises ValueError: if there is no such path.
    """
    if not path.is_dir():
        if not path.exists():
            raise ValueError(f"{path} does not exist: name files and folders with solutions")
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(one for one in folders if not one.startswith((".", "__")))
        shown = (
            one for one in sorted(names) if not one.startswith(".") and Path(one).suffix != ".csv"
        )
        yield from (Path(folder, name) for name in shown)


def _find_exercises(cells: Sequence[Cell]) -> list[str]:
    """Return the exercises of which some code defines a function.

    :raises ValueError: if there is none.
    """
    functions = {name: load_exercise(name).functions for name in EXERCISES}
    found = [
        name for name, wanted in functions.items() if any(definitions(cells, one) for one in wanted)
    ]
    if not found:
        check_syntax(cells)
        wanted = ", ".join(one for some in functions.values() for one in some)
        raise ValueError(f"no exercise is in this file: it defines none of {wanted}")
    return found


def write_csv(grades: Iterable[Grade], path: str | Path) -> Iterator[Grade]:
    """Write each grade to a table as it comes, and pass it on.

    :param grades: of :func:`grade`.
    :param path: of the file, which is overwritten.
    """
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for one in grades:
            finding = " ".join(one.finding.split())
            counts = (one.n_held, one.n_properties)
            writer.writerow([one.file, one.exercise, *counts, finding, f"{one.seconds:.1f}"])
            file.flush()
            yield one
