"""Which file is meant, and what does it hold? Regular files, whole, of bounded size."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from sb3_atari_course.agents.errors import refuse


def find_agent(path: Path) -> Path:
    """Return the zip that a path means: itself, with ``.zip`` added, or a folder's only one.

    :raises FileNotFoundError: if there is none.
    :raises AgentFileError: if a folder has more than one.
    """
    if path.is_dir():
        zips = sorted(path.glob("*.zip"))
        if not zips:
            raise FileNotFoundError(f"the folder {path} has no .zip of an agent")
        if len(zips) > 1:
            names = [one.name for one in zips[:5]]
            raise refuse(path, f"the folder has {len(zips)} zips", f"name one of them: {names}")
        return zips[0]
    with_suffix = path.with_name(f"{path.name}.zip")
    if not path.exists() and with_suffix.exists():
        return with_suffix
    return path


def read_file(path: Path, *, max_bytes: int, remedy: str = "") -> bytes:
    """Return the content of a regular file.

    A link is followed, a pipe or a device is not waited for.

    :param remedy: what to do about a larger one.
    :raises FileNotFoundError: if it is not there.
    :raises AgentFileError: if it is no regular file, or larger; it was not read then.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise refuse(path, "it is no regular file")
        if found.st_size > max_bytes:
            raise refuse(path, f"it has {found.st_size} bytes, more than {max_bytes}", remedy)
        with os.fdopen(handle, "rb", closefd=False) as file:  # it cannot take a folder
            content = file.read(found.st_size + 1)
    finally:
        os.close(handle)
    if len(content) != found.st_size:
        raise refuse(path, "its size changed while it was read")
    return content


def parse_json(content: bytes, path: Path | str) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    :raises AgentFileError: if it is none, names a key twice, or nests too deep for Python.
    """
    try:
        tree = json.loads(
            content.decode("utf-8"), object_pairs_hook=_unique_keys, parse_int=_short_integer
        )
    except (ValueError, RecursionError) as error:
        raise refuse(path, f"it is no plain JSON ({error})") from None
    if not isinstance(tree, dict):
        raise refuse(path, "it is no JSON object")
    return tree


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key comes twice")
    return dict(pairs)


def _short_integer(digits: str) -> int:
    if len(digits) > 40:  # reading a longer one takes the square of its length; PCG64 has 39
        raise ValueError("an integer has more than 40 digits")
    return int(digits)
