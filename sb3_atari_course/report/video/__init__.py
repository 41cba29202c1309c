"""From the screens of a game to an MP4 file that every browser plays."""

from sb3_atari_course.report.video.film import Film, film_game
from sb3_atari_course.report.video.mp4 import VideoWriter, write_video
from sb3_atari_course.report.video.player import video_html

__all__ = ["Film", "VideoWriter", "film_game", "video_html", "write_video"]
