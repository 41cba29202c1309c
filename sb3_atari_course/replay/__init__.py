"""Replay buffer that stores every frame once: a million transitions in half a gigabyte.

The way of the data::

    SB3's add(obs, next_obs, ...), sample(batch_size)
      -> frame_replay_buffer.py   SB3's buffer; its arrays of observations are StackArrays
      -> stacks.py                stacks as numbers of frames: which frames are already stored?
      -> frame_stores.py          the pixels: plain, packed with LZ4, or on a GPU
    segments.py                   rows packed into arrays, for files, pickles and checkpoints
    ram_budget.py                 will it fit?
"""

from sb3_atari_course._common.errors import ReplayFileError
from sb3_atari_course.replay.frame_replay_buffer import FrameReplayBuffer

__all__ = ["FrameReplayBuffer", "ReplayFileError"]
