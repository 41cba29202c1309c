"""Draw ``_static/pipeline.png``: from an Atari frame to a stacked observation.

Run: python docs/pipeline_image.py
"""

from pathlib import Path

import cv2
import gymnasium as gym
import matplotlib.pyplot as plt

from sb3_atari_course import register_envs, wrap_atari
from sb3_atari_course.wrappers import FrameStack, crop_gray_resize

CROP = (30, 195, 5, 155)  # pixels: top, bottom, left, right
STEPS = 10  # agent steps after which the ball is in the middle
NOOP = 0  # action

register_envs()
env = FrameStack(
    wrap_atari(gym.make("BreakoutNoFrameskip-v4"), crop=CROP, terminal_on_life_loss=False)
)
env.reset(seed=3)
for _ in range(STEPS):
    stack = env.step(NOOP)[0]
frame = env.unwrapped.ale.getScreenRGB()
gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
top, bottom, left, right = CROP
images = {
    "frame (210, 160, 3)": frame,
    "grayscale (210, 160)": gray,
    "crop (165, 150)": gray[top:bottom, left:right],
    "resize (84, 84)": crop_gray_resize(frame, crop=CROP)[..., 0],
    "stack: t - 3": stack[..., 0],
    "t - 2": stack[..., 1],
    "t - 1": stack[..., 2],
    "t": stack[..., 3],
}
figure, axes = plt.subplots(1, len(images), figsize=(12.8, 2.3), layout="constrained", dpi=100)
for axis, (title, image) in zip(axes, images.items(), strict=True):
    axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()
figure.savefig(Path(__file__).parent / "_static/pipeline.png", facecolor="white")
