"""Of a lesson only what an exercise needs is run."""

from __future__ import annotations

from typing import Any

import pytest

from sb3_atari_course.course.needed import needed_statements
from sb3_atari_course.course.sources import Cell


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
