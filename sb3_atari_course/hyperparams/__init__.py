"""RL Zoo hyperparameter files of this package.

The yml files are in ``hyperparams/`` of a checkout, and inside this package if installed from a
wheel. RL Zoo reads them by path (``-conf hyperparams/dqn.yml``) or by the name of a module of this
package (``-conf sb3_atari_course.hyperparams.dqn``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

#: RL Zoo's names of the algorithms with hyperparameters of ours: all need discrete actions, and can
#: be tuned and resumed. Defined here so that ``--help`` does not import PyTorch.
ALGORITHMS = ("dqn", "qrdqn", "fast_dqn", "q_learning")

_HERE = Path(__file__).parent
_CHECKOUT = _HERE.parents[1]
_FOLDERS = [_CHECKOUT / "hyperparams"] if (_CHECKOUT / "pyproject.toml").is_file() else [_HERE]


def hyperparams_file(algo: str) -> Path:
    """Return the path of our yml file for one algorithm.

    :param algo: RL Zoo's name of the algorithm, e.g. ``"dqn"``.
    :raises FileNotFoundError: if there is none.
    """
    for folder in _FOLDERS:
        path = folder / f"{algo}.yml"
        if path.is_file():
            return path
    ours = sorted({path.stem for folder in _FOLDERS for path in folder.glob("*.yml")})
    raise FileNotFoundError(f"no hyperparameter file for algo {algo!r}: choose one of {ours}")


def load_hyperparams(algo: str) -> dict[str, Any]:
    """Return the content of our yml file: environment id (or ``atari``) -> hyperparameters.

    :raises FileNotFoundError: if there is none for ``algo``.
    """
    content: dict[str, Any] = yaml.safe_load(hyperparams_file(algo).read_text(encoding="utf-8"))
    return content


def read_at_each_access(algo: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that reads the file at each access: RL Zoo mutates it."""

    def get(name: str) -> Any:
        if name == "hyperparams":
            return load_hyperparams(algo)
        raise AttributeError(f"module of hyperparameters for {algo!r} has no attribute {name!r}")

    return get


def space_file(algo: str) -> Path:
    """Return the path of our default search space for ``tune``."""
    return hyperparams_file(f"spaces/{algo}")
