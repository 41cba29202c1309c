"""What an exercise is: functions that a student writes, and properties that they must have."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sb3_atari_course.course.student_code import Cell, Statement, needed_statements

#: Name of what is looked at before any property.
READING = "The code is Python, and no blank is left"


class WrongError(Exception):
    """A property does not hold; the message says what was seen, with numbers, and a hint."""


@dataclass(frozen=True)
class Finding:
    """What came out of one property.

    :param name: what was looked at.
    :param message: what is wrong, empty if it holds.
    """

    name: str
    message: str = ""

    @property
    def passed(self) -> bool:
        """Whether the property holds."""
        return not self.message


class Solution(types.ModuleType):
    """A module with a student's code, of which only what the exercise needs was run.

    ``solution.q_learning(...)`` calls a function. Replacing one replaces it for the others too,
    which look it up when they call it.

    :param statements: what to run.
    """

    def __init__(self, statements: Sequence[Statement]) -> None:
        super().__init__("student_code")
        sys.modules[self.__name__] = self  # dataclasses look for the module of their class
        for statement in statements:
            statement.run(self.__dict__)


#: Looks at a solution; raises :class:`WrongError` if it does not hold. Its docstring names it.
Property = Callable[[Solution], None]


def name_of(prove: Property) -> str:
    """Return a property in words: the first line of its docstring."""
    return (prove.__doc__ or prove.__name__).splitlines()[0].rstrip(".")


@dataclass(frozen=True)
class Exercise:
    """What a student writes, and what must be true of it.

    :param functions: what the student defines.
    :param given: what the lesson defines beside it, and the judge uses.
    :param properties: from the simple to the involved; the first that fails names the mistake.
    """

    functions: tuple[str, ...]
    properties: tuple[Property, ...]
    given: tuple[str, ...] = ()

    def read(self, cells: Sequence[Cell]) -> Solution:
        """Run what the exercise needs of a student's code.

        :raises WrongError: if a function is missing, or if there are blanks in it.
        """
        names = (*self.functions, *self.given)
        try:
            statements = needed_statements(cells, names)
        except SyntaxError as error:
            raise WrongError(f"this is not Python yet: {error}") from None
        bound = set().union(*(s.binds for s in statements))
        for name in names:
            if name not in bound:
                raise WrongError(f"there is no {name} in your code: define it, or run its cell")
        blanks = [blank for s in statements for blank in find_blanks(s)]
        if blanks:
            raise WrongError("\n      ".join(["not yet, still blank:", *blanks]))
        return Solution(statements)


def find_blanks(statement: Statement) -> Iterator[str]:
    """Tell where a definition still has ``...`` in the place of code.

    :param statement: of the student's code.
    """
    if not isinstance(statement.node, (ast.FunctionDef, ast.ClassDef)):
        return
    lines = statement.cell.text.split("\n")
    nodes = list(ast.walk(statement.node))
    indices = {id(n) for s in nodes if isinstance(s, ast.Subscript) for n in ast.walk(s.slice)}
    found = {
        node.lineno
        for node in nodes
        if isinstance(node, ast.Constant) and node.value is ... and id(node) not in indices
    }
    for number in sorted(found):
        if lines[number - 1].lstrip().startswith(("def ", "async def ", "class ")):
            continue  # def method(self): ...
        where = f"line {number} of {statement.cell.name}, in {statement.node.name}"
        yield f"{where}: {lines[number - 1].strip()}"
