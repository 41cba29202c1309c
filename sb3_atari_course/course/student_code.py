"""Extraction of exercise code: of a script or notebook, the functions asked for and what they use.

The rest of a lesson, the trainings above all, is not run when a solution is checked.
"""

from __future__ import annotations

import ast
import json
import linecache
import re
import symtable
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sb3_atari_course.course.lesson import ipython_shell

#: A line that only a notebook understands: ``%time f()``, ``!ls``, ``files = !ls``, ``f?``.
_MAGIC = re.compile(r"^([ \t]*)(?:[%!?].*|\w+ *= *[%!].*|.*\?)$", re.MULTILINE)

#: Magics of a whole cell, which is Python all the same.
_AROUND_PYTHON = ("%%time", "%%timeit", "%%capture", "%%prun")

#: Methods of lists, sets and dicts that change them.
_CHANGING = ("add", "append", "extend", "insert", "setdefault", "update")

#: What :func:`ast.parse` raises, for NUL bytes and thousands of brackets too.
_NOT_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)


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
        raise ValueError(f"{path} is not a file: name the script or notebook with your solution")
    if path.suffix not in (".py", ".ipynb"):
        raise ValueError(f"a solution is a .py or an .ipynb file, got {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".py":
            return [Cell(path.name, text)]
        codes = [
            cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"
        ]
        texts = [without_magic("".join(code)) for code in codes]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = "script in UTF-8" if path.suffix == ".py" else "notebook"
        raise ValueError(f"{path} cannot be read as a {what}: {error}") from None
    return [Cell(f"code cell {number}", text) for number, text in enumerate(texts, 1)]


def definitions(cells: Iterable[Cell], name: str) -> list[str]:
    """Return the places at the top level of some cells where a function or class is defined.

    :param cells: the student's code; what is not Python is searched line by line.
    :param name: of the function or class.
    """
    places = []
    for cell in cells:
        try:
            lines = [
                node.lineno
                for node in ast.parse(cell.text).body
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name
            ]
        except _NOT_PYTHON:
            found = re.finditer(rf"^(?:def|class) {name}\b", cell.text, re.MULTILINE)
            lines = [cell.text.count("\n", 0, match.start()) + 1 for match in found]
        places += [f"line {line} of {cell.name}" for line in lines]
    return places


def check_syntax(cells: Iterable[Cell]) -> None:
    """Refuse cells that are not Python.

    :raises ValueError: for the first that is not.
    """
    for cell in cells:
        try:
            ast.parse(cell.text, filename=cell.name)
        except _NOT_PYTHON as error:
            raise ValueError(f"this is not Python: {error}") from None


def running_cells() -> list[Cell]:
    """Return the source of the script that runs, or of all cells run so far in this notebook.

    :raises ValueError: if there is neither, in a plain Python shell.
    """
    shell = ipython_shell()
    script = getattr(sys.modules["__main__"], "__file__", None)
    if shell is not None and not str(script).endswith(".py"):  # %run sets it
        history = shell.history_manager.input_hist_raw
        return [Cell(f"In [{i}]", without_magic(text)) for i, text in enumerate(history) if text]
    if script is None:
        raise ValueError("a shell has no file with your code: pass one, check(exercise, file)")
    return read_cells(script)


def without_magic(text: str) -> str:
    """Return the source of a notebook cell as Python; lines keep their numbers.

    :param text: of the cell, maybe with lines that only a notebook understands.
    """
    first, newline, rest = text.partition("\n")
    if first.startswith("%%"):
        text = "pass" + newline + rest if first.startswith(_AROUND_PYTHON) else ""
    try:
        ast.parse(text)
    except _NOT_PYTHON:
        return _MAGIC.sub(r"\1pass", text)
    return text


@dataclass(frozen=True)
class Statement:
    """One statement at the top level of a cell.

    :param cell: where it stands.
    :param node: its syntax tree.
    :param binds: names that it gives a value, or changes.
    :param uses: global names that it needs.
    """

    cell: Cell
    node: ast.stmt
    binds: frozenset[str]
    uses: frozenset[str]

    def run(self, namespace: dict[str, Any]) -> None:
        """Execute it; errors in it show its line."""
        where = f"<{self.cell.name}>"
        lines = self.cell.text.splitlines(keepends=True)
        linecache.cache[where] = (len(self.cell.text), None, lines, where)
        exec(compile(ast.Module([self.node], []), where, "exec"), namespace)


def needed_statements(cells: Iterable[Cell], names: Sequence[str]) -> list[Statement]:
    """Return the statements that give ``names`` their values, and all that those use, in order.

    Of several definitions the last one counts. Cells that are not Python are left out, unless a
    name is missing then.

    :param cells: the student's code.
    :param names: functions or classes.
    :raises SyntaxError: if a name is missing, and a cell is not Python.
    """
    statements, failures = list[Statement](), list[Exception]()
    for cell in cells:
        try:
            nodes = ast.parse(cell.text, filename=f"<{cell.name}>").body
        except _NOT_PYTHON as error:
            failures.append(error)
        else:
            statements += [Statement(cell, one, _bound(one), _used(_scope(one))) for one in nodes]
    bound = {name for statement in statements for name in statement.binds}
    if failures and not bound.issuperset(names):
        raise SyntaxError(str(failures[-1])) from failures[-1]
    wanted, seen, chosen = ["*", *names], set[str](), set[int]()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            found = _binding(statements, name)
            chosen |= set(found)
            wanted += [used for index in found for used in statements[index].uses]
    return [statements[index] for index in sorted(chosen)]


def _binding(statements: list[Statement], name: str) -> list[int]:
    """Return which statements bind a name: a definition and what comes after it."""
    binding = [i for i, statement in enumerate(statements) if name in statement.binds]
    kinds = (ast.FunctionDef, ast.ClassDef)
    definitions = [i for i in binding if isinstance(statements[i].node, kinds)]
    return [i for i in binding if not definitions or i >= definitions[-1]]


def _bound(node: ast.stmt) -> frozenset[str]:
    """Return the names that a statement gives a value or changes; ``*`` for a star import."""
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        return frozenset("*")
    symbols = _scope(node).get_symbols()
    bound = {
        symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()
    }
    return frozenset(bound.union(_changed(node)))


def _used(scope: symtable.SymbolTable) -> frozenset[str]:
    """Return the global names that a statement needs, in the functions that it defines too."""
    is_top = scope.get_type() == "module"
    symbols = scope.get_symbols()
    used = {
        one.get_name() for one in symbols if (one.is_referenced() if is_top else one.is_global())
    }
    return frozenset(used.union(*map(_used, scope.get_children())))


def _scope(node: ast.stmt) -> symtable.SymbolTable:
    return symtable.symtable(ast.unparse(node), "<statement>", "exec")


def _changed(node: ast.stmt) -> Iterator[str]:
    """Return names whose value a statement changes in place: ``x[0] = 1``, ``x.append(1)``."""
    changed = [*getattr(node, "targets", ()), getattr(node, "target", None)]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        method = node.value.func
        if isinstance(method, ast.Attribute) and method.attr in _CHANGING:
            changed.append(method)
    for root in changed:
        while isinstance(root, (ast.Subscript, ast.Attribute)):
            root = root.value
        if isinstance(root, ast.Name):
            yield root.id
