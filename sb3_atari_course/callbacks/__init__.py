"""What happens beside a training: logs, tables, films, and an early end.

Each of them is for ``learn(callback=...)``, or for an RL Zoo yml::

    callback:
      - sb3_atari_course.callbacks.StopOnMovingAverage: {threshold: 195}
      - sb3_atari_course.callbacks.EpisodeTable: {every: 10, path: games.csv}
"""

from sb3_atari_course.callbacks.csv_log import CsvLog
from sb3_atari_course.callbacks.episode_table import EpisodeRow, EpisodeTable
from sb3_atari_course.callbacks.moving_average import StopOnMovingAverage
from sb3_atari_course.callbacks.record_video import RecordVideo
from sb3_atari_course.callbacks.whole_games import Game, WholeGames

__all__ = [
    "CsvLog",
    "EpisodeRow",
    "EpisodeTable",
    "Game",
    "RecordVideo",
    "StopOnMovingAverage",
    "WholeGames",
]
