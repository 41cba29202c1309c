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
# # Lesson 2: CartPole, a network
#
# **You will learn**
# - why a Q-table is not enough, and what takes its place;
# - how a network learns: tensors, layers, gradient descent, in as much PyTorch as is needed here;
# - what makes a network learn Q-values at all: a replay buffer, a target network, a careful loss;
# - DQN from scratch (**exercises 2a and 2b**), and how to see whether it works;
# - what Stable-Baselines3's DQN does differently.
#
# **Time** on 2 cores: about five minutes to run, three hours to read and solve.
# **Expected result:** your network balances the pole for at least 195 of 500 steps, averaged over
# 100 games (undiscounted, without random actions); SB3's DQN for all 500. You need lesson 1; no
# knowledge of PyTorch or of neural networks.

# %%
import importlib.util
import subprocess
import sys

SOURCE = ""  # for pip: "sb3_atari_course[course] @ git+https://ADDRESS", or "FILE.whl[course]"
if importlib.util.find_spec("sb3_atari_course") is None:  # a hosted notebook
    assert SOURCE, "sb3_atari_course is not installed: set SOURCE above, ask your teacher for it"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", SOURCE], check=True)

from sb3_atari_course.course import begin

SMOKE, OUT = begin("lesson2")  # python lesson2_cartpole.py --smoke: every point, in seconds

# %%
import time
from collections import deque, namedtuple

import gymnasium as gym
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from sb3_atari_course import evaluate_games
from sb3_atari_course.course import (
    check,
    draw_network,
    layer_table,
    list_layers,
    run_command,
    show_picture,
    show_video,
)
from sb3_atari_course.report.video import record_game, write_video
from sb3_atari_course.zoo.run_folder import find_run

torch.set_num_threads(1)  # the networks are so small that a second thread only disturbs

# %% [markdown]
# ## The environment
#
# A pole stands on a cart. Each step pushes the cart left (0) or right (1). The game is terminated
# when the pole leans more than 12 degrees or the cart leaves the track (2.4 units), and truncated
# after 500 steps. Every step has the reward 1, so the score, the undiscounted return of a game, is
# the number of steps for which the pole stood.

# %%
env = gym.make("CartPole-v1", render_mode="rgb_array")
state, _ = env.reset(seed=0)
figure = Figure(figsize=(3.6, 2.4), dpi=80, layout="constrained")
axes = figure.subplots()
axes.imshow(env.render())
axes.axis("off")
show_picture(figure, OUT / "cartpole.png")
names = ("cart position", "cart velocity", "pole angle (radians)", "pole angular velocity")
for name, value in zip(names, state, strict=True):
    print(f"{name:24} {value:+.3f}")

# %% [markdown]
# Four real numbers: no table has a row for each. A **network** takes them and returns one Q-value
# for each action. It generalises: what it learns in one state changes its Q-values in similar ones.
# That is its strength, and the source of all trouble below.
#
# ## A network, and how it learns
#
# **Tensors.** PyTorch computes with tensors: arrays of numbers as in NumPy, with a shape and a type
# (`float32` in most cases). `torch.as_tensor` makes one from an array or a list. A network takes a
# whole **batch** at once: a tensor of shape (B, 4) is B states with four numbers each.
#
# **Layers.** `nn.Linear(4, 64)` has 64 *units*. Each multiplies the four inputs by four *weights*,
# adds a *bias*, and returns the sum: (B, 4) becomes (B, 64). Several such layers after each other
# would still be one linear function. Therefore an *activation* stands between them, here **ReLU**
# (rectified linear unit), which replaces negative numbers by 0 and keeps the others.
# `nn.Sequential(a, b, c)` is the network that applies `a`, then `b`, then `c`. Weights and biases
# are random at the start.
#
# **Gradient descent.** A **loss** is one number that says how wrong the outputs are. The
# **gradient** is its derivative with respect to every weight (biases count as weights): in which
# direction, and how strongly, a small change of that weight changes the loss. Gradient descent
# moves every weight a bit against it,
#
# $$\text{weight} \leftarrow \text{weight} - \text{learning rate} \cdot \frac{\partial \, \text{loss}}{\partial \, \text{weight}},$$
#
# so that the loss becomes smaller, again and again. **Adam** is gradient descent with two
# additions: it averages the gradients of the last steps, and it divides the step of each weight by
# the usual size of its gradient, so that all weights move at about the same speed.
#
# In PyTorch an *optimizer* has the weights and the rule. Here a weight and a bias learn a straight
# line,
# $y = 3x + 1$, from four examples:

