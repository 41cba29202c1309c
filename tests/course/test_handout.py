"""Students' versions: blanks, changed files are kept, the source to install from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from sb3_atari_course.course import handout
from sb3_atari_course.course.handout import (
    all_lessons,
    find_lesson,
    requirement,
    student_text,
    write_student,
)
from tests.course.lessons import EXAMPLES, MASTERS

ADDRESS = "git+https://example.org/course.git"


def test_students_get_blanks_and_keep_their_work(tmp_path: Path) -> None:
    script, notebook = tmp_path / "lesson1_taxi.py", tmp_path / "lesson1_taxi.ipynb"
    assert dict(write_student(MASTERS[0], tmp_path)) == {notebook: "written", script: "written"}
    for path in (script, notebook):
        text = path.read_text(encoding="utf-8")
        assert "table = ..." in text
        assert "np.zeros((env" not in text
        assert ">>>" not in text
    assert dict(write_student(MASTERS[0], tmp_path)) == {
        notebook: "unchanged",
        script: "unchanged",
    }
    script.write_bytes(b"my work: \xff")
    assert dict(write_student(MASTERS[0], tmp_path))[script].startswith("kept")
    assert script.read_bytes() == b"my work: \xff"
    assert dict(write_student(MASTERS[0], tmp_path, again=True)) == {
        notebook: "unchanged",
        script: "written",
    }
    assert "table = ..." in script.read_text(encoding="utf-8")


def test_the_students_notebooks_of_the_repository_are_those_of_the_command(tmp_path: Path) -> None:
    for master in MASTERS:
        list(write_student(master, tmp_path))
    written = {path.name: path.read_bytes() for path in tmp_path.glob("*.ipynb")}
    committed = {path.name: path.read_bytes() for path in (EXAMPLES / "student").glob("*.ipynb")}
    assert committed == written, "run make student AGAIN=--again"


def test_a_master_is_never_overwritten(tmp_path: Path) -> None:
    own = tmp_path / "lesson1_taxi.py"
    shutil.copy(MASTERS[0], own)
    with pytest.raises(ValueError, match="solutions"):
        list(write_student(own, tmp_path / "folder" / "..", again=True))
    assert own.read_bytes() == MASTERS[0].read_bytes()


def test_lessons_are_found_by_number_name_and_path(tmp_path: Path) -> None:
    assert all_lessons() == MASTERS
    for name in ("lesson3", "lesson3_screen", str(MASTERS[2])):
        assert find_lesson(name) == MASTERS[2]
    for name in ("lesson99", "lesson3_scream", "lesson", str(tmp_path / "lesson3_screen.py")):
        with pytest.raises(ValueError, match=name):
            find_lesson(name)


def test_a_package_without_lessons_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handout, "_LESSONS", tmp_path)
    with pytest.raises(ValueError, match=str(tmp_path)):
        all_lessons()


@pytest.mark.process
def test_an_installed_package_has_its_lessons(tmp_path: Path) -> None:
    package = tmp_path / "site/sb3_atari_course"
    shutil.copytree(EXAMPLES.parent / "sb3_atari_course", package)
    (package / "examples").mkdir()
    shutil.copy(MASTERS[0], package / "examples")
    subprocess.run(
        [sys.executable, "-m", "sb3_atari_course", "student", "handout"],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
    )
    written = [path.name for path in sorted((tmp_path / "handout").iterdir())]
    assert written == ["lesson1_taxi.ipynb", "lesson1_taxi.py"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (ADDRESS, f"sb3_atari_course[course] @ {ADDRESS}"),
        ("https://a.org/x.whl?key=1", "sb3_atari_course[course] @ https://a.org/x.whl?key=1"),
        ("https://a.org/main.zip", "sb3_atari_course[course] @ https://a.org/main.zip"),
        ("my wheels/x.whl", "my wheels/x.whl[course]"),
    ],
)
def test_a_source_becomes_what_pip_installs(source: str, expected: str) -> None:
    assert requirement(source) == expected


@pytest.mark.parametrize(
    "source",
    ["", "sb3_atari_course", "https://a.org/course", "git@a.org:course.git", "git+https://a b/c"],
)
def test_other_sources_are_refused(source: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(source))):
        requirement(source)


@pytest.mark.parametrize("master", MASTERS, ids=lambda path: path.stem)
def test_the_source_is_written_into_every_lesson(master: Path, tmp_path: Path) -> None:
    list(write_student(master, tmp_path, source=ADDRESS))
    notebook = nbformat.read(tmp_path / f"{master.stem}.ipynb", as_version=4)
    line = f'SOURCE = "sb3_atari_course[course] @ {ADDRESS}"'
    assert line in notebook.cells[1].source.splitlines()
    assert line in (tmp_path / f"{master.stem}.py").read_text(encoding="utf-8").splitlines()


def test_a_lesson_without_the_line_cannot_take_a_source() -> None:
    assert student_text("a = 1\n") == "a = 1\n"
    for text in ("a = 1\n", 'SOURCE = ""\n' * 2):
        with pytest.raises(ValueError, match="SOURCE"):
            student_text(text, ADDRESS)


def test_a_lesson_names_the_source_that_it_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is not installed the first cell says what to set, and installs it then."""
    installed: list[list[str]] = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("subprocess.run", lambda command, check: installed.append(command))
    for master in MASTERS:
        for source in (None, ADDRESS):
            text = student_text(master.read_text(encoding="utf-8"), source)
            cell = text.split("# %%\n")[1].split("\nfrom ")[0]
            if source is None:
                with pytest.raises(AssertionError, match="SOURCE"):
                    exec(cell, {})
            else:
                exec(cell, {})
                assert installed.pop()[-1] == requirement(source)
    assert installed == []
