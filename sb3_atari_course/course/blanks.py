"""Solutions in a master file: shown to teachers, blank for students.

A block between marker lines is a solution; what stands after ``>>>`` is what students see instead::

    # >>> epsilon = ...
    epsilon = max_epsilon
    # <<<
"""

from __future__ import annotations

from collections.abc import Callable

_OPEN, _CLOSE = "# >>> ", "# <<<"


def solved(text: str) -> str:
    """Return a lesson with its solutions, without the markers.

    :param text: of a master file, or of one of its cells.
    :raises ValueError: if a block is not closed, or closed twice.
    """
    return _with_blocks(text, lambda blank, solution: solution)


def blank(text: str) -> str:
    """Return a lesson as students get it: ``...`` in the place of each solution.

    :param text: of a master file, or of one of its cells.
    :raises ValueError: if a block is not closed, or closed twice.
    """
    return _with_blocks(text, lambda blank, solution: blank)


def count_blanks(text: str) -> int:
    """Return how many solutions a master file has.

    :param text: of the file.
    """
    n_blanks = 0

    def count(blank: list[str], solution: list[str]) -> list[str]:
        nonlocal n_blanks
        n_blanks += 1
        return solution

    _with_blocks(text, count)
    return n_blanks


def blank_one(text: str, number: int) -> str:
    """Return a lesson in which one solution is missing.

    :param text: of a master file.
    :param number: of the solution, from 0.
    """
    seen = -1

    def choose(blank: list[str], solution: list[str]) -> list[str]:
        nonlocal seen
        seen += 1
        return blank if seen == number else solution

    return _with_blocks(text, choose)


def _with_blocks(text: str, choose: Callable[[list[str], list[str]], list[str]]) -> str:
    """Replace each block by what ``choose(lines for students, solution)`` returns."""
    lines: list[str] = []
    shown: list[str] = []
    solution: list[str] = []
    inside = False
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        bare = line.lstrip()
        if bare.startswith(_OPEN) and not solution:
            inside = True
            shown.append(line[: len(line) - len(bare)] + bare[len(_OPEN) :])
        elif bare.startswith(_OPEN) or (bare.startswith(_CLOSE) and not solution):
            raise ValueError(f"line {number}: {bare.strip()!r} where no block begins or ends")
        elif bare.startswith(_CLOSE):
            lines += choose(shown, solution)
            shown, solution, inside = [], [], False
        elif inside:
            solution.append(line)
        else:
            lines.append(line)
    if inside:
        raise ValueError(f"a block is not closed by {_CLOSE!r}: {shown[0].strip()}")
    return "".join(lines)
