"""Command ``student``: which lessons, where to, what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.course.lessons import MASTERS
from tests.zoo.runs import cli, printed_by


def test_writes_a_notebook_and_a_script_of_all_lessons(tmp_path: Path) -> None:
    printed_by("student", "new/folder")
    written = {path.name for path in (tmp_path / "new/folder").iterdir()}
    assert written == {f"{master.stem}{end}" for master in MASTERS for end in (".py", ".ipynb")}


def test_lessons_flags_and_folder_come_in_any_order() -> None:
    source = "git+https://example.org/course.git"
    printed_by("student", "--again", "out", "lesson3", "--install-from", source, "lesson1_taxi")
    scripts = sorted(Path("out").glob("*.py"))
    assert [path.name for path in scripts] == ["lesson1_taxi.py", "lesson3_screen.py"]
    assert all(source in path.read_text(encoding="utf-8") for path in scripts)


def test_prints_which_files_were_kept() -> None:
    work = Path("out/lesson1_taxi.py")
    work.parent.mkdir()
    work.write_text("my work", encoding="utf-8")
    printed = printed_by("student", "out", "lesson1", "lesson1").splitlines()
    assert len(printed) == 2
    assert [line for line in printed if "kept" in line] == [
        line for line in printed if ".py" in line
    ]
    assert work.read_text(encoding="utf-8") == "my work"
    assert "kept" not in printed_by("student", "out", "lesson1", "--again")
    assert "..." in work.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "no folder"),
        (["out", "lesson99"], "lesson99"),
        (["out", "missing/lesson1_taxi.py"], "missing/lesson1_taxi.py"),
        (["out", "--install-from", "sb3_atari_course"], "sb3_atari_course"),
        (["a_file"], "a_file"),
        (["a_file/out"], "a_file/out"),
    ],
)
def test_wrong_arguments_print_one_line_and_write_nothing(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a_file").touch()
    assert cli("student", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line
    assert list(Path().iterdir()) == [Path("a_file")]