# %%
torch.manual_seed(0)
inputs = torch.as_tensor([[0.0], [1.0], [2.0], [3.0]])  # (4, 1): four rows of one number
answers = 3 * inputs + 1  # (4, 1)
line = nn.Linear(1, 1)  # one weight, one bias
adam = torch.optim.Adam(line.parameters(), lr=0.1)
for step in range(201):
    line_loss = nn.functional.mse_loss(line(inputs), answers)  # the mean of the squared differences
    adam.zero_grad()  # forget the gradients of the step before; otherwise they would be added up
    line_loss.backward()  # compute the gradient of the loss by every weight
    adam.step()  # move every weight against its gradient, by Adam's rule
    if step % 50 == 0:
        numbers = line_loss.item(), line.weight.item(), line.bias.item()  # tensor -> float
        print("step {:3}: loss {:8.4f}, weight {:.3f}, bias {:.3f}".format(step, *numbers))

# %% [markdown]
# The weight approaches 3, the bias 1, and nothing but the loss said so. The network for CartPole
# learns the same way; only its "right answers" are something that the agent has to make up itself.


# %%
def build_network(n_inputs, hidden, n_actions):
    """Return a network: (batch, n_inputs) float32 -> (batch, n_actions) Q-values."""
    layers, width = [], n_inputs
    for units in hidden:
        layers += [nn.Linear(width, units), nn.ReLU()]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, n_actions))


torch.manual_seed(0)
layers = list_layers(build_network(4, (64, 32), 2), (4,))
print(layer_table(layers))
show_picture(draw_network(layers), OUT / "network.png")

# %% [markdown]
# A layer of $n$ inputs and $m$ units has $n \cdot m$ weights and $m$ biases:
# $4 \cdot 64 + 64 = 320$ for the first one. The output layer has no activation: Q-values may be of any size and sign.
#
# ## Three problems, three remedies
#
# **DQN** (deep Q-network) is Q-learning with such a network. Its right answer for $Q(s, a)$ is the
# target of lesson 1, $r + \gamma \max_{a'} Q(s', a')$.
#
# **1. The target moves.** DQN *bootstraps*: its targets are computed by the network that learns
# from them, so each step changes the goal. Remedy: a **target network** $\hat Q$, a copy that
# computes the targets. It stays as it is for a while, and every `copy_every` steps the weights are
# copied again.
#
# **2. Steps come in order.** Neighbouring steps are alike, and a network that sees only these
# forgets the rest. Remedy: a **replay buffer** (`memory` in the code), which keeps the last
# transitions; each batch is a random sample of it. (Learning from transitions of an older policy is
# possible because Q-learning is *off-policy*.) Before the training it is filled with random play,
# so that the first batches are not all alike.

# %%
# one step: ended is 1.0 if it ended the game, 0.0 also where only the clock did
Transition = namedtuple("Transition", "state action reward next_state ended")
# many of them, each field a tensor with a row for each
Batch = namedtuple("Batch", "states actions rewards next_states ended")


def fill_memory(env, memory, n_transitions, max_steps, rng):
    """Play random games until n_transitions more are in the replay buffer."""
    while n_transitions > 0:
        state, _ = env.reset()
        for _ in range(max_steps):
            action = int(rng.integers(env.action_space.n))
            next_state, reward, terminated, truncated, _ = env.step(action)
            memory.append(Transition(state, action, reward, next_state, float(terminated)))
            state, n_transitions = next_state, n_transitions - 1
            if terminated or truncated or n_transitions == 0:
                break


def sample_batch(memory, batch_size, rng):
    """Draw transitions at random; return a Batch of tensors with batch_size rows."""
    rows = [memory[i] for i in rng.integers(len(memory), size=batch_size)]
    states, actions, rewards, next_states, ended = (
        np.array(field) for field in zip(*rows, strict=True)
    )
    return Batch(
        torch.as_tensor(states, dtype=torch.float32),
        torch.as_tensor(actions),
        torch.as_tensor(rewards, dtype=torch.float32),
        torch.as_tensor(next_states, dtype=torch.float32),
        torch.as_tensor(ended, dtype=torch.float32),
    )


