"""Replay buffer that stores every frame once: 7.1 GB for a million transitions, less with LZ4.

The data flow::

    SB3's add(obs, next_obs, ...), sample(batch_size)
      -> frame_replay_buffer.py   SB3's buffer with StackArrays instead of arrays of observations
      -> stacks.py                stacks as frame ids; finds frames that are already stored
      -> frame_stores.py          pixels: plain, compressed with LZ4, or on a GPU
    segments.py                   rows packed into arrays, for files, pickles and checkpoints
    ram_budget.py                 memory needed and available
"""

from sb3_atari_course._common.errors import ReplayFileError, ReplayMemoryError
from sb3_atari_course.replay.frame_replay_buffer import FrameReplayBuffer

__all__ = ["FrameReplayBuffer", "ReplayFileError", "ReplayMemoryError"]
