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
# # Lesson 4: Breakout, the network and the training
#
# **You will learn**
# - what a convolution is, and the network of the DQN paper, which sees four frames at once
#   (**exercise 3**);
# - what changes in your training loop when states are stacks of frames (**exercise 4**);
# - why your loop will not play Breakout today, and what RL Zoo, our wrappers and our replay buffer
#   add;
# - how to train an agent in class, and how in an hour on a laptop.
#
# **Time** on 2 cores: about six minutes. **Expected result:** your loop trains without an error but
# plays like chance; RL Zoo's short training plays clearly better than chance (1.3 a game); the
# agents in `trained_agents/`, trained for 70 minutes, much better.
#
# Scores in this lesson are sums of the game's own rewards: neither discounted nor clipped. What the
# network learns from is both, see exercise 4.

# %%
import importlib.util
import subprocess
import sys

SOURCE = ""  # for pip: "sb3_atari_course[course] @ git+https://ADDRESS", or "FILE.whl[course]"
if importlib.util.find_spec("sb3_atari_course") is None:  # a hosted notebook
    assert SOURCE, "sb3_atari_course is not installed: set SOURCE above, ask your teacher for it"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", SOURCE], check=True)

from sb3_atari_course.course import begin

SMOKE, OUT = begin("lesson4")  # python lesson4_breakout.py --smoke: every point, in seconds

# %%
import time
from collections import deque, namedtuple
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from stable_baselines3 import DQN
from torch import nn

import sb3_atari_course
from sb3_atari_course import (
    AtariCNN,
    FrameReplayBuffer,
    evaluate_games,
    load_agent,
    make_atari_env,
)
from sb3_atari_course.agents import read_card
from sb3_atari_course.course import (
    check,
    draw_network,
    layer_table,
    list_layers,
    run_command,
    show_picture,
)
from sb3_atari_course.envs import make_game
from sb3_atari_course.report import plot_episodes
from sb3_atari_course.wrappers import crop_gray_resize
from sb3_atari_course.zoo.run_folder import find_run

# %% [markdown]
# ## The game
#
# A paddle, a ball, five lives, six rows of bricks with rewards 1, 1, 4, 4, 7 and 7 from below. The
# actions: 0 do nothing, 1 FIRE (a new ball), 2 right, 3 left. `BreakoutDeterministic-v4` holds each
# action for 4 frames, so one step of the agent is 4 frames of the emulator. How the frames come
# about is lesson 3.

# %%
env = make_game("BreakoutDeterministic-v4", render_mode="rgb_array")
screen, _ = env.reset(seed=0)
N_ACTIONS = int(env.action_space.n)
print(f"screen {screen.shape} {screen.dtype}, {N_ACTIONS} actions")
print(env.unwrapped.get_action_meanings())