# %%
rng = np.random.default_rng(0)
memory = deque(maxlen=100_000)  # a deque of full length drops its oldest entry by itself
fill_memory(env, memory, 200, 500, rng)
batch = sample_batch(memory, 64, rng)
print(f"{len(memory)} transitions; a batch: states {tuple(batch.states.shape)},", end=" ")
print(f"actions {tuple(batch.actions.shape)}, {int(batch.ended.sum())} of 64 ended a game")

# %% [markdown]
# **3. Some errors are huge.** Let $e$ be the error, predicted minus target. The squared error (MSE)
# is $e^2$ and pulls in proportion to the error, by $2e$ (its derivative): one surprising transition
# moves all weights far. The **Huber** loss is half of the squared error near zero, and a straight
# line beyond 1, so that its pull is $e$ near zero and never stronger than 1:
#
# $$L(e) = \begin{cases} \frac{1}{2} e^2 & |e| \le 1 \\ |e| - \frac{1}{2} & \text{else} \end{cases}$$
#
# The factor 1/2 itself matters little: it is the same as a learning rate of half the size, and
# Adam, which divides by the size of the gradients, hardly notices. What matters is the limit for
# large errors.

# %%
errors = torch.linspace(-4, 4, 161)
zeros = torch.zeros_like(errors)
figure = Figure(figsize=(6.4, 2.2), dpi=90, layout="constrained")
left, right = figure.subplots(1, 2)
for name, loss in (("MSE", nn.functional.mse_loss), ("Huber", nn.functional.smooth_l1_loss)):
    values = loss(errors, zeros, reduction="none")
    left.plot(errors, values, label=name)
    right.plot(errors, np.gradient(values.numpy(), errors.numpy()))
left.set(xlabel="error (predicted - target)", ylabel="loss", ylim=(0, 9))
right.set(xlabel="error (predicted - target)", ylabel="pull (derivative)")
left.legend()
show_picture(figure, OUT / "losses.png")

# %% [markdown]
# In the figure the loss of Huber is half of MSE's for $|e| \le 1$, and so is Huber's pull; from
# there on it stays at 1, while that of MSE grows.
#
# ## Rows and columns of a batch
#
# The target needs, for each row of a batch, its largest value, and the prediction the value in the
# column of the action that was taken. Made-up numbers, three rows of two values:

# %%
example = torch.as_tensor([[1.0, 5.0], [7.0, 2.0], [3.0, 4.0]])  # (3, 2)
print("largest of each row:  ", example.max(dim=1).values)  # (3,); `max` alone: of all six numbers
print("its column:           ", example.max(dim=1).indices)  # (3,)
columns = torch.as_tensor([0, 0, 1])  # (3,): which column we want of each row
print("as a column:          ", columns[:, None].tolist())  # (3,) -> (3, 1)
picked = example.gather(1, columns[:, None])  # (3, 1): along axis 1, that column
print("picked:               ", picked.tolist())
print("without the last axis:", picked.squeeze(1))  # (3, 1) -> (3,)
flags = torch.as_tensor([0.0, 0.0, 1.0])
print("0 where the flag is 1:", (1 - flags) * picked.squeeze(1))  # row by row, without an `if`

# %% [markdown]
# A difference of shapes is not always an error: (3,) minus (3, 1) gives (3, 3), every row with
# every other one. So make sure that prediction and target both have the shape (B,).
#
# **Without gradient.** PyTorch remembers how each number was computed, and `backward` follows that
# path back to all weights on it. What is computed inside `with torch.no_grad():` is not remembered:
# the result is a plain number for `backward`. Targets must be plain numbers; otherwise the network
# would learn to change the targets instead of the prediction.
#
# ## Exercise 2a: the update
#
# For each transition $(s, a, r, s')$ of the batch
#
# $$y = \begin{cases} r & \text{if the step ended the game} \\ r + \gamma \max_{a'} \hat Q(s', a') & \text{else} \end{cases}$$
#
# and one step of gradient descent on the loss between $Q(s, a)$ and $y$.
#
# `batch` has five fields with a row for each transition: `batch.states` and `batch.next_states` of
# shape (B, 4), `batch.actions`, `batch.rewards` and `batch.ended` of shape (B,). `batch.ended` is
# 1.0 if the step ended the game, else 0.0. A network is called like a function:
# `q_net(batch.states)` is (B, 2), a value for each action of each state; $\hat Q$ is `target_net`.
# `loss_function` is called with the predicted values and the targets, in this order, and returns
# the loss, already the mean over the batch. Use the loss function and the optimizer that are passed
# in, and leave the batch as it is.


