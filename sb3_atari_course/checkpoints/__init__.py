"""Exact checkpoints: stop a training anywhere, resume it to the bit.

- when: ``callback.py`` (``ExactCheckpoint``), ``signals.py``, ``running.py``
- what: ``snapshot.py`` (all of it at one moment), ``training.py`` (weights, optimiser, counters),
  ``random_streams.py``, ``callback_states.py``, ``logs.py`` (how far the files have come),
  ``environments/``, ``memory/`` (the replay memory)
- where: ``folder.py`` (which checkpoints are whole), ``manifest.py``, ``files.py`` (whole or not
  there), ``tree.py`` (plain data), ``versions.py``
- going on: ``resuming/``, ``command.py``
"""

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course.checkpoints.callback import ExactCheckpoint
from sb3_atari_course.checkpoints.resuming.resume import resume
from sb3_atari_course.envs.state.savable import SavableEnv

__all__ = ["CheckpointError", "ExactCheckpoint", "SavableEnv", "resume"]
