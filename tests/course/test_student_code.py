"""Extraction of a student's code from a script, a notebook, or the cells that were run."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sb3_atari_course.course.student_code import (
    Cell,
    needed_statements,
    read_cells,
    running_cells,
    without_magic,
)


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
        ("missing.py", None, "missing.py is not a file"),
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


def test_a_plain_shell_has_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    with pytest.raises(ValueError, match=r"check\(exercise, file\)"):
        running_cells()


def run(names: list[str], *cells: str) -> dict[str, Any]:
    """Run what is needed of some cells; return what is defined then."""
    namespace: dict[str, Any] = {}
    for statement in needed_statements([Cell(f"cell {i}", t) for i, t in enumerate(cells)], names):
        statement.run(namespace)
    return namespace


def test_trainings_are_not_run() -> None:
    made = run(["f"], "def f(): return 1\n", "result = f()\nprint(1 / 0)\n")
    assert made["f"]() == 1
    assert "result" not in made


def test_what_a_function_uses_comes_along_however_far() -> None:
    made = run(
        ["f"],
        "import math\nimport os\nTWO = 2\nUNUSED = 1 / 0\n",
        "def helper(x): return math.sqrt(x) * TWO\n",
        "def f(x): return [helper(y) for y in x]\n",
    )
    assert made["f"]([9]) == [6.0]
    assert "os" not in made


def test_names_of_a_function_itself_are_not_looked_for_outside() -> None:
    made = run(
        ["f"], "env = 1 / 0\nlocal = 1 / 0\n", "def f(env):\n    local = env\n    return local\n"
    )
    assert made["f"](3) == 3


def test_of_several_definitions_the_last_counts() -> None:
    made = run(["f"], "def f(): return 1 / 0\n", "def f(): return 2\n", "x = f()\n")
    assert made["f"]() == 2


def test_what_is_bound_in_pieces_is_run_in_pieces() -> None:
    made = run(
        ["f"], "SIZES = []\nSIZES += [4]\nif True:\n    MORE = 1\n", "def f(): return SIZES, MORE"
    )
    assert made["f"]() == ([4], 1)


def test_a_class_brings_its_parents_and_decorators() -> None:
    made = run(
        ["Box"],
        "from dataclasses import dataclass\nclass Base:\n    size = 3\n",
        "@dataclass\nclass Box(Base):\n    name: str = 'box'\n",
    )
    assert made["Box"]().size == 3


def test_a_cell_that_is_no_python_does_not_spoil_the_others() -> None:
    assert run(["f"], "def g(:\n", "def f(): return 1\n")["f"]() == 1
    with pytest.raises(SyntaxError):
        run(["f"], "def f(:\n")


def test_a_name_in_a_cell_that_is_no_python_is_not_called_missing() -> None:
    with pytest.raises(SyntaxError, match="never closed"):
        run(["f"], "def f(\n", "x = 1\n")


def test_globals_that_a_function_changes_come_along() -> None:
    made = run(["f"], "n = 3\n", "def f():\n    global n\n    n += 1\n    return n\n")
    assert made["f"]() == 4


def test_names_of_a_star_import_are_there() -> None:
    assert run(["f"], "from math import *\n", "def f(): return sqrt(4)\n")["f"]() == 2


def test_what_is_changed_in_place_is_changed() -> None:
    made = run(
        ["f", "Box"],
        "pay = {}\npay[1] = 2\nsizes = []\nsizes.append(3)\nother.append(1)\n",
        "class Box: pass\n",
        "Box.size = 5\n",
        "def f(): return pay[1], sizes[0]\n",
    )
    assert made["f"]() == (2, 3)
    assert made["Box"].size == 5


def test_errors_show_the_line_of_the_cell() -> None:
    import traceback

    made = run(["f"], "\n\n\ndef f():\n    return 1 / 0\n")
    try:
        made["f"]()
    except ZeroDivisionError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
    assert (frame.filename, frame.lineno, frame.line) == ("<cell 0>", 5, "return 1 / 0")
