"""The way of a screen to the network, as a row of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sb3_atari_course.envs import make_game, wrap_atari
from sb3_atari_course.report.figure import make_figure
from sb3_atari_course.wrappers import crop_gray_resize


def plot_pipeline(path: str | Path) -> Path:
    """Draw what becomes of a Breakout screen: the picture at the head of the README.

    :param path: of the PNG to write.
    :return: the same path.
    :raises ImportError: without the extra ``plots``.
    """
    crop = (30, 195, 5, 155)
    env = wrap_atari(
        make_game("BreakoutNoFrameskip-v4", render_mode="rgb_array"), crop=crop, n_stack=4
    )
    env.reset(seed=4)
    env.action_space.seed(4)
    for _ in range(10):
        stack = env.step(env.action_space.sample())[0]
    screen: Any = env.render()
    gray = crop_gray_resize(screen, shape=screen.shape[:2])[..., 0]
    top, bottom, left, right = crop
    stages = [
        ("screen (210, 160, 3)", screen),
        ("grey (210, 160)", gray),
        ("crop (165, 150)", gray[top:bottom, left:right]),
        ("resize (84, 84)", stack[..., 3]),
        *[
            (f"stack, {age} ago" if age else "stack, now", stack[..., 3 - age])
            for age in (3, 2, 1, 0)
        ],
    ]
    env.close()
    figure, all_axes = make_figure(1, columns=len(stages))
    for axes, (title, picture) in zip(all_axes, stages, strict=True):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title, fontsize=9)
        axes.axis("off")
    figure.savefig(path)
    return Path(path)
