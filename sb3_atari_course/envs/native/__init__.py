"""ale-py's C++ vector environment as an SB3 VecEnv that does what ``wrap_atari`` does.

The way of the data::

    SB3's step_async(actions)
      -> actions.py          checked; FIRE written in where a life begins
      -> batches.py          all games, in batches side by side
      -> batch.py            some of them: ale-py's vector env, its screens cropped and resized
      -> games.py            lives, scores, lengths: what has ended, and how
      -> stacks.py           the last pictures of each game
      -> native_vec_env.py   what SB3 sees
    seeds.py                 as ale-py takes them
    settings.py              from a Gymnasium id to what the emulators are asked for
    monitor_files.py         the games as files, as SB3's Monitor writes them
    from_wrappers.py         from a yml's wrappers to the same settings, for RL Zoo
"""

from sb3_atari_course.envs.native.native_vec_env import NativeAtariVecEnv

__all__ = ["NativeAtariVecEnv"]
