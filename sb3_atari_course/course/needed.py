"""Of a whole lesson, the statements that an exercise needs: its functions and what they use.

The rest, the trainings above all, is not run when a solution is checked.
"""

from __future__ import annotations

import ast
import linecache
import symtable
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sb3_atari_course.course.sources import Cell

_Definition = (ast.FunctionDef, ast.ClassDef)

#: Methods of lists, sets and dicts that change them.
_CHANGING = ("add", "append", "extend", "insert", "setdefault", "update")


@dataclass(frozen=True)
class Statement:
    """One statement at the top level of a cell.

    :param cell: where it stands.
    :param node: its syntax tree.
    :param binds: names that it gives a value.
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

    Of several definitions the last one counts. Cells that are no Python are left out, unless a name
    is missing then.

    :param cells: the student's code.
    :param names: functions or classes.
    :raises SyntaxError: if a name is missing, and a cell is no Python.
    """
    statements, failures = _statements(cells)
    bound = {name for statement in statements for name in statement.binds}
    if failures and not bound.issuperset(names):
        raise failures[-1]
    wanted, known = list(names), set(names)
    chosen = {i for i, statement in enumerate(statements) if "*" in statement.binds}
    for index in chosen:
        wanted += sorted(statements[index].uses)
    while wanted:
        for index in _binding(statements, wanted.pop()):
            chosen.add(index)
            new = statements[index].uses - known
            known |= new
            wanted += sorted(new)
    return [statements[index] for index in sorted(chosen)]


def _binding(statements: list[Statement], name: str) -> list[int]:
    """Return which statements bind a name: a definition and what comes after it."""
    binding = [i for i, statement in enumerate(statements) if name in statement.binds]
    definitions = [i for i in binding if isinstance(statements[i].node, _Definition)]
    return [i for i in binding if not definitions or i >= definitions[-1]]


def _statements(cells: Iterable[Cell]) -> tuple[list[Statement], list[SyntaxError]]:
    """Return the statements of all cells, and what is wrong with cells that are no Python."""
    statements, failures = [], []
    for cell in cells:
        try:
            tree = ast.parse(cell.text, filename=f"<{cell.name}>")
        except SyntaxError as error:
            failures.append(error)
            continue
        statements += [Statement(cell, node, *_names(node)) for node in tree.body]
    return statements, failures


def _names(node: ast.stmt) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that a statement binds or changes, and the global ones that it uses."""
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        return frozenset("*"), frozenset()
    table = symtable.symtable(ast.unparse(node), "<statement>", "exec")
    binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    uses = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    inner = list(table.get_children())
    while inner:
        scope = inner.pop()
        uses |= {
            s.get_name()
            for s in scope.get_symbols()
            if s.is_global() and (s.is_referenced() or s.is_assigned())
        }
        inner += scope.get_children()
    return frozenset(binds | set(_changed(node))), frozenset(uses)


def _changed(node: ast.stmt) -> Iterator[str]:
    """Return names whose value a statement changes in place: ``x[0] = 1``, ``x.append(1)``."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign):
        targets = [node.target]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = node.value.func
        if isinstance(called, ast.Attribute) and called.attr in _CHANGING:
            targets = [called]
    for target in targets:
        root = target
        while isinstance(root, (ast.Subscript, ast.Attribute)):
            root = root.value
        if root is not target and isinstance(root, ast.Name):
            yield root.id
