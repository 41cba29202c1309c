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
# - how long an action lasts, and why the maximum of two frames is taken;
# - what a life is, who presses FIRE, and which reward the agent gets;
# - why a replay buffer of a million transitions takes 56 GB, and how it fits into half a gigabyte;
# - what an n-step return is, and where it ends (**exercise**).
#
# **Time** on 2 cores: about half a minute of computing; an hour with the exercise.
# **Expected result:** three figures, and a few numbers that you can check by hand.

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
# The Atari 2600 draws 60 frames a second, each of 210 rows and 160 columns. A **frame** is always one
# of those; a **step** is one decision of the agent, and we shall see that it lasts four frames. What
# the network gets as its input is an **observation**: it is made from several frames.

# %%
import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure

from sb3_atari_course.course import check, show_picture
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
for axes, (title, image) in zip(figure.subplots(1, 4), stages, strict=True):
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set_title(f"{title} {image.shape}", fontsize=8)
    axes.tick_params(labelsize=6)
figure.supxlabel("column (pixels)", fontsize=8)
figure.supylabel("row (pixels)", fontsize=8)
show_picture(figure, OUT / "stages.png")

# %% [markdown]
# ## Frame skip: one decision, four frames
#
# 60 decisions a second would be more than a player needs, and four times the work. `ActionRepeat`
# holds each action for four frames: 15 decisions a second. This is called **action repeat**, or
# **frame skip**, since the agent does not see the frames between. Half an hour of play, the usual
# cap of a game, is 108,000 frames or 27,000 steps.

# %%
from sb3_atari_course.wrappers import ActionRepeat

slow = ActionRepeat(make_game(BREAKOUT), frame_skip=4)
before = slow.reset(seed=0)[1]["frame_number"]
after = slow.step(FIRE)[-1]["frame_number"]
print(f"one step: {after - before} frames; {60 // 4} decisions a second")
assert 30 * 60 * 60 == 108_000 == 4 * 27_000  # half an hour: frames, and steps

# %% [markdown]
# ## Max-pooling: the maximum of two frames
#
# The console can draw only a few sprites in a line, so many games draw some of them in the even
# frames and the others in the odd ones. On an old television the eye does not notice. An agent that
# looks at every fourth frame would see the same half for ever. So a step shows, pixel by pixel, the
# brighter of its last two frames: **max-pooling** over two frames.
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
for name, frame in drawn.items():
    print(f"{name}: {(frame.max(axis=2) > 0).sum()} pixels drawn")

# %%
figure = Figure(figsize=(8, 3.2), dpi=90, layout="constrained")
for axes, (title, frame) in zip(figure.subplots(1, 3), drawn.items(), strict=True):
    axes.imshow(frame)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=6)
figure.supxlabel("column (pixels)", fontsize=8)
figure.supylabel("row (pixels)", fontsize=8)
show_picture(figure, OUT / "flicker.png")

# %% [markdown]
# ## Frame stacking: what moves, and where to
#
# One frame does not show whether the ball comes or goes. The state of the game is known only in
# part: **partial observability**, and the decision process is a **POMDP** (partially observable
# Markov decision process), for which Q-learning is not made. So the agent gets the last four frames,
# one step (four frames of the game) apart: **frame stacking**. Where the ball was and where it is
# show where it will be, which is nearly the whole state of Breakout.
#
# The figure shows the four frames of one observation; its last part leaves out what stands still:
# red is the oldest ball, then two green ones, and blue is where it is now.

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
for axes, title, image in zip(
    figure.subplots(1, 5), titles, [*np.moveaxis(stack, -1, 0), moved], strict=True
):
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=8)
    axes.axis("off")
show_picture(figure, OUT / "stack.png")

