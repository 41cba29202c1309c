"""Vectorized Atari environments on ale-py's C++ backend, as an SB3 VecEnv.

The data flow::

    SB3's step_async(actions)
      -> native_vec_env.py   checks actions; inserts FIRE where a life starts
      -> emulators.py        parallel batches of games (ale-py's vector environments): crops and
                             resizes frames; detects life losses and ends of games
      -> native_vec_env.py   stacks frames, writes Monitor files, returns what SB3 expects
    options.py               maps a Gymnasium id and its options to ale-py's arguments, and the
                             wrappers of a yml file to arguments of NativeAtariVecEnv
"""

from sb3_atari_course.envs.native.native_vec_env import NativeAtariVecEnv

__all__ = ["NativeAtariVecEnv"]
