"""Check of one solution, printed as it is made."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from sb3_atari_course.course.exercises import check_name
from sb3_atari_course.course.judge_process import Job, judge_jobs
from sb3_atari_course.course.lesson import in_notebook
from sb3_atari_course.course.student_code import read_cells, running_cells


def check(exercise: str, file: str | Path | None = None) -> bool:
    """Check a solution and print each finding as it is made; return whether it is right.

    Only the functions of the exercise and what they use are run, in a separate process.

    :param exercise: its name.
    :param file: script or notebook with the solution; default: the script or the notebook that
        calls this, as far as its cells were run.
    :raises ValueError: for an unknown exercise, for a file that cannot be read.
    :raises SystemExit: in a script that checks itself and is not right: what follows needs it.
    """
    check_name(exercise)
    if file is None:
        job = Job(exercise, running_cells())
    else:
        job = Job(exercise, read_cells(file), Path(file))
    with closing(judge_jobs([job])) as results:
        for _, result in results:  # findings, then the verdict
            print(result, flush=True)
    if file is None and not result.passed and not in_notebook():
        raise SystemExit(f"{exercise} first, then run this script again")
    return result.passed
