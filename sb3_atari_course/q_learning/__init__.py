"""Tabular Q-learning as an SB3 algorithm: one row per state, one column per action.

- ``states.py``       which row of the table an observation is
- ``table.py``        the table: epsilon-greedy actions, the update of a cell
- ``transitions.py``  where a step of several environments led, and which one is broken
- ``policies.py``     the same as SB3 saves and asks it: a greedy policy
- ``schedules.py``    what changes while learning: epsilon, the learning rate
- ``q_learning.py``   the loop: act, observe, move one cell towards its target
"""

from sb3_atari_course.q_learning.policies import QTablePolicy
from sb3_atari_course.q_learning.q_learning import QLearning
from sb3_atari_course.q_learning.schedules import EpisodeDecay

__all__ = ["EpisodeDecay", "QLearning", "QTablePolicy"]
