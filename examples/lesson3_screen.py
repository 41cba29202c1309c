# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 3: From the screen to the stack
#
# **You will learn**
# - what becomes of an Atari screen before a network sees it: grey, crop, resize, stack of four;
# - how long an action lasts, and why two frames are laid over each other;
# - what a life is, who presses FIRE, and what the agent is paid;
# - why a million memories take 56 GB, and how they fit into half a gigabyte.
#
# **Time** on 2 cores: about half a minute. **Expected result:** five pictures, and a few numbers
# that you can check by hand.

# %%
import importlib.util
import subprocess
import sys

SOURCE = ""  # for pip: "sb3_atari_course[course] @ git+https://ADDRESS", or "FILE.whl[course]"
if importlib.util.find_spec("sb3_atari_course") is None:  # a hosted notebook
    assert SOURCE, "sb3_atari_course is not installed: set SOURCE above, ask your teacher for it"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", SOURCE], check=True)

from sb3_atari_course.course import begin

SMOKE, OUT = begin("lesson3")  # python lesson3_screen.py --smoke: every point, in seconds

# %% [markdown]
# ## The screen
#
# The Atari 2600 draws 60 frames a second, each of 210 rows and 160 columns. A *frame* is always one
# of those; a *step* is one decision of the agent, and we shall see that it lasts four frames.

# %%
import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure

from sb3_atari_course.course import show_picture
from sb3_atari_course.envs import make_game, wrap_atari

NOOP, FIRE, RIGHT, LEFT = range(4)
BREAKOUT = "BreakoutNoFrameskip-v4"  # NoFrameskip: one frame a step, the raw thing

game = make_game(BREAKOUT)
screen, info = game.reset(seed=0)
print("screen:", screen.shape, screen.dtype, f"= {screen.nbytes:,} bytes")
print("actions:", game.unwrapped.get_action_meanings())

# %% [markdown]
# ## Grey, crop, resize
#
# A network does not need colours to find a ball. A grey is a weighted sum of red, green and blue,
# weighted by how bright they look to us (ITU-R BT.601):
#
# $$Y = 0.299\,R + 0.587\,G + 0.114\,B$$
#
# Then the score and the frame around the field are cut off, and what is left is made smaller: each
# new pixel is the mean of the area that it covers.

# %%
from sb3_atari_course.wrappers import crop_gray_resize

CROP = (30, 195, 5, 155)  # pixels: top, bottom, left, right
top, bottom, left, right = CROP

gray = np.rint(screen @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)  # (210, 160)
cropped = gray[top:bottom, left:right]  # (165, 150)
small = crop_gray_resize(screen, crop=CROP, shape=(84, 84))  # all three at once: (84, 84, 1)

own = np.abs(crop_gray_resize(screen, shape=(210, 160))[..., 0].astype(int) - gray)
assert own.max() <= 1  # the library rounds in its own way
print(f"{screen.nbytes:,} bytes -> {small.nbytes:,}")

# %%
figure = Figure(figsize=(8, 3), dpi=90, layout="constrained")
stages = [("screen", screen), ("grey", gray), ("crop", cropped), ("resize", small[..., 0])]
for axes, (title, picture) in zip(figure.subplots(1, 4), stages, strict=True):
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
    axes.set_title(f"{title} {picture.shape}", fontsize=8)
    axes.tick_params(labelsize=6)
figure.supxlabel("column (pixels)", fontsize=8)
figure.supylabel("row (pixels)", fontsize=8)
show_picture(figure, OUT / "stages.png")

# %% [markdown]
# ## One decision, four frames
#
# 60 decisions a second would be more than a player needs, and four times the work. `ActionRepeat`
# holds each action for four frames: 15 decisions a second. Half an hour of play, the usual cap of a
# game, is 108,000 frames or 27,000 steps.

# %%
from sb3_atari_course.wrappers import ActionRepeat

slow = ActionRepeat(make_game(BREAKOUT), frame_skip=4)
before = slow.reset(seed=0)[1]["frame_number"]
after = slow.step(FIRE)[-1]["frame_number"]
print(f"one step: {after - before} frames; {60 // 4} decisions a second")
assert 30 * 60 * 60 == 108_000 == 4 * 27_000  # half an hour: frames, and steps

# %% [markdown]
# ## Why the maximum of two frames
#
# The console can draw only a few sprites in a line, so many games draw some of them in the even
# frames and the others in the odd ones. On an old television the eye does not notice. An agent that
# looks at every fourth frame would see the same half for ever. So a step shows, pixel by pixel, the
# brighter of its last two frames.
#
# Look for what is in one frame and not in the other: here are two frames of Asteroids, 1/60 second
# apart.

# %%
asteroids = make_game("AsteroidsNoFrameskip-v4")
asteroids.reset(seed=0)
for _ in range(60):
    even = asteroids.step(NOOP)[0]
