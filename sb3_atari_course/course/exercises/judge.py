"""The judge: looks at one property after the other, until one does not hold.

``python -m sb3_atari_course.course.exercises.judge EXERCISE CELLS RESULT`` is the process in which
a student's code runs; :mod:`sb3_atari_course.course.checker` starts it.
"""

from __future__ import annotations

import json
import random
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from sb3_atari_course.course.exercises import load_exercise
from sb3_atari_course.course.exercises.base import (
    READING,
    Exercise,
    Finding,
    Property,
    Solution,
    WrongError,
    name_of,
)
from sb3_atari_course.course.student_code import Cell


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


if __name__ == "__main__":
    main(*sys.argv[1:])