# %%
def dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function):
    """Learn from one batch: change q_net by one optimizer step; return the loss, a float."""
    # 1. what the target network hopes for from each next state, (B,); without gradient
    # >>> best_next = ...
    with torch.no_grad():
        best_next = target_net(batch.next_states).max(dim=1).values
    # <<<
    # 2. the targets y, (B,)
    # >>> targets = ...
    targets = batch.rewards + gamma * (1 - batch.ended) * best_next
    # <<<
    # 3. what q_net says of the actions that were taken, (B,)
    # >>> predicted = ...
    predicted = q_net(batch.states).gather(1, batch.actions[:, None]).squeeze(1)
    # <<<
    # 4. the loss between them, its gradient, one step of the optimizer
    # >>> loss = ...
    loss = loss_function(predicted, targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    # <<<
    return loss.item()


# %%
check("dqn_update")

# %% [markdown]
# ## Exercise 2b: the training
#
# ```
# fill the replay buffer with random steps;  epsilon <- max_epsilon;  T <- 0
# repeat n_episodes times:
#     s <- a new game
#     until the game is over, or after max_steps:
#         a     <- random with probability epsilon, else the best by q_net
#         s', r <- do a;  store (s, a, r, s', ended);  s <- s'
#         every update_every steps (T):  sample a batch, update q_net
#         every copy_every steps (T):    target_net <- q_net
#         epsilon <- a bit less, not below min_epsilon;  T <- T + 1
#     print a line;  stop if the mean of the last games is high enough
# ```
#
# Epsilon falls in a straight line here, once a step: after $T$ steps it is
#
# $$\epsilon_T = \max(\epsilon_{min}, \epsilon_{max} - \text{decay} \cdot T)$$
#
# The steps that fill the replay buffer do not count. The score of a game in this loop is its
# undiscounted return, random actions included.
#
# **Every n steps.** `total_steps` is $T$. `total_steps % n` is the remainder of a division, so
# `total_steps % n == 0` is true at $T = 0$ and every $n$ steps from there on.
#
# **Two networks.** `net.state_dict()` is a dictionary of all weights of a network, and
# `net.load_state_dict(weights)` copies such weights into one. (`target_net = q_net` would copy
# nothing: it would be a second name for the same network.)
#
# **From a state to an action.** The environment returns a state as a NumPy array of four numbers,
# without a batch axis; `env.step` wants one whole number. The way between, with a made-up network:

# %%
made_up = np.array([0.5, -1.0, 2.0], dtype=np.float32)  # (3,)
print(tuple(torch.as_tensor(made_up).shape), "->", tuple(torch.as_tensor(made_up)[None].shape))
with torch.no_grad():  # nothing is learned when an action is chosen
    outputs = nn.Linear(3, 4)(torch.as_tensor(made_up)[None])  # (1, 4): a batch of one row
print("outputs", outputs)
print("the largest is in column", int(outputs.argmax()))  # argmax: a tensor; int(...): a number

one, other = nn.Linear(3, 4), nn.Linear(3, 4)  # two networks with different random weights
other.load_state_dict(one.state_dict())
print("the same weights now:", bool((one.weight == other.weight).all()))
print("the same network:    ", one is other)

# %% [markdown]
# **A blank** may become several lines. **What is given:** `fill_memory` and `sample_batch` from
# above; `Transition(state, action, reward, next_state, ended)`, where `ended` is
# `float(terminated)`: 1.0 if the rules ended the game, and 0.0 also where the time limit did.
# `memory.append(...)` stores one. `dqn_update` is your function from exercise 2a. `rng` is the
# random generator: `rng.random()` and `rng.integers(n)` as in lesson
# 1. The number of actions is `env.action_space.n`: take it from there, not from CartPole, for the
# check plays your function in environments of other sizes.

# %%
# epsilon: at the start of the game; total_steps: of the training so far; average: of the last games
Game = namedtuple("Game", "number steps total_steps epsilon seconds score average")


def print_game(game):
    """Print a line of the table of games."""
    if game.number == 0:
        print(f"{'game':>4} {'steps':>5} {'total':>6} {'epsilon':>7} {'seconds':>7}", end=" ")
        print(f"{'score':>6} {'average':>7}")
    print(f"{game.number:4} {game.steps:5} {game.total_steps:6} {game.epsilon:7.3f}", end=" ")
    print(f"{game.seconds:7.2f} {game.score:6.1f} {game.average:7.1f}")


def train_dqn(
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
    loss_function,
    window,
    stop_at,
    rng,
    report=lambda game: None,
):
    """Train q_net; return a list with a Game for each game."""
    memory = deque(maxlen=memory_size)
    # 1. fill the memory with `prefill` random transitions
    # >>> ...
    fill_memory(env, memory, prefill, max_steps, rng)
    # <<<
    # 2. epsilon at the start
    # >>> epsilon = ...
    epsilon = max_epsilon
    # <<<
    games, total_steps = [], 0
    for number in range(n_episodes):
        began, first_epsilon = time.perf_counter(), epsilon
        # 3. a new game
        # >>> state, _ = ...
        state, _ = env.reset()
        # <<<
        score, steps, done = 0.0, 0, False
        while not done and steps < max_steps:
            # 4. a random action with probability epsilon, else the best by q_net
            # >>> action = ...
            if rng.random() < epsilon:
                action = int(rng.integers(env.action_space.n))
            else:
                with torch.no_grad():
                    action = int(q_net(torch.as_tensor(state)[None]).argmax())
            # <<<
            # 5. do it, and remember it
            # >>> next_state, reward, terminated, truncated, _ = ...
            # >>> memory.append(...)
            next_state, reward, terminated, truncated, _ = env.step(action)
            memory.append(Transition(state, action, reward, next_state, float(terminated)))
            # <<<
            state, done = next_state, terminated or truncated
            # 6. every `update_every` steps: draw a batch, call dqn_update
            # >>> ...
            if total_steps % update_every == 0:
                batch = sample_batch(memory, batch_size, rng)
                dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function)
            # <<<
            # 7. every `copy_every` steps: copy the weights of q_net to target_net
            # >>> ...
            if total_steps % copy_every == 0:
                target_net.load_state_dict(q_net.state_dict())
            # <<<
            # 8. a bit less exploring: the step is done, but not yet counted in total_steps
            # >>> epsilon = ...
            epsilon = max(min_epsilon, epsilon - epsilon_decay)
            # <<<
            score, steps, total_steps = score + reward, steps + 1, total_steps + 1
        seconds = time.perf_counter() - began
        average = float(np.mean([*(game.score for game in games), score][-window:]))
        games.append(Game(number, steps, total_steps, first_epsilon, seconds, score, average))
        report(games[-1])
        if stop_at is not None and len(games) >= window and average >= stop_at:
            break
    return games


