"""The lessons of the course, as the tests need them."""

from __future__ import annotations

from pathlib import Path

from sb3_atari_course.course.exercises import EXERCISES, load_exercise
from sb3_atari_course.course.exercises.judging import judge
from sb3_atari_course.course.notebooks import solved
from sb3_atari_course.course.student_code import Cell
from sb3_atari_course.course.verdict import Finding

EXAMPLES = Path(__file__).parents[2] / "examples"
MASTERS = sorted(EXAMPLES.glob("lesson*.py"))


def master_of(exercise: str) -> Path:
    return EXAMPLES / f"{EXERCISES[exercise]}.py"


def solution_of(exercise: str) -> str:
    return solved(master_of(exercise).read_text(encoding="utf-8"))


def blank_one(master: str, number: int) -> str:
    """Return a lesson in which the solution of this number is blank, found the slow way."""
    lines: list[str] = []
    seen, inside = -1, False
    for line in master.splitlines(keepends=True):
        bare = line.lstrip()
        if bare.startswith("# >>> "):
            seen, inside = seen + (not inside), True
            if seen == number:
                lines.append(line.replace("# >>> ", ""))
        elif bare.startswith("# <<<"):
            inside = False
        elif not (inside and seen == number):
            lines.append(line)
    return "".join(lines)


def last_finding(exercise: str, text: str) -> Finding:
    """Judge some code in this process; return the last thing that was looked at."""
    return list(judge(load_exercise(exercise), [Cell("lesson", text)]))[-1]
