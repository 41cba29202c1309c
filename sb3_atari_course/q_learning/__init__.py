"""Tabular Q-learning as an SB3 algorithm: one row per state, one column per action.

- ``q_learning.py``: the training loop (epsilon-greedy actions, environment step, Q-table update)
- ``policies.py``: the Q-table as an SB3 policy, and the state indices
- ``schedules.py``: schedules of epsilon and the learning rate
"""

from sb3_atari_course.q_learning.policies import QTablePolicy
from sb3_atari_course.q_learning.q_learning import QLearning
from sb3_atari_course.q_learning.schedules import EpisodeDecay

__all__ = ["EpisodeDecay", "QLearning", "QTablePolicy"]