# %% [markdown]
# ## What a convolution is
#
# A linear layer (lesson 2) has a weight for each pair of input number and output number, which is
# called a unit. From 84 x 84 pixels to 512 units that would be 3.6 million for one frame, and a
# ball in the upper left corner would have to be learned apart from one in the lower right. A
# **convolution** uses the same few weights everywhere: a small window, the **filter** (or kernel),
# of 3 x 3 weights for example, is laid on the upper left corner of the frame. Each weight is
# multiplied with the pixel that it covers, all is summed up, a number that does not depend on the
# frame, the bias, is added: one number, large where the frame looks like the filter. Then the
# window moves on to the right by the **stride**, a number of pixels, and row by row to the bottom.
# The numbers together are a new, smaller frame, the **feature map** of this filter. Here a filter
# of 2 x 2 with stride 1 that finds vertical edges (bias 0):
#
# ```
# frame          filter      feature map
# 0 0 9 9                    0  18  0
# 0 0 9 9        -1  1       0  18  0
# 0 0 9 9        -1  1
# ```
#
# A layer has many filters, 32 for example, and so makes 32 feature maps, its output **channels**.
# Its input has channels, too: red, green and blue, or the frames of a stack, or the maps of the
# layer before. Each filter has weights for all of them: one of 8 x 8 on 4 channels has 4 * 8 * 8 =
# 256 weights and one bias. The filters are not made by hand; they are learned, like all weights.
#
# A filter of $k \times k$ with stride $s$ makes $\lfloor (n - k) / s \rfloor + 1$ numbers out of
# $n$ in each direction (rounded down: a last window that does not fit is left out): in the example
# $(4 - 2) / 1 + 1 = 3$ wide and $(3 - 2) / 1 + 1 = 2$ high. With every layer a number depends on
# more pixels of the frame, its **receptive field**.
#
# ### In PyTorch
#
# - `nn.Conv2d(channels_in, channels_out, kernel_size=k, stride=s)` is a layer of convolutions:
#   the number of channels that come in, the number of filters, their size, their stride.
# - `nn.ReLU()` sets negative numbers to 0. Without it between them, two linear layers or
#   convolutions would do no more than one.
# - `nn.Flatten()` writes all feature maps one behind the other, into one row of numbers for
#   each input, which a linear layer takes.
# - `nn.Linear(n_in, n_out)` is a linear layer: each of `n_out` units weighs all of `n_in` numbers.
# - `nn.Sequential(first, second, ...)` is a network that calls its layers one after the other.
#
# The first axis of each tensor is the **batch axis**, one entry for each input: PyTorch takes
# `(batch, channels, height, width)`, and no layer changes the first number. No layer is given it,
# nor the height and the width: only `nn.Linear` must know how many numbers come out of `Flatten`,
# and that you compute.
#
# As an example, a network that recognises ten digits in gray images of 28 x 28 pixels (one
# channel), with the shape after each layer for a batch of 16 images:
#
# ```python
# digits = nn.Sequential(
#     nn.Conv2d(1, 6, kernel_size=5, stride=1),    # (16, 1, 28, 28) -> (16, 6, 24, 24)
#     nn.ReLU(),                                   # the same shape
#     nn.Conv2d(6, 10, kernel_size=4, stride=4),   # -> (16, 10, 6, 6), since (24 - 4) / 4 + 1 = 6
#     nn.ReLU(),
#     nn.Flatten(),                                # -> (16, 360), since 10 * 6 * 6 = 360
#     nn.Linear(360, 10),                          # -> (16, 10): a number for each digit
# )
# ```
#
# `channels_in` of a layer is `channels_out` of the one before. After the last layer there is no
# ReLU: its numbers may be negative, and so may Q-values.
#
# ## Exercise 3: the network
#
# The network of the DQN paper (Mnih et al. 2015, Methods):
#
# | layer | output |
# | --- | --- |
# | input: 4 frames, numbers in 0..1 | 4 x 84 x 84 |
# | 32 filters of 8 x 8, stride 4, ReLU | 32 x 20 x 20 |
# | 64 filters of 4 x 4, stride 2, ReLU | 64 x 9 x 9 |
# | 64 filters of 3 x 3, stride 1, ReLU | 64 x 7 x 7 |
# | flattened | compute it |
# | 512 units, ReLU | 512 |
# | one unit for each action | n_actions |
#
# The 20 comes from $(84 - 8) / 4 + 1 = 20$. A stack is the last four frames, one channel each; why
# four, is said below exercise 3.
# The number of actions and of frames in a stack are arguments of `build_cnn`: use `n_actions` and
# `n_stack`, not 4 and not `N_ACTIONS`, since other games have others. Return the network, do not
# call it; nothing is divided by 255 in it, that is done in exercise 4.


# %%
def build_cnn(n_actions, n_stack=4):
    """Return the network: (batch, n_stack, 84, 84) in 0..1 -> (batch, n_actions) Q-values."""
    # >>> return ...
    return nn.Sequential(
        nn.Conv2d(n_stack, 32, kernel_size=8, stride=4),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=4, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, kernel_size=3, stride=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 512),
        nn.ReLU(),
        nn.Linear(512, n_actions),
    )
    # <<<


# %%
check("build_cnn")

# %%
layers = list_layers(build_cnn(N_ACTIONS), (4, 84, 84))
print(layer_table(layers))
show_picture(draw_network(layers), OUT / "network.png")

# %% [markdown]
# Nineteen of twenty parameters belong to the layer of 512 units. `AtariCNN` of this package is the
# same up to those 512 numbers, for any Stable-Baselines3 algorithm:

# %%
vec_env = make_atari_env("BreakoutNoFrameskip-v4", n_envs=1, seed=0)
ours = sum(p.numel() for p in AtariCNN(vec_env.observation_space).parameters())
print(f"AtariCNN: {ours:,} parameters, as many as yours without the last layer")
assert ours == sum(layer.n_parameters for layer in layers[:-1])

# %% [markdown]
# ## Frames, stacks, bytes
#
# A state is no longer four numbers but a **frame stack**, the last four frames: one alone does not
# show where the ball flies. A game begins with its first frame four times. Frames are kept as bytes
# (`uint8`, 0..255) and divided by 255 only when the network needs them: floats would take four
# times the memory. The replay buffer (`memory` in the code) holds transitions of such stacks.