# %% [markdown]
# ## FIRE starts the game
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
# A game has five lives. A lost life costs no reward, so an agent that only sees rewards would find no
# harm in it. So `LifeLossTerminal` reports the lost life as the end of an *episode* (`terminated`),
# and the value of what comes after it is 0 for the agent: **life loss as terminal**. The *game*
# continues: the next `reset()` does not start a new one. Watch the number of the frame.

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
# ## No-op starts: no two games alike?
#
# The emulator is deterministic: the same actions give the same game, and an agent could learn one by
# heart. So each game begins with 1 to 30 frames of doing nothing (`noop_max=30`), their number
# random: **no-op starts**. Does that help in Breakout? Let us look where the first ball sets out,
# and whether to the left or to the right.

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
# Another way are **sticky actions**: with a probability of 0.25 the emulator repeats the last action
# in place of the new one, in each frame. The environments whose ids end with `-v5` do that unless
# one asks them not to; ours (`NoFrameskip-v4`) do not.

# %% [markdown]
# ## Reward clipping
#
# A brick of the upper rows gives more points. The agent's reward is their *sign*, so that one
# learning rate suits Breakout as well as a game that gives thousands of points: **reward clipping**.
#
# $$r = \operatorname{sign}(\text{points}) \in \{-1, 0, 1\}$$
#
# A player who reads from the emulator's RAM where the ball is breaks bricks below. Look at the points
# of each row, top row first, and at the reward of the agent.

# %%
points: dict[int, set[float]] = {row: set() for row in range(6)}
state = read_state(game)
aims = np.random.default_rng(0)
n_frames = 1_000 if SMOKE else 20_000
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
for row, seen in points.items():
    print(f"row {row}:", [f"{p:g} points, reward {np.sign(p):g}" for p in seen] or "not hit")

# %%
PRICE = np.array([7, 7, 4, 4, 1, 1])  # points for a brick, top row first
assert all(seen <= {PRICE[row]} for row, seen in points.items())
print("a whole wall of 18 columns:", 18 * PRICE.sum(), "points")
assert 18 * PRICE.sum() == 432  # there are two walls: 864 points are all there is

# %% [markdown]
# ## The replay buffer: a million transitions
#
# DQN keeps its last million **transitions** in a **replay buffer**: the observation before a step,
# action, reward, and the observation after it. Each of the two observations is a stack of four
# frames, so SB3's buffer needs
#
# $$10^6 \cdot 2 \cdot 4 \cdot 84 \cdot 84 \text{ bytes} = 56.4 \text{ GB}$$
#
# But the next observation is the same stack with one frame more, and most frames are in eight
# stacks. `FrameReplayBuffer` keeps each frame once: $10^6 \cdot 84 \cdot 84$ bytes, an eighth.
#
# ## Targets of several steps
#
# The target of Q-learning is one reward plus the discounted value of what follows (lessons 1 and 2):
# $r_t + \gamma \max_a Q(s_{t+1}, a)$. A reward that comes $k$ steps after the action that earned it
# needs $k$ updates to get back to that action. So one sums $n$ rewards before the **bootstrapping**
# with a value, the **n-step return**:
#
# $$r_t + \gamma\, r_{t+1} + \dots + \gamma^{n-1} r_{t+n-1} + \gamma^n \max_a Q(s_{t+n}, a)$$
#
# At three places fewer than $n$ rewards are summed, say $k$ of them. A value that is added then is
# discounted by $\gamma^k$:
#
# - after a step with `terminated` the episode is over: no more rewards, and no value;
# - after a step with `truncated` (a time limit) no more rewards are summed either, since the next
#   step is of another episode; but the game could have continued, so the value is added (if both
#   flags are True, `terminated` counts);
# - at the newest step in the buffer there are no more rewards yet: the value is added.

# %% [markdown]
# ## Exercise: bytes and targets of a replay buffer
#
# `buffer_bytes` returns the bytes of all observations of a full buffer; a pixel is one byte. Actions
# and rewards are left out, and with each frame stored once so are the first frames of an episode:
# one new frame for each transition.
#
# `n_step_targets` gets consecutive steps of one environment, in order, maybe of several episodes.
# `next_values[i]` is $\max_a Q$ of the observation after step `i`, at the end of an episode of its
# last observation. For example three steps without an end, with `n_steps=2`:
#
# ```
# target of step 0: rewards[0] + gamma * rewards[1] + gamma**2 * next_values[1]
# target of step 1: rewards[1] + gamma * rewards[2] + gamma**2 * next_values[2]
# target of step 2: rewards[2]                      + gamma    * next_values[2]
# ```


