"""The judge: looks at one property after the other, until one does not hold.

As a program, ``python -m sb3_atari_course.course.judge EXERCISE CELLS RESULT``, it is the process
of its own in which a student's code runs; :mod:`sb3_atari_course.course.check` starts it.
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

from sb3_atari_course.course.exercises import find_exercise
from sb3_atari_course.course.exercises.base import (
    READING,
    Exercise,
    Finding,
    Property,
    Solution,
    WrongError,
    name_of,
)
from sb3_atari_course.course.sources import Cell


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
        finding = _look(prove, solution)
        yield finding
        if not finding.passed:
            return


def _look(prove: Property, solution: Solution) -> Finding:
    saved = dict(solution.module.__dict__)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # for students who draw from the global generator
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prove(solution)
    except WrongError as wrong:
        return Finding(name_of(prove), str(wrong))
    except BaseException as error:
        return Finding(name_of(prove), f"your code raised {_describe(error)}")
    finally:
        solution.module.__dict__.update(saved)  # whatever was replaced, to listen
    return Finding(name_of(prove))


def _describe(error: BaseException) -> str:
    """Return an error with the student's line from which it came."""
    wrong = f"{type(error).__name__}: {error}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith("<") and frame.line:
            return f"{wrong}, at line {frame.lineno} of {frame.filename[1:-1]}: {frame.line}"
    return wrong


def main(arguments: Sequence[str]) -> None:
    """Judge the cells in one JSON file, and write each finding to another at once, a line each."""
    name, source, result = arguments
    sys.argv = ["judge"]  # for code that reads it
    cells = [Cell(**cell) for cell in json.loads(Path(source).read_text(encoding="utf-8"))]
    with open(result, "w", encoding="utf-8") as file:
        for finding in judge(find_exercise(name), cells):
            print(json.dumps([finding.name, finding.message]), file=file, flush=True)
        print(json.dumps("done"), file=file, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
