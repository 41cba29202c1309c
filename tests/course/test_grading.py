"""A folder of submissions: each exercise in each file has a grade, whatever the others do."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from sb3_atari_course.__main__ import main
from sb3_atari_course.course.exercises import load_exercise
from sb3_atari_course.course.grading import Grade, grade, write_csv
from tests.course.lessons import solution_of


@pytest.mark.process
def test_a_folder_of_submissions_is_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = solution_of("own_env")
    files = {
        "ada/lesson7.py": right,
        "bob/lesson7.py": right.replace("-0.1", "0.1"),
        "cleo/leaves.py": right.replace("self.position = 0", "import os; os._exit(0)", 1),
        "dan/both.py": "class Corridor: ...\ndef build_cnn(n_actions, n_stack=4):\n    ...\n",
        "eve/twice.py": f"{right}\nclass Corridor: pass\n",
        "eve/broken.ipynb": '{"cells": [',
        "eve/empty.py": "",
        "eve/.hidden.py": "",
        "fay/__pycache__/lesson7.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "in/eve/scan.py").write_bytes(b"\x00\x01\xff")
    (tmp_path / "in/eve/scan.pdf").write_bytes(b"%PDF")
    table = tmp_path / "grades.csv"
    arguments = ["check", "--all", str(tmp_path / "in"), "--csv", str(table), "--jobs", "2"]
    monkeypatch.setattr(sys, "argv", ["sb3-atari", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert "1 of 6 exercises right, 4 files without an exercise" in capsys.readouterr().out
    with table.open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
    found = {(Path(row["file"]).name, row["exercise"]): row for row in rows}
    assert len(rows) == len(found) + 1 == 10  # two files are called lesson7.py
    findings = {key: row["first finding"] for key, row in found.items()}
    n_properties = 1 + len(load_exercise("own_env").properties)
    assert rows[0]["held"] == rows[0]["of"] == str(n_properties)
    assert rows[0]["first finding"] == ""
    assert "ended with status 0" in findings["leaves.py", "own_env"]
    assert "still blank" in findings["both.py", "build_cnn"]
    assert "defined 2 times" in findings["twice.py", "own_env"]
    assert "cannot be read as a notebook" in findings["broken.ipynb", ""]
    assert "no exercise is in this file" in findings["empty.py", ""]
    assert "cannot be read as a script" in findings["scan.py", ""]
    assert "a .py or an .ipynb" in findings["scan.pdf", ""]


def test_one_exercise_of_several_files_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="nowhere"):
        grade([tmp_path, tmp_path / "nowhere"], "own_env")
    with pytest.raises(ValueError, match="'own_enf'"):
        grade([tmp_path], "own_enf")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no files to check in .*empty"):
        grade([tmp_path / "empty"])
    (unreadable,) = grade([tmp_path / "b.txt"], "own_env")
    assert unreadable.file == tmp_path / "b.txt"
    assert not unreadable.passed


def test_code_that_cannot_be_parsed_is_one_grade(tmp_path: Path) -> None:
    deep = "x = " + 100_000 * "-" + "1"
    (tmp_path / "deep.py").write_text(deep, encoding="utf-8")
    notebook = {"cells": [{"cell_type": "code", "source": [deep]}]}
    (tmp_path / "deep.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (tmp_path / "prose.py").write_text("My answer is:", encoding="utf-8")
    (tmp_path / "grades.csv").write_text("an earlier table", encoding="utf-8")
    findings = {one.file.name: one.finding for one in grade([tmp_path])}
    assert findings.keys() == {"deep.py", "deep.ipynb", "prose.py"}
    assert all(finding.startswith("this is not Python") for finding in findings.values())


def test_a_table_has_a_row_for_each_grade(tmp_path: Path) -> None:
    wrong = Grade(Path("a.py"), "own_env", 2, 7, "starts:\n  begin, at the goal", 1.25)
    assert list(write_csv([wrong], tmp_path / "grades.csv")) == [wrong]
    assert (tmp_path / "grades.csv").read_text(encoding="utf-8").splitlines() == [
        "file,exercise,held,of,first finding,seconds",
        'a.py,own_env,2,7,"starts: begin, at the goal",1.2',
    ]
