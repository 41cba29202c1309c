"""Replay memory that keeps every frame once: a million transitions in half a gigabyte.

The way of the data::

    SB3's add(obs, next_obs, ...), sample(batch_size)
      -> frame_replay_buffer.py   SB3's buffer; its arrays of observations are stand-ins
                                  (stack_array.py)
      -> page.py                  stacks split into frames, quick to compare
      -> stacks.py                stacks as numbers of frames: which of them are already there?
      -> frame_table.py           frames, when each was used last, free places
      -> frame_stores.py          where the pixels lie: plain_frames.py, lz4_frames.py (packed),
                                  device_frames.py (on a card)
      <-> packed_frames.py        from one store into another: checkpoints
    build.py                      from settings to these
    budget.py, memory.py          will it fit?
    saving.py, files.py           saved without pickle
    model.py                      what it must know of the model
    ../scratch.py                 memory for samples
"""

from sb3_atari_course.replay.files import ReplayFileError
from sb3_atari_course.replay.frame_replay_buffer import FrameReplayBuffer

__all__ = ["FrameReplayBuffer", "ReplayFileError"]
