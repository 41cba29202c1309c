"""FastDQN: a faster drop-in replacement for SB3's DQN.

- ``fast_dqn.py``: the SB3 algorithm class (acting, training, saving)
- ``updates.py``: one gradient step (loss, gradient, clipping, optimizer)
- ``cuda_graphs.py``: gradient steps as CUDA graphs, run while the environments step
"""

from sb3_atari_course.fast_dqn.fast_dqn import FastDQN

__all__ = ["FastDQN"]
