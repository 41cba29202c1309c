"""Exact checkpoints: stop training at any time and resume it, bit for bit.

This holds with Python environments; native and Box2D environments start new episodes on resume.

- ``callback.py``: the ``ExactCheckpoint`` callback (checkpoint schedule, signals)
- ``snapshot.py``: contents of a checkpoint (model, environments, callbacks)
- ``log_files.py``: log files, which are truncated to the checkpoint on resume
- ``folder.py``: ``RUN/checkpoints`` (validation, locking, unfinished runs)
- ``resuming.py``: ``resume()``

Checkpoints are incremental: only new rows of the replay buffer are written, see
``replay/segments.py``.
"""

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course.checkpoints.callback import ExactCheckpoint
from sb3_atari_course.checkpoints.resuming import resume
from sb3_atari_course.envs.env_state import SavableEnv

__all__ = ["CheckpointError", "ExactCheckpoint", "SavableEnv", "resume"]
