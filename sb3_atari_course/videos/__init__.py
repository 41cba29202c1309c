"""From the screens of a game to an MP4 file that every browser plays."""

from sb3_atari_course.videos.film import Film, film_game
from sb3_atari_course.videos.mp4 import VideoWriter, write_video

__all__ = ["Film", "VideoWriter", "film_game", "write_video"]