# %%
Transition = namedtuple("Transition", "state action reward next_state ended")
Batch = namedtuple("Batch", "states actions rewards next_states ended")


def preprocess(screen, crop, shape):
    """Return a screen (210, 160, 3) as a gray frame of this shape, uint8."""
    return crop_gray_resize(screen, crop=crop, shape=shape)[..., 0]


def stack_pictures(picture, stack=None, n_stack=4):
    """Return the next stack (n_stack, 84, 84): a new one, or `stack` without its oldest frame."""
    if stack is None:
        return np.stack([picture] * n_stack)
    return np.concatenate([stack[1:], picture[None]])


def fill_atari_memory(env, memory, n_transitions, max_steps, crop, shape, n_stack, rng):
    """Play random games until the memory has got n_transitions more."""
    while n_transitions > 0:
        screen, _ = env.reset()
        stack = stack_pictures(preprocess(screen, crop, shape), n_stack=n_stack)
        for _ in range(max_steps):
            action = int(rng.integers(env.action_space.n))
            screen, reward, terminated, truncated, _ = env.step(action)
            next_stack = stack_pictures(preprocess(screen, crop, shape), stack)
            memory.append(Transition(stack, action, np.sign(reward), next_stack, float(terminated)))
            stack, n_transitions = next_stack, n_transitions - 1
            if terminated or truncated or n_transitions == 0:
                break


def sample_batch(memory, batch_size, rng):
    """Draw transitions at random; stacks stay bytes, (batch_size, n_stack, 84, 84) uint8."""
    rows = [memory[i] for i in rng.integers(len(memory), size=batch_size)]
    states, actions, rewards, next_states, ended = (
        np.array(field) for field in zip(*rows, strict=True)
    )
    return Batch(
        torch.as_tensor(states),
        torch.as_tensor(actions),
        torch.as_tensor(rewards, dtype=torch.float32),
        torch.as_tensor(next_states),
        torch.as_tensor(ended, dtype=torch.float32),
    )


def atari_update(q_net, target_net, optimizer, batch, gamma):
    """Learn from one batch, as in lesson 2: Huber loss, pixels divided by 255."""
    with torch.no_grad():
        best_next = target_net(batch.next_states / 255).max(dim=1).values
    targets = batch.rewards + gamma * (1 - batch.ended) * best_next
    predicted = q_net(batch.states / 255).gather(1, batch.actions[:, None]).squeeze(1)
    loss = nn.functional.smooth_l1_loss(predicted, targets)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(q_net.parameters(), 1.0)
    optimizer.step()
    return loss.item()


# %% [markdown]
# Three stacks of a random game, one below the other. Within a row time goes from left to right.

# %%
CROP, SHAPE = (30, 195, 5, 155), (84, 84)  # pixels: top, bottom, left, right; height, width
rng = np.random.default_rng(0)
memory = deque(maxlen=1000)
fill_atari_memory(env, memory, 60, 1000, CROP, SHAPE, 4, rng)
figure = Figure(figsize=(5, 3.9), dpi=80, layout="constrained")
all_axes = figure.subplots(3, 4)
for row, number in zip(all_axes, (0, 20, 40), strict=True):
    for age, axes in enumerate(row):
        axes.imshow(memory[number].state[age], cmap="gray", vmin=0, vmax=255)
        axes.set(xticks=[], yticks=[])
        if number == 0:
            axes.set_title(("3 steps ago", "2 steps ago", "1 step ago", "now")[age], fontsize=9)
    row[0].set_ylabel(f"step {number}", fontsize=9)
show_picture(figure, OUT / "stacks.png")

# %% [markdown]
# ## Exercise 4: the training
#
# The loop of exercise 2b with five changes:
# 1. the replay buffer is filled by `fill_atari_memory`;
# 2. a game begins with a new stack of its first, preprocessed screen;
# 3. the network is asked about `stack / 255`. One stack has no batch axis yet:
#    `torch.as_tensor(stack)[None]` makes (1, n_stack, height, width) of it, the answer has the shape
#    (1, n_actions), and `int(values.argmax())` is the best action;
# 4. each new screen is preprocessed and pushed into the stack: `stack_pictures(frame, stack)`
#    returns a new array, and both stacks, before and after the step, belong to the transition;
# 5. what is stored is the **sign** of the reward, `np.sign(reward)`: -1.0, 0.0 or 1.0. This is
#    **reward clipping**: a game whose rewards are 200 must not change the weights 200 times as
#    much. The sign stays a float; as a byte, -1 would become 255. The score of a game is the sum of
#    the rewards that it gave: not clipped, not discounted.
#
# How a screen is cut and how many frames make a stack is in the arguments `crop`, `shape` and
# `n_stack`; the number of actions is `env.action_space.n`. Do not use `CROP`, `SHAPE` and `N_ACTIONS`
# of this lesson in the function: another game has others. The update takes the bytes of a batch as
# they are, `atari_update` divides them.

