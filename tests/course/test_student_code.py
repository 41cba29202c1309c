"""Extraction of a student's code from a script, a notebook, or the cells that were run."""

from __future__ import annotations

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


def test_a_script_is_one_cell_without_its_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(b"\xef\xbb\xbfx = 1\n")
    assert read_cells(tmp_path / "mine.py") == [Cell("mine.py", "x = 1\n")]


def test_only_code_cells_of_a_notebook_are_read(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "mine.ipynb", "x = 1", "%pip install this\ny = 2")
    first, second = read_cells(path)
    assert first == Cell("code cell 1", "x = 1")
    assert second.name == "code cell 2"
    assert second.text.split("\n")[1:] == ["y = 2"]


@pytest.mark.parametrize(
    ("cell", "python"),
    [
        (
            "a = 1\n!ls\nfiles = !ls\ngym.Env?\nif a:\n    %time a",
            "a = 1\npass\npass\npass\nif a:\n    pass",
        ),
        ("b = (a\n% 2)", "b = (a\n% 2)"),
        ("%%time\nx = 1\n!ls", "pass\nx = 1\npass"),
        ("%%bash\nls", ""),
    ],
)
def test_magic_leaves_the_numbers_of_lines_as_they_are(cell: str, python: str) -> None:
    assert without_magic(cell) == python


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.py", None, "missing.py is not a file"),
        ("mine.txt", b"x = 1", "a .py or an .ipynb file"),
        ("mine.py", b"\xff\xfe\x00", "script in UTF-8"),
        ("mine.ipynb", b"{", "cannot be read as a notebook"),
        ("mine.ipynb", b"[]", "cannot be read as a notebook"),
    ],
)
def test_what_cannot_be_read_is_told(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_cells(tmp_path / name)


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


def test_what_a_function_uses_comes_along_however_far_and_nothing_else() -> None:
    made = run(
        ["f"],
        "import os\nfrom math import *\nTWO = 2\nUNUSED = env = local = 1 / 0\n",
        "def helper(x): return sqrt(x) * TWO\n",
        "def f(env):\n    local = [helper(y) for y in env]\n    return local\n",
        "result = f([9])\nprint(1 / 0)\n",  # a training
    )
    assert made["f"]([9]) == [6.0]
    assert made.keys().isdisjoint({"os", "UNUSED", "result"})


def test_of_several_definitions_the_last_counts() -> None:
    made = run(["f"], "def f(): return 1 / 0\n", "def f(): return 2\n", "x = f()\n")
    assert made["f"]() == 2


def test_what_is_bound_or_changed_in_pieces_is_run_in_pieces() -> None:
    made = run(
        ["f", "Box"],
        "sizes = []\nsizes += [4]\nsizes.append(3)\npay = {}\npay[1] = 2\nother.append(1)\n",
        "if True:\n    n = 1\n",
        "class Box: pass\nBox.size = 5\n",
        "def f():\n    global n\n    n += 1\n    return sizes, pay, n\n",
    )
    assert made["f"]() == ([4, 3], {1: 2}, 2)
    assert made["Box"].size == 5


def test_a_class_brings_its_parents_and_decorators() -> None:
    made = run(
        ["Box"],
        "from dataclasses import dataclass\nclass Base:\n    size = 3\n",
        "@dataclass\nclass Box(Base):\n    name: str = 'box'\n",
    )
    assert made["Box"]().size == 3


def test_a_cell_that_is_not_python_matters_only_if_a_name_is_missing() -> None:
    assert run(["f"], "def g(:\n", "def f(): return 1\n")["f"]() == 1
    with pytest.raises(SyntaxError, match="never closed"):
        run(["f"], "def f(\n", "x = 1\n")


def test_errors_show_the_line_of_the_cell() -> None:
    import traceback

    made = run(["f"], "\n\n\ndef f():\n    return 1 / 0\n")
    try:
        made["f"]()
    except ZeroDivisionError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
    assert (frame.filename, frame.lineno, frame.line) == ("<cell 0>", 5, "return 1 / 0")
