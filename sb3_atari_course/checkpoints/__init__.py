"""Exact checkpoints: stop a training anywhere, resume it to the bit.

- ``callback.py``   ``ExactCheckpoint``: when a checkpoint is written; signals
- ``snapshot.py``   what is in it: model, environments, callbacks, all of it at one moment
- ``log_files.py``  how long the log files are; cut back on resume
- ``folder.py``     ``RUN/checkpoints``: which checkpoints are whole; unfinished runs
- ``resuming.py``   ``resume()``

Of the replay buffer only new rows are written, see ``replay/segments.py``.
"""

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course.checkpoints.callback import ExactCheckpoint
from sb3_atari_course.checkpoints.resuming import resume
from sb3_atari_course.envs.env_state import SavableEnv

__all__ = ["CheckpointError", "ExactCheckpoint", "SavableEnv", "resume"]
