"""What the lessons use: one folder for output, pictures and videos, checks of exercises."""

from sb3_atari_course.course.display import show_picture, show_video
from sb3_atari_course.course.lesson import Lesson, begin

__all__ = ["Lesson", "begin", "show_picture", "show_video"]
