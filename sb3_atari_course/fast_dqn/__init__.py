"""FastDQN: SB3's DQN, faster on the same machine.

- ``fast_dqn.py``     the algorithm as SB3 sees it: acting, training, saving
- ``updates.py``      one gradient step: loss, gradient, clipping, optimizer
- ``cuda_graphs.py``  gradient steps as CUDA graphs, run while the environments step
"""

from sb3_atari_course.fast_dqn.fast_dqn import FastDQN

__all__ = ["FastDQN"]
