"""What the lessons use: output folder, images and videos, network drawings, checks of exercises."""

from typing import TYPE_CHECKING, Any

from sb3_atari_course.course.checker import check
from sb3_atari_course.course.lesson import Lesson, begin, run_command, show_picture, show_video

if TYPE_CHECKING:
    from sb3_atari_course.course.network import draw_network, layer_table, list_layers

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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sb3_atari_course.course import network  # needs torch, for which `check` need not wait

    return getattr(network, name)
