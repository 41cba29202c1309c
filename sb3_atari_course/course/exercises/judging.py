"""Exercises, and how a solution is judged: one property after the other."""

from __future__ import annotations

import ast
import random
import re
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sb3_atari_course.course.student_code import Cell, Statement, definitions, needed_statements
from sb3_atari_course.course.verdict import READING, Finding

#: Message of Python or NumPy that a beginner cannot read -> what has happened.
_HINTS = {
    "only integers, slices": "an index is not a whole number; env.reset returns (state, info)",
    "array is 1-dimensional, but 2": "the array has one axis; np.zeros takes (rows, columns)",
    "values to unpack": "env.reset returns 2 values, env.step 5",
}


class WrongError(BaseException):
    """A property does not hold; the message says what was seen, with numbers, and a hint.

    Not an ``Exception``: a student's ``except Exception`` must not hide it.
    """


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

    def read(self, cells: Sequence[Cell], *, once: bool = False) -> Solution:
        """Run what the exercise needs of a student's code.

        :param cells: the code.
        :param once: refuse a function that is defined more than once; else the last one counts.
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
        for name in self.functions if once else ():
            places = definitions(cells, name)
            if len(places) > 1:
                raise WrongError(
                    f"{name} is defined {len(places)} times, at {' and '.join(places)}: delete all"
                    " but the one that counts"
                )
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


def judge(
    exercise: Exercise,
    cells: Sequence[Cell],
    *,
    once: bool = False,
    begin: Callable[[str], object] = lambda name: None,
) -> Iterator[Finding]:
    """Look at a solution, in this process; the last finding is the first that does not hold.

    :param exercise: what was asked for.
    :param cells: the student's code.
    :param once: see :meth:`.Exercise.read`.
    :param begin: is called with the name of each property before it is looked at.
    """
    begin(READING)
    try:
        solution = exercise.read(cells, once=once)
        message = ""
    except WrongError as wrong:
        message = str(wrong)
    except BaseException as error:  # SystemExit and KeyboardInterrupt, too
        message = f"running your definitions failed: {_at_line(_show(error), error)}"
    yield Finding(READING, message)
    if message:
        return
    for prove in exercise.properties:
        begin(name_of(prove))
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
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            prove(solution)
    except BaseException as error:
        message = _describe(error)
    finally:
        solution.__dict__.clear()
        solution.__dict__.update(saved)  # whatever was replaced, to listen
    return Finding(name_of(prove), message)


def _describe(error: BaseException) -> str:
    """Return whose error it is, the student's or that of the check, and the student's line."""
    if isinstance(error, WrongError):
        return _at_line(str(error), error)
    frames = traceback.extract_tb(error.__traceback__)
    if any(map(_is_students, frames)):
        if Path(frames[-1].filename).parent == Path(__file__).parent:
            return _at_line(f"the check cannot use what it got ({_show(error)})", error)
        return _at_line(f"your code raised {_show(error)}", error)
    if isinstance(error, TypeError) and re.match(r"[\w.]+\(\) (got|takes|missing) ", str(error)):
        return f"{error}: keep the arguments of the lesson, with their names"
    return (
        f"the check itself failed with {_show(error)}, in {frames[-1].name}: what your code"
        " returned is not what it expects. Compare it with the lesson's text; if it agrees, please"
        " report this message"
    )


def _show(error: BaseException) -> str:
    """Return an error as Python shows it, and a hint for those that are hard to read."""
    hints = [f" ({hint})" for text, hint in _HINTS.items() if text in str(error)]
    return f"{type(error).__name__}: {error}".rstrip(": ") + "".join(hints)


def _is_students(frame: traceback.FrameSummary) -> bool:
    """Return whether a frame belongs to a cell of the student, see :meth:`.Statement.run`."""
    return frame.filename.startswith("<") and bool(frame.line)


def _at_line(message: str, error: BaseException) -> str:
    """Return a message with the student's line from which an error came, if there is one."""
    return message + last_line(traceback.extract_tb(error.__traceback__))


def last_line(frames: traceback.StackSummary) -> str:
    """Return the innermost of the student's lines; empty if there is none."""
    lines = [
        f", at line {frame.lineno} of {frame.filename[1:-1]}: {frame.line}"
        for frame in frames
        if _is_students(frame)
    ]
    return lines[-1] if lines else ""
