"""``check``: properties of a student's solution of an exercise."""

from __future__ import annotations

from collections.abc import Sequence

from sb3_atari_course.cli.parser import CommandParser
from sb3_atari_course.course.checker import check
from sb3_atari_course.course.exercises import EXERCISES


def main(arguments: Sequence[str]) -> None:
    """Check a solution; exit status 0 if it is right, 1 if not."""
    names = "\n".join(f"  {name:16} {lesson}" for name, lesson in EXERCISES.items())
    parser = CommandParser(
        "check",
        "Check your solution of an exercise: properties, one after the other.",
        epilog=f"exercises, and the lessons that pose them:\n{names}",
    )
    parser.add_argument("exercise", metavar="EXERCISE", help="its name, see below")
    parser.add_argument("file", metavar="FILE", help="the script or notebook with your solution")
    args = parser.parse_args(arguments)
    raise SystemExit(0 if check(args.exercise, args.file) else 1)