# %%
def buffer_bytes(n_transitions, n_stack, height, width, each_frame_once):
    """Return the bytes that the observations of a full replay buffer need.

    each_frame_once: store one new frame for each transition (True), or two stacks (False)
    """
    # 1. frames that are stored for each transition
    # >>> n_frames = ...
    n_frames = 1 if each_frame_once else 2 * n_stack
    # <<<
    # 2. bytes of all of them
    # >>> return ...
    return n_transitions * n_frames * height * width
    # <<<


def n_step_targets(rewards, terminated, truncated, next_values, gamma, n_steps):
    """Return a list with the target of each step; all four arrays have one entry for each step."""
    targets = []
    for first in range(len(rewards)):
        # 3. sum at most n_steps rewards, reward i discounted by gamma**i; stop after the last step
        #    of an episode, and after the last step of all
        # >>> target = ...
        target, discount = 0.0, 1.0
        for step in range(first, min(first + n_steps, len(rewards))):
            target += discount * rewards[step]
            discount *= gamma
            if terminated[step] or truncated[step]:
                break
        # <<<
        # 4. unless the last of these steps has terminated: add the discounted value of what follows
        # >>> target += ...
        if not terminated[step]:
            target += discount * next_values[step]
        # <<<
        targets.append(target)
    return targets


check("replay_targets")

# %% [markdown]
# The buffers of the package must agree with you. Here are six steps in a `FrameReplayBuffer` with
# `n_steps=3`: the first episode ends by `terminated`, the second by `truncated`. The pixels of the
# tiny frames are the numbers of the steps, so that one can see which step was sampled.

# %%
from sb3_atari_course import FrameReplayBuffer, make_atari_env

