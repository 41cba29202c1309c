"""Where a student's code is: a script, a notebook, or the cells that were run so far."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: First characters of a line that only a notebook understands.
_MAGIC = ("%", "!", "?")

#: Magics of a whole cell, which is Python all the same.
_AROUND_PYTHON = ("%%time", "%%timeit", "%%capture", "%%prun")


@dataclass(frozen=True)
class Cell:
    """A piece of Python.

    :param name: where it is, for messages.
    :param text: its source.
    """

    name: str
    text: str


def read_cells(path: str | Path) -> list[Cell]:
    """Read a script (one cell) or the code cells of a notebook.

    :param path: of a ``.py`` or ``.ipynb`` file.
    :raises ValueError: if there is no such file, or if it is neither.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file: name the script or the notebook with your solution")
    if path.suffix not in (".py", ".ipynb"):
        raise ValueError(f"a solution is a .py or an .ipynb file, got {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".py":
            return [Cell(path.name, text)]
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        return [
            Cell(f"code cell {number}", without_magic("".join(cell["source"])))
            for number, cell in enumerate(cells, 1)
        ]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        what = "script in UTF-8" if path.suffix == ".py" else "notebook"
        raise ValueError(f"{path} cannot be read as a {what}: {error}") from None


def running_cells() -> list[Cell]:
    """Return the source of the script that runs, or of all cells run so far in this notebook.

    :raises ValueError: if there is neither, in a plain Python shell.
    """
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython else None
    script = getattr(sys.modules["__main__"], "__file__", None)
    if shell is not None and not str(script).endswith(".py"):  # %run sets it
        history = shell.history_manager.input_hist_raw
        return [Cell(f"In [{i}]", without_magic(text)) for i, text in enumerate(history) if text]
    if script is None:
        raise ValueError("nobody knows where your code is: pass its file, check(exercise, file)")
    return read_cells(script)


def without_magic(text: str) -> str:
    """Return the source of a notebook cell as Python; lines keep their numbers.

    :param text: of the cell, with what only a notebook understands: ``%time``, ``!ls``, ``?help``.
    """
    first, newline, rest = text.partition("\n")
    if first.startswith("%%"):
        if not first.startswith(_AROUND_PYTHON):
            return ""
        text = "pass" + newline + rest
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        lines = text.split("\n")
        return "\n".join("" if line.lstrip().startswith(_MAGIC) else line for line in lines)
    python: str = TransformerManager().transform_cell(text)
    return python.rstrip("\n")
