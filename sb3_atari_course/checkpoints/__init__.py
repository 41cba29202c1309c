"""Exact checkpoints: stop a training anywhere, resume it to the bit.

- when: ``callback.py`` (``ExactCheckpoint``), ``signals.py``, ``running.py``
- what: ``snapshot.py`` (all of it at one moment), ``training.py`` (weights, optimiser, counters),
  ``random_streams.py``, ``callback_states.py``, ``logs.py`` (how far the files have come),
  ``environments/``, ``memory/`` (the replay memory)
- where: ``folder.py`` (which checkpoints are whole), ``manifest.py``, ``files.py`` (whole or not
  there), ``tree.py`` (plain data), ``versions.py``
- going on: ``resuming/``, ``command.py``
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb3_atari_course.checkpoints.callback import ExactCheckpoint
    from sb3_atari_course.checkpoints.environments.savable import SavableEnv
    from sb3_atari_course.checkpoints.errors import CheckpointError
    from sb3_atari_course.checkpoints.resuming.resume import resume

__all__ = ["CheckpointError", "ExactCheckpoint", "SavableEnv", "resume"]

#: public name -> module; imported when asked for: workers need little of it
_HOME = {
    "CheckpointError": "errors",
    "ExactCheckpoint": "callback",
    "SavableEnv": "environments.savable",
    "resume": "resuming.resume",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
