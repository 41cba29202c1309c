"""Notebooks from the lessons' master files, executed or with blanks in place of the solutions.

``python -m sb3_atari_course.course.notebooks FOLDER LESSON...`` writes executed ones. A lesson
whose code has not changed since it was executed keeps its outputs; ``--again`` runs it all the
same.

In a master file a block between marker lines is a solution; what stands after ``>>>`` is what
students see instead::

    # >>> epsilon = ...
    epsilon = max_epsilon
    # <<<
"""

from __future__ import annotations

import argparse
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sb3_atari_course.course.lesson import output_folder

try:
    import jupytext
    import nbclient
    import nbformat
except ImportError:
    raise ImportError(
        'notebooks need the extra "course": pip install "sb3_atari_course[course]"'
    ) from None

_BLOCK = re.compile(
    r"(?P<blank>(?:^ *# >>> .*\n)+)"
    r"(?P<solution>(?:^(?! *# (?:>>> |<<<)).*\n)+)"
    r"^ *# <<<.*\n?",
    re.MULTILINE,
)


def solved(text: str) -> str:
    """Return a lesson with its solutions, without the markers.

    :param text: of a master file.
    :raises ValueError: if a block is not closed, or closed twice.
    """
    return _with_blocks(text, lambda block: block["solution"])


def blank(text: str) -> str:
    """Return a lesson as students get it: ``...`` in the place of each solution.

    :param text: of a master file.
    :raises ValueError: if a block is not closed, or closed twice.
    """
    return _with_blocks(text, lambda block: block["blank"].replace("# >>> ", ""))


def _with_blocks(text: str, choose: Callable[[re.Match[str]], str]) -> str:
    """Replace each block by what ``choose`` returns."""
    text = _BLOCK.sub(choose, text)
    left = re.search(r"^ *# (>>> |<<<).*", text, re.MULTILINE)
    if left:
        raise ValueError(f"no block begins and ends at {left[0].strip()!r}")
    return text


def read_lesson(path: str | Path, show: Callable[[str], str] = solved) -> Any:
    """Return a lesson as a notebook without outputs.

    :param path: of its master file, a script in percent format.
    :param show: :func:`solved` or :func:`blank`.
    """
    path = Path(path)
    notebook = jupytext.reads(show(path.read_text(encoding="utf-8")), fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{path.stem}-{number}"
    notebook.metadata.pop("jupytext", None)
    return notebook


def execute(notebook: Any, folder: str | Path) -> None:
    """Run all cells of a notebook; it has the outputs then.

    :param notebook: of :func:`read_lesson`.
    :param folder: in which it runs.
    :raises nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    client = nbclient.NotebookClient(
        notebook,
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    notebook.metadata.get("language_info", {}).pop("version", None)


def take_outputs(notebook: Any, executed: Any) -> bool:
    """Take over the outputs of a notebook with the same code; False if the code is another.

    :param notebook: of :func:`read_lesson`.
    :param executed: the same lesson, executed earlier, maybe with other texts.
    """
    new, old = ([c for c in book.cells if c.cell_type == "code"] for book in (notebook, executed))
    is_same = [cell.source for cell in new] == [cell.source for cell in old]
    if not is_same or not all(cell.execution_count for cell in old):
        return False
    for cell, earlier in zip(new, old, strict=True):
        cell.outputs, cell.execution_count = earlier.outputs, earlier.execution_count
    notebook.metadata.update(executed.metadata)
    return True


def write_executed(master: Path, target: Path, *, again: bool = False) -> None:
    """Write a lesson with its outputs, run here unless its code is the same as before.

    :param master: of the lesson.
    :param target: the notebook to write.
    :param again: run it all the same.
    """
    notebook = read_lesson(master)
    is_known = (
        target.is_file()
        and not again
        and take_outputs(notebook, nbformat.read(target, as_version=4))
    )
    if not is_known:
        shutil.rmtree(output_folder() / master.stem.partition("_")[0], ignore_errors=True)
        execute(notebook, Path.cwd())
    nbformat.validate(notebook)
    nbformat.write(notebook, target)


def main() -> None:
    """Write the executed notebooks of some lessons to a folder."""
    parser = argparse.ArgumentParser(description="Execute lessons as notebooks.")
    parser.add_argument("folder", type=Path, help="where they go")
    parser.add_argument("lessons", nargs="+", type=Path, help="master files")
    parser.add_argument("--again", action="store_true", help="run unchanged code, too")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for path in args.lessons:
        target = args.folder / f"{path.stem}.ipynb"
        began = time.monotonic()
        write_executed(path, target, again=args.again)
        print(f"{target}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
