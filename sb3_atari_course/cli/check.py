"""Command ``check``: check a student's solution to an exercise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sb3_atari_course.cli.parser import CommandParser, number
from sb3_atari_course.course.checker import check
from sb3_atari_course.course.exercises import EXERCISES, check_name


def main(arguments: Sequence[str]) -> None:
    """Run the command; exit with status 0 if all solutions are right, 1 if not."""
    names = "\n".join(f"  {name:16} {lesson}" for name, lesson in EXERCISES.items())
    parser = CommandParser(
        "check",
        "Check solutions to the exercises of the course, property by property.",
        usage="%(prog)s [-h] EXERCISE FILE... [--csv TABLE] [--jobs N]\n"
        "       %(prog)s --all FILE... [--csv TABLE] [--jobs N]",
        epilog=f"exercises and their lessons:\n{names}",
    )
    parser.add_argument("exercise", metavar="EXERCISE", nargs="?", help="name, see below")
    parser.add_argument(
        "files", metavar="FILE", nargs="*", help="script, notebook, or folder with solutions"
    )
    parser.add_argument("--all", action="store_true", help="check every exercise that a file has")
    parser.add_argument("--csv", metavar="TABLE", help="write the results to a CSV file")
    parser.add_argument(
        "--jobs", type=number(int, 1), metavar="N", help="checks at a time (default: CPUs)"
    )
    args = parser.parse_args(arguments)
    files = [args.exercise, *args.files] if args.all and args.exercise else args.files
    exercise = None if args.all else args.exercise
    if exercise and not files and Path(exercise).exists():
        parser.error(
            f"{exercise} is not an exercise: check EXERCISE {exercise}, or --all {exercise}"
        )
    if not files:
        parser.error("name a file or a folder with solutions")
    if args.csv and Path(args.csv).suffix != ".csv":
        parser.error(f"--csv takes the name of the table, such as grades.csv, got {args.csv!r}")
    if exercise:
        check_name(exercise)
    if exercise and len(files) == 1 and not Path(files[0]).is_dir() and not args.csv:
        raise SystemExit(0 if check(exercise, files[0]) else 1)
    raise SystemExit(0 if _grade(files, exercise, args.jobs, args.csv) else 1)


def _grade(files: Sequence[str], exercise: str | None, jobs: int | None, table: str | None) -> bool:
    """Check many solutions, print a line for each and a sum; return whether all are right."""
    from sb3_atari_course.course.grading import grade, write_csv  # imports torch

    grades = grade(files, exercise, n_processes=jobs)
    n_right = n_exercises = n_others = 0
    for one in write_csv(grades, table) if table else grades:
        print(one, flush=True)
        n_right += one.passed
        n_exercises += bool(one.exercise)
        n_others += not one.exercise
    others = f", {n_others} files without an exercise" if n_others else ""
    print(f"{n_right} of {n_exercises} exercises right{others}{f'; {table}' if table else ''}")
    return n_right == n_exercises + n_others