# %%
check("dqn_training")

# %% [markdown]
# ## Training
#
# It stops as soon as the mean score of the last 20 games reaches 400 of 500 (undiscounted, with
# random actions). Early lines stay near 20 steps: almost every action is random. Then look at how
# the average climbs, and how it may fall again: a network that has learned something can unlearn
# it.


# %%
def train(loss_function, *, seed, report):
    """Train a new network on CartPole; return it and its games."""
    torch.manual_seed(seed)
    sizes = env.observation_space.shape[0], (64, 32), env.action_space.n
    q_net, target_net = build_network(*sizes), build_network(*sizes)
    target_net.load_state_dict(q_net.state_dict())
    env.reset(seed=seed)
    games = train_dqn(
        env,
        q_net,
        target_net,
        torch.optim.Adam(q_net.parameters(), lr=0.001),
        n_episodes=40 if SMOKE else 500,
        max_steps=500,
        memory_size=100_000,  # transitions
        prefill=1000,  # transitions
        batch_size=64,
        update_every=2,  # steps
        copy_every=200,  # steps
        max_epsilon=1.0,
        min_epsilon=0.02,
        epsilon_decay=0.0002,  # per step: 4,900 steps from 1 to 0.02
        gamma=0.99,
        loss_function=loss_function,
        window=20,
        stop_at=400,
        rng=np.random.default_rng(seed),
        report=report,
    )
    return q_net, games


began = time.perf_counter()
every = 10 if SMOKE else 20
q_net, games = train(
    nn.functional.smooth_l1_loss,
    seed=0,
    report=lambda game: print_game(game) if game.number % every == 0 else None,
)
print(f"{len(games)} games, {games[-1].total_steps} steps, {time.perf_counter() - began:.0f} s")

