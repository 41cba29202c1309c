"""FastDQN: SB3's DQN, at the speed of the machine.

- ``fast_dqn.py``      the algorithm as SB3 sees it: acting, training, saving
- ``loss.py``          the loss of a batch: DQN's or Double DQN's
- ``updates.py``       gradient steps on batches that SB3's buffer sampled
- ``images.py``        batches in the order of memory that a CPU reads fastest
- ``optimizer.py``     one kernel for all weights; plain again in a file
- ``compiler.py``      torch.compile where it works
- ``graph_updates.py`` gradient steps as CUDA graphs
- ``device_rows.py``   the replay memory's rows on the card, for them
- ``overlap.py``       updates while the emulators play
- ``mean_loss.py``     the loss, known without waiting
"""

from sb3_atari_course.fast_dqn.fast_dqn import FastDQN

__all__ = ["FastDQN"]
