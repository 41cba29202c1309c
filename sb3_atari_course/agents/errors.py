"""The one error for everything that can be wrong with an agent's file."""

from __future__ import annotations

from pathlib import Path


class AgentFileError(ValueError):
    """An agent's zip or card that is not opened: damaged, hostile, or of another environment."""


def refuse(path: Path | str, problem: object, remedy: str = "") -> AgentFileError:
    """Return the error for a file.

    :param path: of the file, with the member inside it if there is one.
    :param problem: what is wrong; cut, because a file may have chosen its length.
    :param remedy: what to do about it.
    """
    text = str(problem)
    text = text if len(text) <= 600 else f"{text[:600]}..."
    return AgentFileError(f"{path}: {text}" + (f": {remedy}" if remedy else ""))
