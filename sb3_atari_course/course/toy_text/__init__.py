"""What a lesson with a table looks at: Gymnasium's small worlds whose rules are known.

- ``exact.py``        what a policy is worth, computed instead of played
- ``text_replay.py``  an episode, shown as text
- ``grid_policy.py``  a policy, drawn as arrows
"""

from sb3_atari_course.course.toy_text.exact import ExactReport, evaluate_exactly
from sb3_atari_course.course.toy_text.grid_policy import draw_policy, taxi_grid
from sb3_atari_course.course.toy_text.text_replay import EpisodeStep, play_episode, replay_episode

__all__ = [
    "EpisodeStep",
    "ExactReport",
    "draw_policy",
    "evaluate_exactly",
    "play_episode",
    "replay_episode",
    "taxi_grid",
]
