"""The lessons of the course, as the tests need them."""

from __future__ import annotations

from pathlib import Path

from sb3_atari_course.course.blanks import solved
from sb3_atari_course.course.exercises import EXERCISES
from sb3_atari_course.course.exercises.base import Finding
from sb3_atari_course.course.judge import judge
from sb3_atari_course.course.sources import Cell

EXAMPLES = Path(__file__).parents[2] / "examples"
MASTERS = sorted(EXAMPLES.glob("lesson*.py"))


def master_of(exercise: str) -> Path:
    return EXAMPLES / f"{EXERCISES[exercise].lesson}.py"


def solution_of(exercise: str) -> str:
    return solved(master_of(exercise).read_text(encoding="utf-8"))


def last_finding(exercise: str, text: str) -> Finding:
    """Judge some code in this process; return the last thing that was looked at."""
    return list(judge(EXERCISES[exercise], [Cell("lesson", text)]))[-1]
