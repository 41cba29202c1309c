"""Notebooks from the lessons' master files: executed ones for readers, blank ones for students.

``python -m sb3_atari_course.course.notebooks execute|student FOLDER LESSON...`` writes them.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sb3_atari_course.course.blanks import blank, solved

try:
    import jupytext
    import nbclient
    import nbformat
except ImportError:
    raise ImportError(
        'notebooks need the extra "course": pip install "sb3_atari_course[course]"'
    ) from None


def read_lesson(path: str | Path, show: Callable[[str], str] = solved) -> Any:
    """Return a lesson as a notebook without outputs.

    :param path: of its master file, a script in percent format.
    :param show: :func:`.solved` or :func:`.blank`.
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
        notebook, timeout=None, record_timing=False, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    notebook.metadata.get("language_info", {}).pop("version", None)


def sources(notebook: Any) -> list[tuple[str, str]]:
    """Return type and source of each cell: what a notebook has in common with its master.

    :param notebook: any.
    """
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def read_notebook(path: str | Path) -> Any:
    """Return a notebook file.

    :param path: of an ``.ipynb`` file.
    """
    return nbformat.read(path, as_version=4)


def main() -> None:
    """Write notebooks of some lessons to a folder."""
    parser = argparse.ArgumentParser(description="Write the notebooks of lessons.")
    parser.add_argument("kind", choices=("execute", "student"))
    parser.add_argument("folder", type=Path, help="where they go")
    parser.add_argument("lessons", nargs="+", type=Path, help="master files")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for path in args.lessons:
        target = args.folder / f"{path.stem}.ipynb"
        began = time.monotonic()
        if args.kind == "student":
            notebook = read_lesson(path, blank)
            target.with_suffix(".py").write_text(blank(path.read_text(encoding="utf-8")))
        else:
            notebook = read_lesson(path)
            shutil.rmtree(Path("course_output") / path.stem.partition("_")[0], ignore_errors=True)
            execute(notebook, Path.cwd())
        nbformat.validate(notebook)
        nbformat.write(notebook, target)
        print(f"{target}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