rewards = np.array([0.0, 1.0, 0.0, 0.0, 1.0, 1.0])
terminated = np.array([False, True, False, False, False, False])
truncated = np.array([False, False, False, False, True, False])
next_values = np.array([3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
targets = n_step_targets(rewards, terminated, truncated, next_values, gamma=0.5, n_steps=3)

tiny = gym.spaces.Box(0, 255, (8, 8, 2), np.uint8)
buffer = FrameReplayBuffer(7, tiny, gym.spaces.Discrete(4), device="cpu", n_steps=3, gamma=0.5)
for i in range(6):
    now, after = (np.full((1, 8, 8, 2), pixel, np.uint8) for pixel in (i, i + 1))
    done, limit = terminated[[i]] | truncated[[i]], {"TimeLimit.truncated": truncated[i]}
    buffer.add(now, after, np.array([NOOP]), rewards[[i]], done, [limit])
batch = buffer.sample(100)
steps = batch.observations[:, 0, 0, 0].numpy().astype(int)
last = batch.next_observations[:, 0, 0, 0].numpy().astype(int) - 1  # the last step that was summed
future = (batch.discounts * (1 - batch.dones))[:, 0].numpy() * next_values[last]
sampled = batch.rewards[:, 0].numpy() + future
for i in range(6):
    print(f"step {i}: yours {targets[i]:.3f}, the buffer's {sampled[steps == i][0]:.3f}")
assert np.allclose(sampled, np.array(targets)[steps])

# %% [markdown]
# ## How much RAM, measured
#
# Since a Breakout screen is mostly empty, LZ4 compresses it well. How well is *measured* here: random
# play is really stored, and the buffer estimates what a million transitions would take.

# %%
both, once = (buffer_bytes(1_000_000, 4, 84, 84, each_frame_once=one) for one in (False, True))
print(f"SB3: {both // 1_000_000:,} bytes a transition, {both / 1e9:.1f} GB")
print(f"each frame once: {once // 1_000_000:,} bytes, {once / 1e9:.1f} GB")
assert both == 56_448 * 1_000_000

games = make_atari_env(BREAKOUT, n_envs=8, seed=0, wrapper_kwargs={"crop": CROP})
spaces = (games.observation_space, games.action_space)
plain = FrameReplayBuffer(1_000_000, *spaces, device="cpu", n_envs=8)
packed = FrameReplayBuffer(1_000_000, *spaces, device="cpu", n_envs=8, compression="lz4")

# %%
rng = np.random.default_rng(0)
observations = games.reset()
for _ in range(100 if SMOKE else 1_500):  # steps of eight games at once
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
# ## All wrappers in order
#
# Each of these changes is a **wrapper**: an environment around another one. `wrap_atari` puts them in
# the right order. From the emulator outwards:

# %%
layers = []
layer = env
while isinstance(layer, gym.Wrapper):
    layers.append(type(layer).__name__)
    layer = layer.env
print(" -> ".join([*reversed(layers), "the agent"]))

# %% [markdown]
# ## Questions
#
# 1. How much time passes in the game between the oldest and the newest frame of an observation?
#
# <details><summary>Answer</summary>
#
# Three steps of four frames, 12 frames: 12 / 60 = 0.2 seconds.
#
# </details>
#
# 2. Why is the game of Breakout, seen as single frames, not a Markov decision process, and why is
#    it nearly one with four stacked frames?
#
# <details><summary>Answer</summary>
#
# What happens next depends on the direction and the speed of the ball, which one frame does not
# show. Two frames show both, four also the movement of the paddle. "Nearly", since things that
# happened more than 0.2 seconds ago are not seen, for example how often the ball was hit since it
# last became faster.
#
# </details>
#
# 3. With a time limit of 100 steps, `truncated` was treated like `terminated`. Which values become
#    wrong, and in which direction, if rewards are positive?
#
# <details><summary>Answer</summary>
#
# Those of the last states before the limit: their targets lack the value of what would have
# followed, so they are too small. The same state at step 10 has another target than at step 99, and
# the network, which does not see the clock, learns a mixture.
#
# </details>
#
# 4. Which frames does a million transitions need to store if `n_stack=1`, and by which factor does
#    storing each frame once help?
#
# <details><summary>Answer</summary>
#
# Both observations are single frames, and the second is the first one of the following transition:
# a million frames instead of two million, a factor of 2. The factor is `2 * n_stack`.
#
# </details>
#
# 5. n-step returns with large n learn faster from rare rewards. What is the disadvantage for an
#    off-policy algorithm such as DQN?
#
# <details><summary>Answer</summary>
#
# The n rewards come from the actions that were taken then, among them random ones and those of an
# older policy, not from the best actions of today. Only the value at the end takes a maximum. So the
# target says what the old policy would get for n steps: it is biased, and noisier, the more the
# larger n is.
#
# </details>

# %% [markdown]
# ## Further reading
#
# - V. Mnih et al., *Human-level control through deep reinforcement learning*, Nature 518, 2015,
#   section "Methods": all steps of this lesson in one page ("Preprocessing", "Training details").
# - M. Machado et al., *Revisiting the Arcade Learning Environment*, 2018,
#   https://arxiv.org/abs/1709.06009: sticky actions, how papers differ in their protocols, and why
#   the authors advise against life loss as terminal.
# - R. Sutton and A. Barto, *Reinforcement Learning: An Introduction*, second edition, 2018, chapter
#   7, http://incompleteideas.net/book: n-step returns, and what changes off-policy.
# - F. Pardo et al., *Time Limits in Reinforcement Learning*, 2018,
#   https://arxiv.org/abs/1712.00378: why `truncated` must bootstrap.

# %% [markdown]
# ## Try it yourself
#
# 1. Take `shape=(42, 42)` instead of `(84, 84)`. Can you still see the ball in the stack? How many
#    bytes does a replay buffer of a million transitions take then?
# 2. Print the pixels drawn in two frames of Breakout, as we did for Asteroids. Why does the maximum
#    hardly matter there? What does it do to the ball?
# 3. Set `terminal_on_life_loss=False` and play until `terminated`. How many lives are left?
# 4. A game gives 1 point for a common enemy and 200 for a rare one. What does an agent that gets the
#    sign learn to hunt?