# %%
Game = namedtuple("Game", "number steps total_steps epsilon seconds score average")


def print_game(game):
    """Print a line of the table of games."""
    if game.number == 0:
        print(f"{'game':>4} {'steps':>5} {'total':>6} {'epsilon':>7} {'seconds':>7}", end=" ")
        print(f"{'score':>6} {'average':>7}")
    print(f"{game.number:4} {game.steps:5} {game.total_steps:6} {game.epsilon:7.3f}", end=" ")
    print(f"{game.seconds:7.1f} {game.score:6.1f} {game.average:7.1f}")


def train_atari(
    env,
    q_net,
    target_net,
    optimizer,
    *,
    n_episodes,
    max_steps,
    memory_size,
    prefill,
    batch_size,
    update_every,
    copy_every,
    max_epsilon,
    min_epsilon,
    epsilon_decay,
    gamma,
    crop,
    shape,
    n_stack,
    window,
    stop_at,
    rng,
    report=lambda game: None,
):
    """Train q_net on a game; return a list with a Game for each game."""
    # >>> # begin with your loop of exercise 2b
    # >>> games = ...
    # >>> return games
    memory = deque(maxlen=memory_size)
    fill_atari_memory(env, memory, prefill, max_steps, crop, shape, n_stack, rng)
    epsilon, games, total_steps = max_epsilon, [], 0
    for number in range(n_episodes):
        began, first_epsilon = time.perf_counter(), epsilon
        screen, _ = env.reset()
        stack = stack_pictures(preprocess(screen, crop, shape), n_stack=n_stack)
        score, steps, done = 0.0, 0, False
        while not done and steps < max_steps:
            if rng.random() < epsilon:
                action = int(rng.integers(env.action_space.n))
            else:
                with torch.no_grad():
                    action = int(q_net(torch.as_tensor(stack)[None] / 255).argmax())
            screen, reward, terminated, truncated, _ = env.step(action)
            next_stack = stack_pictures(preprocess(screen, crop, shape), stack)
            memory.append(Transition(stack, action, np.sign(reward), next_stack, float(terminated)))
            stack, done = next_stack, terminated or truncated
            if total_steps % update_every == 0:
                batch = sample_batch(memory, batch_size, rng)
                atari_update(q_net, target_net, optimizer, batch, gamma)
            if total_steps % copy_every == 0:
                target_net.load_state_dict(q_net.state_dict())
            epsilon = max(min_epsilon, epsilon - epsilon_decay)
            score, steps, total_steps = score + reward, steps + 1, total_steps + 1
        seconds = time.perf_counter() - began
        average = float(np.mean([*(game.score for game in games), score][-window:]))
        games.append(Game(number, steps, total_steps, first_epsilon, seconds, score, average))
        report(games[-1])
        if stop_at is not None and len(games) >= window and average >= stop_at:
            break
    return games
    # <<<


# %%
check("atari_training")

# %% [markdown]
# ## Training
#
# With the numbers of a tutorial of 2022, but for a smaller replay buffer: 10,000 states of 28 kB
# are 280 MB. Its authors let it play 22,751 games in eleven days. Ours plays 30; look at the
# seconds, not at the scores (not clipped, not discounted; epsilon is almost 1, so this is random
# play).

