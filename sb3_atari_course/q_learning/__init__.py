"""Tabular Q-learning as an SB3 algorithm: one row per state, one column per action.

- ``q_learning.py``   the loop: epsilon-greedy actions, a step, the update of a cell
- ``policies.py``     the table as SB3 saves and loads it: state numbers, a greedy policy
- ``schedules.py``    epsilon and the learning rate over a training
"""

from sb3_atari_course.q_learning.policies import QTablePolicy
from sb3_atari_course.q_learning.q_learning import QLearning
from sb3_atari_course.q_learning.schedules import EpisodeDecay

__all__ = ["EpisodeDecay", "QLearning", "QTablePolicy"]