# %%
figure = Figure(figsize=(6.4, 2.6), dpi=90, layout="constrained")
axes = figure.subplots()
axes.plot([game.score for game in games], color="0.75", label="one game")
axes.plot([game.average for game in games], label="mean of the last 20 games")
axes.set(xlabel="game", ylabel="score (steps)")
exploring = axes.twinx()
exploring.plot([game.epsilon for game in games], ":", color="tab:red", label="epsilon")
exploring.set(ylabel="epsilon", ylim=(0, 1.02))
figure.legend(loc="outside upper center", ncols=3, fontsize=9)
show_picture(figure, OUT / "training.png")

# %% [markdown]
# ### Huber against MSE
#
# The same training, the same seed, the squared error. One seed proves nothing: try others.

# %%
_, mse_games = train(nn.functional.mse_loss, seed=0, report=lambda game: None)
figure = Figure(figsize=(6.4, 2.4), dpi=90, layout="constrained")
axes = figure.subplots()
for name, played in (("Huber", games), ("MSE", mse_games)):
    axes.plot([g.total_steps for g in played], [g.average for g in played], label=name)
axes.set(xlabel="steps of the training", ylabel="mean score of 20 games")
axes.legend()
show_picture(figure, OUT / "huber_and_mse.png")

# %% [markdown]
# ## How good is it?
#
# 100 games without any random action. The score is undiscounted as always; CartPole-v0, the older
# version, counted as solved at a mean of 195.


# %%
class Player:
    """Plays the best action of a network; `predict` is what SB3's models have."""

    def __init__(self, network):
        self.network = network

    def predict(self, observation, *, deterministic=True):
        with torch.no_grad():
            values = self.network(torch.as_tensor(np.asarray(observation), dtype=torch.float32))
        return values.argmax(dim=-1).numpy(), None


report = evaluate_games(
    Player(q_net), "CartPole-v1", n_games=10 if SMOKE else 100, seed=1000, epsilon=0.0
)
print(report.summary())
assert SMOKE or report.mean >= 195

# %% [markdown]
# ## Watch it

# %%
video = record_game(Player(q_net), env, seed=1, max_steps=250)
write_video(OUT / "cartpole.mp4", video.frames[:: 1 if SMOKE else 2], fps=25, scale=1)
print(f"{video.n_steps} steps of one game")
show_video(OUT / "cartpole.mp4")

# %% [markdown]
# ## The same with Stable-Baselines3
#
# `hyperparams/dqn.yml` has an entry for CartPole, which RL Zoo reads. What differs from your loop:
# - **blocks**: it plays 256 steps, then learns 256 times (`train_freq`, `gradient_steps`);
# - **learning rate**: it falls in a straight line to 0, so that what was learned stays;
# - **gradients** longer than 10 are shortened (`max_grad_norm`);
# - **epsilon** falls over the first 16 % of the training;
# - the network is larger, 256 and 256 units;
# - every 5,000 steps 20 games are played to evaluate it, and the best network so far is kept:
#   what counts in the end is not the last one.

# %%
N_STEPS = 2000 if SMOKE else 50_000
run_command(
    *("train", "--algo", "dqn", "--env", "CartPole-v1", "-n", N_STEPS, "--seed", 0),
    *("--eval-freq", 1000 if SMOKE else 5000, "--eval-episodes", 5 if SMOKE else 20),
    *("-f", OUT / "logs", "--num-threads", 1),
)
run = find_run("dqn", "CartPole-v1", OUT / "logs", load_best=True)
sb3_report = evaluate_games(
    run.load_model(), "CartPole-v1", n_games=10 if SMOKE else 100, seed=1000, epsilon=0.0
)
print(sb3_report.summary())
assert SMOKE or sb3_report.mean >= 490

