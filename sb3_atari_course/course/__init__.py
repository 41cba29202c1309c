"""What the lessons use: one folder for output, pictures and videos, checks of exercises."""

from sb3_atari_course.course.check import check
from sb3_atari_course.course.display import show_picture, show_video
from sb3_atari_course.course.lesson import Lesson, begin
from sb3_atari_course.course.network import draw_network, layer_table, list_layers
from sb3_atari_course.course.run_command import run_command

__all__ = [
    "Lesson",
    "begin",
    "check",
    "draw_network",
    "layer_table",
    "list_layers",
    "run_command",
    "show_picture",
    "show_video",
]
