"""Fields of an object as plain data."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

from sb3_atari_course._common.state_tree import Tree


def read_fields(owner: object, names: Iterable[str]) -> Tree:
    """Return copies of fields, by name; those that do not exist (yet) are left out.

    :param names: a dot leads into an object that a field holds.
    """
    found = {}
    for name in names:
        holder, last = _holder(owner, name)
        if last in vars(holder):
            value = vars(holder)[last]
            found[name] = str(value) if isinstance(value, np.str_) else copy.deepcopy(value)
    return found


def write_fields(owner: object, names: Iterable[str], state: Tree) -> None:
    """Give an object copies of saved fields; those that did not exist are removed."""
    for name in names:
        holder, last = _holder(owner, name)
        if name in state:
            setattr(holder, last, copy.deepcopy(state[name]))
        else:
            vars(holder).pop(last, None)


def _holder(owner: object, name: str) -> tuple[Any, str]:
    """Return the object that holds a field, and the last part of its name."""
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    return owner, last
