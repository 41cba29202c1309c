"""Notebooks and masters: the same cells, nothing that only this machine has; blanks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from sb3_atari_course.course.notebooks import (
    blank,
    execute,
    read_lesson,
    solved,
    take_outputs,
)
from tests.course.lessons import EXAMPLES, MASTERS


def sources(notebook: Any) -> list[tuple[str, str]]:
    """Return type and source of each cell."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def read_notebook(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("master", MASTERS, ids=lambda path: path.stem)
def test_committed_notebooks_have_the_cells_of_their_master(master: Path) -> None:
    notebook = read_notebook(EXAMPLES / "notebooks" / f"{master.stem}.ipynb")
    assert sources(notebook) == sources(read_lesson(master)), "run make notebooks"


@pytest.mark.parametrize("master", MASTERS, ids=lambda path: path.stem)
def test_committed_notebooks_were_executed_without_an_error(master: Path) -> None:
    path = EXAMPLES / "notebooks" / f"{master.stem}.ipynb"
    cells = [cell for cell in read_notebook(path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/home/|/work/|/tmp/|/root/|site-packages", text)
    assert path.stat().st_size < 3_000_000


@pytest.mark.parametrize("master", MASTERS, ids=lambda path: path.stem)
def test_every_lesson_begins_alike(master: Path) -> None:
    title, installation, *_ = sources(read_lesson(master))
    number = re.fullmatch(r"lesson(\d)_\w+", master.stem)
    assert number is not None
    assert title[0] == "markdown"
    assert title[1].startswith(f"# Lesson {number[1]}: ")
    for words in ("**You will learn**", "**Time**", "**Expected result:**"):
        assert words in title[1]
    assert "pip" in installation[1]
    assert len(re.findall('^SOURCE = ""', installation[1], flags=re.MULTILINE)) == 1
    assert f'begin("lesson{number[1]}")' in installation[1]


def test_outputs_stay_while_only_the_text_changes(tmp_path: Path) -> None:
    master = tmp_path / "lesson1_small.py"
    text = "# %% [markdown]\n# # Before\n\n# %%\nprint(6 * 7)\n"
    master.write_text(text, encoding="utf-8")
    executed = read_lesson(master)
    execute(executed, tmp_path)
    master.write_text(text.replace("Before", "Now"), encoding="utf-8")
    notebook = read_lesson(master)
    assert take_outputs(notebook, executed)
    assert notebook.cells[1].outputs[0].text == "42\n"
    assert notebook.cells[0].source == "# Now"
    master.write_text(text.replace("6", "5"), encoding="utf-8")
    notebook = read_lesson(master)
    assert not take_outputs(notebook, executed)
    assert notebook.cells[1].outputs == []
    assert not take_outputs(read_lesson(master), read_lesson(master))  # never executed


@pytest.mark.process
def test_a_notebook_is_executed_in_its_folder_and_checks_its_own_cells(tmp_path: Path) -> None:
    master = tmp_path / "lesson1_small.py"
    master.write_text(
        "# %% [markdown]\n# # Small\n\n"
        "# %%\nfrom sb3_atari_course.course import begin, check\n"
        'SMOKE, OUT = begin("lesson1")\n\n'
        "# %%\ndef q_learning():\n    # >>> return ...\n    return None\n    # <<<\n\n"
        '# %%\ncheck("q_learning")\n',
        encoding="utf-8",
    )
    notebook = read_lesson(master)
    execute(notebook, tmp_path)
    printed = notebook.cells[3].outputs[0].text
    assert "q_learning() got an unexpected keyword argument" in printed
    assert (tmp_path / "course_output" / "lesson1").is_dir()


SMALL_MASTER = """def f(x):
    # 1. double it
    # >>> y = ...
    y = 2 * x
    y += 0
    # <<<
    if y:
        # >>> y = ...
        # >>> z = ...
        y, z = 1, 2
        # <<<
    return y
"""


def test_a_block_is_either_its_solution_or_what_stands_in_its_markers() -> None:
    first = "def f(x):\n    # 1. double it\n"
    one, other = "    y = 2 * x\n    y += 0\n", "        y, z = 1, 2\n"
    assert solved(SMALL_MASTER) == f"{first}{one}    if y:\n{other}    return y\n"
    no_one, no_other = "    y = ...\n", "        y = ...\n        z = ...\n"
    assert blank(SMALL_MASTER) == f"{first}{no_one}    if y:\n{no_other}    return y\n"


@pytest.mark.parametrize(
    ("text", "marker"),
    [
        ("# >>> a = ...\na = 1\n", "# >>> a"),
        ("a = 1\n# <<<\n", "# <<<"),
        ("# >>> a = ...\na = 1\n# >>> b = ...\n# <<<\n", "# >>> a"),
    ],
)
def test_broken_blocks_are_named(text: str, marker: str) -> None:
    for show in (solved, blank):
        with pytest.raises(ValueError, match=marker):
            show(text)
