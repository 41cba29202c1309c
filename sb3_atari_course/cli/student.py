"""Command ``student``: write the students' versions of the lessons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sb3_atari_course.cli.parser import CommandParser

_DESCRIPTION = """\
Write the students' versions of the lessons, with blanks in place of the solutions: each as a
notebook and as a script. Files that have been changed are kept.
"""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("student", _DESCRIPTION)
    parser.add_argument("folder", metavar="FOLDER", nargs="?", type=Path, help="where the files go")
    parser.add_argument(
        "lessons",
        metavar="LESSON",
        nargs="*",
        help="lesson1 or lesson1_taxi, or your own copy of a lesson: my_lessons/lesson1_taxi.py"
        " (default: all lessons of the course)",
    )
    parser.add_argument("--again", action="store_true", help="overwrite changed files")
    parser.add_argument(
        "--install-from",
        metavar="SOURCE",
        help="where hosted notebooks install this package from: address of its repository"
        " (git+https://...), address of a wheel, or path of a wheel, relative to the notebook",
    )
    args = parser.parse_intermixed_args(arguments)
    if args.folder is None:
        parser.error("no folder: name the one where the files go, such as my_lessons")
    if args.folder.exists() and not args.folder.is_dir():
        parser.error(f"{args.folder} is not a folder")

    from sb3_atari_course.course.handout import all_lessons, find_lesson, write_student

    masters = [find_lesson(name) for name in args.lessons] or all_lessons()
    for master in dict.fromkeys(masters):
        for path, outcome in write_student(
            master, args.folder, again=args.again, source=args.install_from
        ):
            print(f"{path}: {outcome}")
