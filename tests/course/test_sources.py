"""A student's code in a script, a notebook, or the cells that were run."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sb3_atari_course.course.sources import Cell, read_cells, running_cells, without_magic


def write_notebook(path: Path, *sources: str) -> Path:
    cells = [{"cell_type": "code", "source": text.splitlines(keepends=True)} for text in sources]
    cells.insert(1, {"cell_type": "markdown", "source": ["def not_code(): ..."]})
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return path


def test_a_script_is_one_cell(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n", encoding="utf-8")
    assert read_cells(tmp_path / "mine.py") == [Cell("mine.py", "x = 1\n")]


def test_only_code_cells_of_a_notebook_are_read(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "mine.ipynb", "x = 1", "%pip install this\ny = 2")
    first, second = read_cells(path)
    assert first == Cell("code cell 1", "x = 1")
    assert second.name == "code cell 2"
    assert second.text.split("\n")[1:] == ["y = 2"]


def test_magic_leaves_the_numbers_of_lines_as_they_are() -> None:
    lines = without_magic("a = 1\n!ls\nfiles = !ls\ngym.Env?\nb = (a\n% 2)").split("\n")
    assert lines[0] == "a = 1"
    assert lines[4:] == ["b = (a", "% 2)"]
    ast.parse("\n".join(lines))


def test_a_timed_cell_is_python_and_a_cell_of_another_language_is_none() -> None:
    assert without_magic("%%time\nx = 1") == "pass\nx = 1"
    assert without_magic("%%bash\nls") == ""


def test_without_ipython_lines_of_magic_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython.core.inputtransformer2", None)
    assert without_magic("a = 1\n%time a\nb = 2") == "a = 1\n\nb = 2"


def test_a_byte_order_mark_is_no_code(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(b"\xef\xbb\xbfx = 1\n")
    assert read_cells(tmp_path / "mine.py") == [Cell("mine.py", "x = 1\n")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.py", None, "missing.py is no file"),
        ("mine.txt", "x = 1", "a .py or an .ipynb file"),
        ("mine.ipynb", "{", "cannot be read as a notebook"),
        ("mine.ipynb", "{}", "cannot be read as a notebook"),
        ("mine.ipynb", "[]", "cannot be read as a notebook"),
    ],
)
def test_what_cannot_be_read_is_told(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_cells(tmp_path / name)


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="script in UTF-8"):
        read_cells(tmp_path / "mine.py")


def test_a_script_knows_its_own_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "lesson.py"
    path.write_text("x = 1\n", encoding="utf-8")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(path), raising=False)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert running_cells() == [Cell("lesson.py", "x = 1\n")]


def test_a_plain_shell_has_no_source() -> None:
    code = "from sb3_atari_course.course.sources import running_cells; running_cells()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pass its file, check(exercise, file)" in done.stderr