# %% [markdown]
# ## Two improvements of DQN
#
# You will meet both again:
#
# - **Double DQN.** The maximum of uncertain estimates is too large on average: of several actions
#   that are worth the same, the one with the luckiest error is taken. DQN therefore
#   **overestimates** its Q-values, and bootstrapping hands the error on. Double DQN lets `q_net`
#   choose the next action $a^* = \arg\max_{a'} Q(s', a')$ and the target network say what it is
#   worth: the target is $r + \gamma \, \hat Q(s', a^*)$. An action that is overrated by one network
#   is less often overrated by the other as well. (`double_q=True` of this package's `FastDQN`.)
# - **n-step return.** The target may contain several real rewards before the estimate, with two
#   $r_1 + \gamma r_2 + \gamma^2 \max_{a'} \hat Q(s_2, a')$, so news spreads faster (lesson 3).
#
# ## Questions
#
# **1.** A batch of three transitions, $\gamma = 0.9$: rewards (1, 1, 1), the target network's
# values of the next states (2, 10), (5, 3), (8, 8), `ended` (0, 0, 1). What are the targets?
#
# <details><summary>Answer</summary>
#
# $1 + 0.9 \cdot 10 = 10$, $1 + 0.9 \cdot 5 = 5.5$, and 1: the third step ended the game.
#
# </details>
#
# **2.** What would be different if the targets were computed without `torch.no_grad()`?
#
# <details><summary>Answer</summary>
#
# In `dqn_update` as it is: `backward` would also compute gradients for the target network, which
# costs time, but the optimizer changes the weights of `q_net` only. If `q_net` itself computed the
# targets, the error would be made smaller from both sides: the network would move the targets
# towards its predictions. The values would agree with each other, but less with the rewards.
#
# </details>
#
# **3.** The last 1,000 transitions are the most recent experience. Why not learn from these, in
# their order?
#
# <details><summary>Answer</summary>
#
# Neighbouring transitions are alike, so a batch of them has little information, and its gradient
# pulls in one direction. What was learned about other situations is overwritten in the meantime.
# Random samples of a large replay buffer contain falling and standing poles, early and late play.
# It works only because Q-learning is off-policy: those transitions come from older policies.
#
# </details>
#
# **4.** The four Q-values of a state are all 0 in truth; a network estimates them with errors of +1
# or -1, each with probability 1/2. What is the mean of the largest estimate?
#
# <details><summary>Answer</summary>
#
# It is -1 only if all four errors are -1, with probability 1/16, and 1 otherwise:
# $15/16 - 1/16 = 0.875$ instead of 0. Each single estimate is right on average, their maximum is not: that is
# overestimation. With Double DQN and independent errors the second network's value of the chosen
# action is 0 on average.
#
# </details>
#
# **5.** With $\gamma = 0.99$, how large is the largest Q-value that CartPole allows, and why does
# the network's Q-value not say how many steps the pole will stand?
#
# <details><summary>Answer</summary>
#
# Each step has the reward 1, and the time limit does not end what is learned about (`ended` is 0
# there), so at most $1 + 0.99 + 0.99^2 + \dots = 1 / (1 - 0.99) = 100$. A Q-value is a discounted
# return; the score is an undiscounted one. 500 steps and 5,000 steps both have Q-values close to
# 100. A network whose Q-values are clearly above 100 overestimates.
#
# </details>
#
# ## Further reading
#
# - V. Mnih et al., "Human-level control through deep reinforcement learning", *Nature* 518, 2015:
#   DQN. Algorithm 1 is your training loop; the section on methods explains replay and target
#   network.
# - H. van Hasselt, A. Guez and D. Silver, "Deep Reinforcement Learning with Double Q-learning",
#   2016, <https://arxiv.org/abs/1509.06461>: overestimation shown on a simple function, then on
#   Atari.
# - R. S. Sutton and A. G. Barto, *Reinforcement Learning: An Introduction*, 2nd edition, 2018,
#   <http://incompleteideas.net/book/the-book-2nd.html>, sections 11.3 and 16.5: why function
#   approximation, bootstrapping and off-policy learning together may diverge, and how DQN lives
#   with it.
# - Stable-Baselines3, "DQN", <https://stable-baselines3.readthedocs.io/en/master/modules/dqn.html>:
#   every argument of the DQN that you have just trained.
#
# ## Try it yourself
#
# 1. `copy_every=1`: the target network is always the same as the other. What does the curve do?
# 2. `prefill=64, memory_size=64`: only the newest steps are learned from. Why does it fail?
# 3. Store `float(terminated or truncated)` instead of `float(terminated)`. CartPole's time limit
#    stops good games after 500 steps: what does the network learn about standing for long?
# 4. Five seeds, Huber and MSE: which difference is larger, that between losses or between seeds?
