"""ale-py's C++ vector environment as an SB3 VecEnv that does what ``wrap_atari`` does.

The way of the data::

    SB3's step_async(actions)
      -> native_vec_env.py   actions checked; FIRE written in where a life begins
      -> emulators.py        the games in batches side by side: ale-py's vector environments, their
                             screens cropped and resized; which lives and games have ended
      -> native_vec_env.py   the last frames of each game stacked, Monitor's files, what SB3 sees
    options.py               from a Gymnasium id and its options to ale-py's arguments; from a yml's
                             wrappers to those of NativeAtariVecEnv, for RL Zoo
"""

from sb3_atari_course.envs.native.native_vec_env import NativeAtariVecEnv

__all__ = ["NativeAtariVecEnv"]
