"""Our RL Zoo hyperparameter files, found from any folder.

The yml files lie in ``hyperparams/`` of a checkout and inside this package once installed from a
wheel. RL Zoo reads them by path (``-conf hyperparams/dqn.yml``) or by the dotted name of a module
beside this one (``-conf sb3_atari_course.hyperparams.dqn``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

#: RL Zoo's names of the algorithms for which we bring hyperparameters: those with discrete actions
#: only, that can be tuned and resumed. They stand here, since ``--help`` imports no PyTorch.
ALGORITHMS = ("dqn", "qrdqn", "fast_dqn", "q_learning")

_HERE = Path(__file__).parent
_CHECKOUT = _HERE.parents[1]
_FOLDERS = [_CHECKOUT / "hyperparams"] if (_CHECKOUT / "pyproject.toml").is_file() else [_HERE]


def hyperparams_file(algo: str) -> Path:
    """Return the path of our yml file for one algorithm.

    :param algo: RL Zoo's name of it, e.g. ``"dqn"``.
    :raises FileNotFoundError: if we bring none.
    """
    for folder in _FOLDERS:
        path = folder / f"{algo}.yml"
        if path.is_file():
            return path
    ours = sorted({path.stem for folder in _FOLDERS for path in folder.glob("*.yml")})
    raise FileNotFoundError(f"no hyperparameters of ours for algo {algo!r}; there are {ours}")


def load_hyperparams(algo: str) -> dict[str, Any]:
    """Return the content of our yml file: environment id (or ``atari``) -> hyperparameters.

    :raises FileNotFoundError: if we bring none for ``algo``.
    """
    content: dict[str, Any] = yaml.safe_load(hyperparams_file(algo).read_text(encoding="utf-8"))
    return content


def read_at_each_access(algo: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module: RL Zoo changes the ``hyperparams`` that it reads."""

    def get(name: str) -> Any:
        if name == "hyperparams":
            return load_hyperparams(algo)
        raise AttributeError(f"module of hyperparameters for {algo!r} has no attribute {name!r}")

    return get


def space_file(algo: str) -> Path:
    """Return the path of our yml file of what ``tune`` tries for one algorithm."""
    return hyperparams_file(f"spaces/{algo}")
