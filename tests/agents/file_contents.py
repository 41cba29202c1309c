"""Helper: the full content of an agent file, with pickles decoded."""

from __future__ import annotations

import base64
import json
import zipfile
from pathlib import Path


def all_of(path: Path) -> bytes:
    """Return the bytes of a file; of an SB3 zip those of all members, with pickles decoded."""
    if path.suffix != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    settings = json.loads(members["data"])
    pickled = [one.get(":serialized:", "") for one in settings.values() if isinstance(one, dict)]
    return b"\n".join([*members.values(), *map(base64.b64decode, pickled)])