# %%
torch.manual_seed(0)
q_net, target_net = (build_cnn(N_ACTIONS) for _ in range(2))
target_net.load_state_dict(q_net.state_dict())
env.reset(seed=0)
began = time.perf_counter()
games = train_atari(
    env,
    q_net,
    target_net,
    torch.optim.Adam(q_net.parameters(), lr=0.00025),
    n_episodes=3 if SMOKE else 30,
    max_steps=100 if SMOKE else 10_000,
    memory_size=10_000,  # transitions; the paper: 1,000,000
    prefill=100 if SMOKE else 2000,  # transitions; the paper: 50,000
    batch_size=32,
    update_every=4,  # steps
    copy_every=10_000,  # steps
    max_epsilon=1.0,
    min_epsilon=0.1,
    epsilon_decay=0.9 / 1_000_000,  # per step
    gamma=0.99,
    crop=CROP,
    shape=SHAPE,
    n_stack=4,
    window=100,
    stop_at=60,
    rng=np.random.default_rng(0),
    report=lambda game: print_game(game) if game.number % 5 == 0 else None,
)
speed = games[-1].total_steps / (time.perf_counter() - began)
print(f"{len(games)} games, {games[-1].total_steps} steps, {speed:.0f} steps a second:", end=" ")
print(f"ten million would take {10_000_000 / speed / 86_400:.1f} days")
show_picture(
    plot_episodes([g.steps for g in games], [g.score for g in games], window=10),
    OUT / "own_training.png",
)

# %% [markdown]
# ### Why it does not play yet
#
# Nothing is wrong with it. Epsilon has hardly left 1, and the target network was never renewed
# after the first step: these numbers are made for millions of steps. And a million states of your
# replay buffer would take 28 GB. What the package adds:
# - `wrap_atari`: a lost life ends the episode for the learner, though the game continues; FIRE is
#   pressed for the agent;
# - `FrameReplayBuffer`: each frame once, packed: a million transitions in half a gigabyte;
# - `NativeAtariVecEnv` and `FastDQN`: more games at once, 1.5 times the steps a second.

# %%
vec_env = make_atari_env("BreakoutNoFrameskip-v4", n_envs=8, seed=0)
memory = {"replay_buffer_class": FrameReplayBuffer, "replay_buffer_kwargs": {"compression": "lz4"}}
model = DQN("CnnPolicy", vec_env, buffer_size=1_000_000, learning_starts=50_000, seed=0, **memory)
model.learn(400 if SMOKE else 2000)  # steps: enough to see how well the frames pack
buffer = model.replay_buffer
print("a million transitions:", buffer.memory_needed())

# %% [markdown]
# ## A short training, for class
#
# RL Zoo with `hyperparams/dqn_laptop.yml`: an epsilon that falls within thousands of steps, targets
# of three real rewards before the estimate (**n-step returns**), a target network that is renewed
# more often. The score is again that of whole games: five lives, not clipped, not discounted.

# %%
N_STEPS = 1500 if SMOKE else 40_000
began = time.perf_counter()
run_command(
    *("train", "--algo", "dqn", "--env", "BreakoutNoFrameskip-v4", "--seed", 1),
    *("-conf", "sb3_atari_course.hyperparams.dqn_laptop", "-n", N_STEPS, "-f", OUT / "logs"),
    *(("-params", "learning_starts:500") if SMOKE else ()),
    *("--eval-freq", -1),
)
minutes = (time.perf_counter() - began) / 60
print(f"{N_STEPS} steps of 4 frames in {minutes:.1f} minutes")

# %%
run = find_run("dqn", "BreakoutNoFrameskip-v4", OUT / "logs")
report = run.evaluate(seed=0, n_games=2 if SMOKE else 20)
print(report)
assert SMOKE or report.mean > report.random_mean

# %% [markdown]
# ## An hour
#
# The same idea with many games at once and our `FastDQN`, for an hour on 2 cores. The run folder
# gets curves, checkpoints and a score, and `plot` makes a report that opens in any browser:
#
# ```
# python -m sb3_atari_course train --algo fast_dqn --env BreakoutNoFrameskip-v4 --vec-env native -conf hyperparams/fast_dqn_laptop.yml --save-freq 50000 --eval-freq -1
# python -m sb3_atari_course evaluate --algo fast_dqn --env BreakoutNoFrameskip-v4
# python -m sb3_atari_course plot --algo fast_dqn --env BreakoutNoFrameskip-v4
# ```
#
# `make hour` does all that and records a video; `make breakout` does it in ten minutes with the
# settings above. Agents of such a training (70 minutes) are in `trained_agents/`, each with a model
# card: where it comes from, and its scores. `load_agent` opens them without unpickling, which could
# run code that is in a file.