odd = asteroids.step(NOOP)[0]
both = np.maximum(even, odd)

drawn = {"one frame": even, "the next": odd, "maximum": both}
for name, picture in drawn.items():
    print(f"{name}: {(picture.max(axis=2) > 0).sum()} pixels drawn")

# %%
figure = Figure(figsize=(8, 3.2), dpi=90, layout="constrained")
for axes, (title, picture) in zip(figure.subplots(1, 3), drawn.items(), strict=True):
    axes.imshow(picture)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=6)
figure.supxlabel("column (pixels)", fontsize=8)
figure.supylabel("row (pixels)", fontsize=8)
show_picture(figure, OUT / "flicker.png")

# %% [markdown]
# ## The stack: what moves, and where to
#
# One picture does not tell whether the ball comes or goes. The agent sees the last four, one step
# (four frames) apart. The fifth picture leaves out what stands still: red is the oldest ball, then
# two green ones, and blue is where it is now.

# %%
env = wrap_atari(make_game(BREAKOUT, render_mode="rgb_array"), crop=CROP, n_stack=4)
env.reset(seed=4)
for action in [LEFT] * 8:
    stack = env.step(action)[0]
print("what the network reads:", stack.shape, stack.dtype)

# %%
still = stack.min(axis=2, keepdims=True)  # (84, 84, 1): what is the same in all four
moving = np.minimum(3 * (stack - still).astype(int), 255)  # brighter than it is
moved = np.stack([moving[..., 0], moving[..., 1:3].max(axis=2), moving[..., 3]], axis=2)
figure = Figure(figsize=(8, 2.2), dpi=100, layout="constrained")
titles = ["3 steps ago", "2 steps ago", "1 step ago", "now", "what moved"]
for axes, title, picture in zip(
    figure.subplots(1, 5), titles, [*np.moveaxis(stack, -1, 0), moved], strict=True
):
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=8)
    axes.axis("off")
show_picture(figure, OUT / "stack.png")

# %% [markdown]
# ## Nothing happens without FIRE
#
# Breakout waits for FIRE, at the start and after each lost life. An agent that has not learned that
# yet would stare at a screen that stands still. `wrap_atari` presses it (`fire_on_reset=True`);
# lesson 5 asks whether an agent learns to do it itself.

# %%
from sb3_atari_course.course.breakout import read_state

waiting = wrap_atari(make_game(BREAKOUT), fire_on_reset=False)
waiting.reset(seed=0)
for _ in range(100):
    waiting.step(NOOP)
print("a ball after 100 steps without FIRE:", read_state(waiting).ball_in_play)
waiting.step(FIRE)
print("a ball after FIRE:", read_state(waiting).ball_in_play)

# %% [markdown]
# ## What a life is
#
# A game has five lives. If the agent were told nothing when it loses one, it would see no harm in
# it: no reward is lost. So `LifeLossTerminal` reports the lost life as the end of an *episode*
# (`terminated`), and the value of what comes after it is 0 for the agent. The *game* goes on: the
# next `reset()` does not start a new one. Watch the number of the frame.

# %%
env.reset(seed=0)
terminated = False
while not terminated:  # FIRE was pressed; then the agent does nothing
    _, reward, terminated, truncated, info = env.step(NOOP)
print(f"terminated={terminated}, lives={info['lives']}, frame {info['episode_frame_number']}")
lost_at = info["episode_frame_number"]

_, info = env.reset()
print(f"after reset(): lives={info['lives']}, frame {info['episode_frame_number']}")
assert info["lives"] == 4
assert info["episode_frame_number"] == lost_at + 4  # the same game; one step of FIRE

# %% [markdown]
# ## No two games alike?
#
# The emulator has no dice: the same actions give the same game, and an agent could learn one by
# heart. So each game begins with 1 to 30 frames of doing nothing (`noop_max=30`), their number
# drawn from the seed. Does that help in Breakout? Let us look where the first ball sets out, and
# whether to the left or to the right.

# %%
starts = wrap_atari(make_game(BREAKOUT), fire_on_reset=False)
lengths, balls = [], set()
for seed in range(60):
    lengths.append(starts.reset(seed=seed)[1]["episode_frame_number"])
    starts.step(FIRE)
    first = read_state(starts)
    starts.step(NOOP)
    balls.add((first.ball_x, "right" if read_state(starts).ball_x > first.ball_x else "left"))
print(
    "no-op frames of the first ten games:", lengths[:10], "of 60:", min(lengths), "to", max(lengths)
)
print("first balls of 60 games:", sorted(balls))
assert 1 <= min(lengths) <= max(lengths) <= 30
assert len(balls) == 4

# %% [markdown]
# Only four: the game looks at the number of the frame, modulo 4. Thirty games of a player without
# any randomness are four games, which is why our evaluations add a random action now and then.

