"""What an exercise is, and how a solution is judged: one property after the other.

:func:`main` runs in the process of a student's code; :mod:`sb3_atari_course.course.checker` starts
it.
"""

from __future__ import annotations

import ast
import json
import random
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sb3_atari_course.course.checker import READING, Finding
from sb3_atari_course.course.exercises import load_exercise
from sb3_atari_course.course.student_code import Cell, Statement, needed_statements


class WrongError(Exception):
    """A property does not hold; the message says what was seen, with numbers, and a hint."""


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


def judge(exercise: Exercise, cells: Sequence[Cell]) -> Iterator[Finding]:
    """Look at a solution, in this process; the last finding is the first that does not hold.

    :param exercise: what was asked for.
    :param cells: the student's code.
    """
    try:
        solution = exercise.read(cells)
    except WrongError as wrong:
        yield Finding(READING, str(wrong))
        return
    except BaseException as error:  # SystemExit and KeyboardInterrupt, too
        yield Finding(READING, f"running your definitions failed: {_describe(error)}")
        return
    yield Finding(READING)
    for prove in exercise.properties:
        finding = look_at(prove, solution)
        yield finding
        if not finding.passed:
            return


def look_at(prove: Property, solution: Solution) -> Finding:
    """Look at one property of a solution, which is left as it was.

    :param prove: the property.
    :param solution: of :meth:`.Exercise.read`.
    """
    saved = dict(solution.__dict__)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # for students who draw from the global generator
    torch.manual_seed(0)
    message = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prove(solution)
    except WrongError as wrong:
        message = str(wrong)
    except BaseException as error:
        message = f"your code raised {_describe(error)}"
    finally:
        solution.__dict__.update(saved)  # whatever was replaced, to listen
    return Finding(name_of(prove), message)


def _describe(error: BaseException) -> str:
    """Return an error with the student's line from which it came."""
    wrong = f"{type(error).__name__}: {error}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith("<") and frame.line:
            return f"{wrong}, at line {frame.lineno} of {frame.filename[1:-1]}: {frame.line}"
    return wrong


def main(name: str, source: str, result: str) -> None:
    """Judge the cells in one JSON file, and write each finding to another at once, a line each.

    The first line has the names of all that will be looked at, the last one ``"done"``.
    """
    sys.argv = ["judge"]  # for code that reads it
    exercise = load_exercise(name)
    cells = [Cell(*cell) for cell in json.loads(Path(source).read_text(encoding="utf-8"))]
    with open(result, "w", encoding="utf-8") as file:
        print(json.dumps([READING, *map(name_of, exercise.properties)]), file=file, flush=True)
        for finding in judge(exercise, cells):
            print(json.dumps([finding.name, finding.message]), file=file, flush=True)
        print(json.dumps("done"), file=file, flush=True)
