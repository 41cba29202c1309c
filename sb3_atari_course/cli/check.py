"""``python -m sb3_atari_course check EXERCISE FILE``."""

from __future__ import annotations

import argparse
import sys

from sb3_atari_course.course.checker import check
from sb3_atari_course.course.exercises import EXERCISES


def main() -> None:
    """Check a solution; exit status 0 if it is right, 1 if not."""
    names = "\n".join(f"  {name:16} {lesson}" for name, lesson in EXERCISES.items())
    parser = argparse.ArgumentParser(
        prog=sys.argv[0],
        description="Check your solution of an exercise: properties, one after the other.",
        epilog=f"exercises, and the lessons that pose them:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("exercise", metavar="EXERCISE", help="its name, see below")
    parser.add_argument("file", metavar="FILE", help="the script or notebook with your solution")
    args = parser.parse_args()
    raise SystemExit(0 if check(args.exercise, args.file) else 1)
