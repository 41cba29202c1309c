"""Command ``check``: check a student's solution to an exercise."""

from __future__ import annotations

from collections.abc import Sequence

from sb3_atari_course.cli.parser import CommandParser
from sb3_atari_course.course.checker import check
from sb3_atari_course.course.exercises import EXERCISES


def main(arguments: Sequence[str]) -> None:
    """Run the command; exit with status 0 if the solution is correct, 1 if not."""
    names = "\n".join(f"  {name:16} {lesson}" for name, lesson in EXERCISES.items())
    parser = CommandParser(
        "check",
        "Check your solution to an exercise of the course, property by property.",
        epilog=f"exercises and their lessons:\n{names}",
    )
    parser.add_argument("exercise", metavar="EXERCISE", help="name of the exercise, see below")
    parser.add_argument("file", metavar="FILE", help="script or notebook with your solution")
    args = parser.parse_args(arguments)
    raise SystemExit(0 if check(args.exercise, args.file) else 1)