# %%
checkout = Path(sb3_atari_course.__file__).parents[1]
shipped = checkout / "trained_agents/dqn/BreakoutNoFrameskip-v4_1"
if shipped.is_dir():
    training = read_card(shipped)["training"]
    print(
        f"{training['steps']:,} steps in {training['minutes']:.0f} minutes, {training['hardware']}"
    )
    hour = find_run("dqn", "BreakoutNoFrameskip-v4", checkout / "trained_agents", exp_id=1)
    stages = sorted(
        shipped.glob("rl_model_*_steps.zip"), key=lambda path: int(path.stem.split("_")[2])
    )
    for file in [*stages, shipped / "best_model.zip"]:
        report = evaluate_games(
            load_agent(file, device="cpu"),
            "BreakoutNoFrameskip-v4",
            n_games=1 if SMOKE else 10,
            seed=0,
            max_frames=2_000 if SMOKE else 108_000,
            env_wrapper=hour.env_wrapper(),
            env_kwargs=hour.env_kwargs,
            random_play=False,
        )
        print(
            f"{file.name:>28}: {report.mean:6.1f} +- {report.std:.1f} in {len(report.scores)} games"
        )

# %% [markdown]
# ## Questions
#
# **1.** How many weights and biases has the second convolution of exercise 3, and how many would a
# linear layer have between the same numbers (32 x 20 x 20 to 64 x 9 x 9)?
#
# <details><summary>Answer</summary>
#
# 64 filters of 32 * 4 * 4 = 512 weights and a bias: 64 * 513 = 32,832. The linear layer would have
# 12,800 * 5,184 weights and 5,184 biases, 66 million, two thousand times as many.
#
# </details>
#
# **2.** How large is the receptive field of a number in the second and in the third layer: on how
# many pixels of a row of the frame does it depend?
#
# <details><summary>Answer</summary>
#
# 8 pixels after the first layer. Four neighbours of that layer lie 4 pixels apart from each other:
# $8 + 3 \cdot 4 = 20$ after the second. Three neighbours of that one lie $4 \cdot 2 = 8$ apart:
# $20 + 2 \cdot 8 = 36$ after the third. A ball and a paddle farther apart meet only in the layer of
# 512 units.
#
# </details>
#
# **3.** Why is the frame divided by 255 in the network's input, and not when it is stored?
#
# <details><summary>Answer</summary>
#
# A byte takes one byte, a float32 four: a replay buffer of 10,000 states would have 1.1 GB instead
# of 280 MB. The division is cheap. Networks learn best from inputs of about size 1, because their
# initial weights are made for that.
#
# </details>
#
# **4.** With reward clipping, can the agent still learn that the bricks at the top are worth more?
#
# <details><summary>Answer</summary>
#
# No: each brick counts 1 for it. It maximizes the (discounted) number of bricks, the score is only
# what we measure. In Breakout both agree well, because all bricks together are all points. In a
# game with a choice between 1 now and 100 later, the clipped agent may choose wrongly.
#
# </details>
#
# **5.** Epsilon is still almost 1 in the last row of your training's table. Which number of it
# would have to be how large before the scores could rise, and why is the average of a few games not
# a sign of learning?
#
# <details><summary>Answer</summary>
#
# `total_steps`: epsilon falls by 0.9 within a million steps, and at epsilon 0.5 (550,000 steps) every
# second action is still random. Random games have scores from 0 to 5 or so; the mean of ten of them
# varies by about 0.4 without any learning.
#
# </details>
#
# ## Further reading
#
# - V. Mnih et al., *Human-level control through deep reinforcement learning*, Nature 518, 2015: the
#   network of exercise 3 and all its numbers in "Methods" and Extended Data Table 1. The shorter
#   first version: *Playing Atari with Deep Reinforcement Learning*, 2013,
#   https://arxiv.org/abs/1312.5602
# - M. C. Machado et al., *Revisiting the Arcade Learning Environment*, 2018,
#   https://arxiv.org/abs/1709.06009: what must be said with a score, lives, frame skip, sticky
#   actions (sections 3 to 5).
# - I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press 2016, chapter 9,
#   https://www.deeplearningbook.org: convolutions with drawings, strides, receptive fields.
# - M. Hessel et al., *Rainbow: Combining Improvements in Deep Reinforcement Learning*, 2018,
#   https://arxiv.org/abs/1710.02298: what n-step returns, dueling networks and others add, one by
#   one.
#
# ## Try it yourself
#
# 1. `n_stack=1` in exercise 4: which information is missing? Which game does not need it?
# 2. Store the reward itself instead of its sign, in the short training: `clip_reward: false` in a
#    copy of the yml. Which rows does the agent prefer?
# 3. `frame_skip: 1` in the yml: why does it learn more slowly, step by step and hour by hour?
# 4. Count the multiplications of each convolution. Which one costs most? (Not the one with the
#    most parameters.)