# %% [markdown]
# ## What the agent is paid
#
# The upper rows of bricks pay more. The agent gets the *sign* of it, so that one learning rate
# suits Breakout as well as a game that pays thousands:
#
# $$r = \operatorname{sign}(\text{points}) \in \{-1, 0, 1\}$$
#
# A player who knows where the ball is digs into the wall. Look at what each row pays, top row
# first, and what the agent would get.

# %%
points: dict[int, set[float]] = {row: set() for row in range(6)}
state = read_state(game)
aims = np.random.default_rng(0)
n_frames = 2_000 if SMOKE else 20_000
game.reset(seed=0)
for frame in range(n_frames):
    if frame % 120 == 0:
        aim = aims.integers(-5, 6)  # pixels beside the middle of the paddle
    away = 0 if state.ball_x is None else state.ball_x - state.paddle_x - aim
    action = FIRE if state.ball_x is None else RIGHT if away > 3 else LEFT if away < -3 else NOOP
    _, reward, over, _, _ = game.step(action)
    before, state = state, read_state(game)
    for row in np.flatnonzero((before.bricks & ~state.bricks).any(axis=1)):
        points[int(row)].add(float(reward))
    if over:
        game.reset()
        state = read_state(game)
for row, paid in points.items():
    print(
        f"row {row}:", [f"{p:g} points, the agent gets {np.sign(p):g}" for p in paid] or "not hit"
    )

# %%
PRICE = np.array([7, 7, 4, 4, 1, 1])  # points for a brick, top row first
assert all(paid <= {PRICE[row]} for row, paid in points.items())
print("a whole wall of 18 columns:", 18 * PRICE.sum(), "points")
assert 18 * PRICE.sum() == 432  # there are two walls: 864 points are all there is

# %% [markdown]
# ## A million memories
#
# DQN remembers a million transitions: what it saw, and what it saw next. Each of the two is a stack
# of four pictures, so SB3's buffer needs
#
# $$10^6 \cdot 2 \cdot 4 \cdot 84 \cdot 84 \text{ bytes} = 56.4 \text{ GB}$$
#
# But the next observation is the same stack with one picture more, and most pictures are in eight
# stacks. `FrameReplayBuffer` keeps each frame once: $10^6 \cdot 84 \cdot 84$ bytes, an eighth.
# And since a Breakout screen is mostly empty, LZ4 packs it well. How well is *measured* below:
# random play is really stored, and the buffer says what a million would take.

# %%
from sb3_atari_course import FrameReplayBuffer, make_atari_env

n_bytes = 2 * 4 * 84 * 84
print(f"SB3: {n_bytes:,} bytes a transition, {1e6 * n_bytes / 1e9:.1f} GB")
print(f"each frame once: {84 * 84:,} bytes, {1e6 * 84 * 84 / 1e9:.1f} GB")
assert n_bytes == 56_448

games = make_atari_env(BREAKOUT, n_envs=8, seed=0, wrapper_kwargs={"crop": CROP})
spaces = (games.observation_space, games.action_space)
plain = FrameReplayBuffer(1_000_000, *spaces, device="cpu", n_envs=8)
packed = FrameReplayBuffer(1_000_000, *spaces, device="cpu", n_envs=8, compression="lz4")

# %%
rng = np.random.default_rng(0)
observations = games.reset()
for _ in range(200 if SMOKE else 1_500):  # steps of eight games at once
    actions = rng.integers(4, size=8)
    after, rewards, dones, infos = games.step(actions)
    following = after.copy()
    for i in np.flatnonzero(dones):  # SB3 has begun the next episode already
        following[i] = infos[i]["terminal_observation"]
    for buffer in (plain, packed):
        buffer.add(observations, following, actions, rewards, dones, infos)
    observations = after
print(f"{packed.size() * 8:,} transitions stored; a million of them take")
print("  each frame once:", plain.memory_needed())
print("  packed with LZ4:", packed.memory_needed())

# %% [markdown]
# ## The whole way
#
# `wrap_atari` is the one place that knows the order. From the emulator outwards:

# %%
layers = []
layer = env
while isinstance(layer, gym.Wrapper):
    layers.append(type(layer).__name__)
    layer = layer.env
print(" -> ".join([*reversed(layers), "the agent"]))

# %% [markdown]
# ## Try it yourself
#
# 1. Take `shape=(42, 42)` instead of `(84, 84)`. Can you still see the ball in the stack? How many
#    bytes does a million memories take then?
# 2. Print the pixels drawn in two frames of Breakout, as we did for Asteroids. Why does the maximum
#    hardly matter there? What does it do to the ball?
# 3. Set `terminal_on_life_loss=False` and play until `terminated`. How many lives are left?
# 4. A game pays 1 for a common enemy and 200 for a rare one. What does an agent that gets the sign
#    learn to hunt?
