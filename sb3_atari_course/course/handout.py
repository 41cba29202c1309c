"""Students' versions of the lessons: blanks in place of the solutions, the source to install from.

The lessons' master files are in ``examples/`` of a checkout, and inside this package if installed
from a wheel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sb3_atari_course._common.atomic_files import write_result

try:
    import nbformat

    from sb3_atari_course.course.notebooks import blank, read_lesson
except ImportError:
    raise ImportError(
        'lessons need the extra "course": pip install "sb3_atari_course[course]"'
    ) from None

_PACKAGE = Path(__file__).parents[1]
_CHECKOUT = _PACKAGE.parent
_LESSONS = (_CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else _PACKAGE) / "examples"

_REQUIREMENT = "sb3_atari_course[course]"
_NO_SOURCE = re.compile(r'^SOURCE = "".*$', re.MULTILINE)


def all_lessons() -> list[Path]:
    """Return the master files of the course, in its order.

    :raises ValueError: if there are none.
    """
    masters = sorted(_LESSONS.glob("lesson*.py"))
    if not masters:
        raise ValueError(f"no lesson in {_LESSONS}: install the package again, or name a file")
    return masters


def find_lesson(name: str) -> Path:
    """Return the master file of a lesson.

    :param name: ``lesson1_taxi`` or ``lesson1``; the path of a ``.py`` file is returned as it is.
    :raises ValueError: if there is none.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise ValueError(f"{name} is not a file: a lesson of the course is named without .py")
        return Path(name)
    masters = all_lessons()
    for master in masters:
        if name in (master.stem, master.stem.partition("_")[0]):
            return master
    names = ", ".join(master.stem for master in masters)
    raise ValueError(f"unknown lesson {name!r}: one of {names}")


def requirement(source: str) -> str:
    """Return what pip installs in a hosted notebook: the package from ``source``, with its extra.

    >>> requirement("git+https://example.org/course.git")
    'sb3_atari_course[course] @ git+https://example.org/course.git'
    >>> requirement("sb3_atari_course-0.1.0-py3-none-any.whl")
    'sb3_atari_course-0.1.0-py3-none-any.whl[course]'

    :param source: address of a Git repository (``git+https://...``), address of a wheel or archive,
        or path of a wheel, relative to the notebook.
    :raises ValueError: for anything else.
    """
    is_address = "://" in source and not re.search(r"\s", source)
    if is_address and source.startswith("git+"):
        return f"{_REQUIREMENT} @ {source}"
    if is_address and urlsplit(source).path.endswith((".whl", ".zip", ".tar.gz")):
        return f"{_REQUIREMENT} @ {source}"
    if "://" not in source and source.endswith(".whl"):
        return f"{source}[course]"
    raise ValueError(
        f"{source!r} is not the address of a repository (git+https://...), nor the path or address"
        " of a wheel (.whl)"
    )


def student_text(text: str, source: str | None = None) -> str:
    """Return a lesson as students get it.

    :param text: of a master file.
    :param source: from which hosted notebooks install the package, see :func:`requirement`.
    :raises ValueError: for another source, and for a lesson without ``SOURCE = ""``.
    """
    text = blank(text)
    if source is None:
        return text
    line = f"SOURCE = {json.dumps(requirement(source))}"
    text, n_lines = _NO_SOURCE.subn(lambda _: line, text)
    if n_lines != 1:
        raise ValueError(
            f'{n_lines} lines of the lesson begin with SOURCE = "", but one is needed for {source}'
        )
    return text


def write_student(
    master: Path, folder: Path, *, again: bool = False, source: str | None = None
) -> Iterator[tuple[Path, str]]:
    """Write the students' version of a lesson, as a notebook and as a script.

    :param master: of the lesson.
    :param folder: where the files go; it is created if missing.
    :param again: overwrite files that differ, which may be a student's work.
    :param source: see :func:`student_text`.
    :return: path and what happened to it, for each file.
    :raises ValueError: if a file cannot be written, or would replace the master.
    """

    def show(text: str) -> str:
        return student_text(text, source)

    if folder.resolve() == master.resolve().parent:
        raise ValueError(f"{folder} holds the lesson with its solutions: choose another folder")
    texts = {
        ".ipynb": nbformat.writes(read_lesson(master, show)) + "\n",
        ".py": show(master.read_text(encoding="utf-8")),
    }
    for suffix, text in texts.items():
        path, content = folder / f"{master.stem}{suffix}", text.encode()
        if path.is_file() and path.read_bytes() == content:
            yield path, "unchanged"
        elif path.is_file() and not again:
            yield path, "kept, it differs from the lesson (--again overwrites it)"
        else:
            _write(path, content)
            yield path, "written"


def _write(path: Path, content: bytes) -> None:
    write_result(path, lambda file: file.write(content), advice="choose another folder")
