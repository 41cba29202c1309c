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
# - why a table is not enough, and what takes its place;
# - what makes a network learn Q-values at all: a memory, a second network, a careful loss;
# - DQN from scratch in PyTorch (**exercise 2**), and how to see whether it works;
# - what Stable-Baselines3's DQN does differently.
#
# **Time** on 2 cores: about five minutes. **Expected result:** your network balances the pole for at
# least 195 of 500 steps, averaged over 100 games; SB3's DQN for all 500.

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
# ## The world
#
# A pole stands on a cart. Each step pushes the cart left (0) or right (1). The game is over when the
# pole leans more than 12 degrees or the cart leaves the track (2.4 units); the clock stops it after
# 500 steps. Every step pays 1, so the score is how long the pole stood.

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
# Four real numbers: no table has a row for each. A **network** takes them and answers with one
# Q-value for each action. It generalises: what it learns in one state changes its answer in similar
# ones. That is its strength, and the source of all trouble below.

# %%
N_INPUTS, N_ACTIONS = 4, int(env.action_space.n)


def build_network(n_inputs, hidden, n_actions):
    """Return a network: (batch, n_inputs) float32 -> (batch, n_actions) Q-values."""
    layers, width = [], n_inputs
    for units in hidden:
        layers += [nn.Linear(width, units), nn.ReLU()]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, n_actions))


torch.manual_seed(0)
layers = list_layers(build_network(N_INPUTS, (64, 32), N_ACTIONS), (N_INPUTS,))
print(layer_table(layers))
show_picture(draw_network(layers), OUT / "network.png")

# %% [markdown]
# A layer of $n$ inputs and $m$ units has $n \cdot m$ weights and $m$ biases: $4 \cdot 64 + 64 = 320$
# for the first one. The output layer has no activation: Q-values may be of any size and sign.
#
# ## Three problems, three remedies
#
# **1. The target moves.** The network learns towards $r + \gamma \max_{a'} Q(s', a')$, which it
# computes itself: each step changes the goal. Remedy: a **target network** $\hat Q$, a copy that
# stays as it is for a while and is renewed every `copy_every` steps.
#
# **2. Steps come in order.** Neighbouring steps are alike, and a network that sees only these
# forgets the rest. Remedy: **experience replay**, a memory of the last transitions from which each
# batch is drawn at random. Before the training it is filled with random play, so that the first
# batches are not all alike.

# %%
# one step: ended is 1.0 if it ended the game, 0.0 also where only the clock did
Transition = namedtuple("Transition", "state action reward next_state ended")
# many of them, each field a tensor with a row for each
Batch = namedtuple("Batch", "states actions rewards next_states ended")


def fill_memory(env, memory, n_transitions, max_steps, rng):
    """Play random games until the memory has got n_transitions more."""
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
# **3. Some errors are huge.** The squared error (MSE) pulls in proportion to the error: one
# surprising transition tears at all weights. The **Huber** loss is the same near zero and a straight
# line beyond 1, so that its pull is never stronger than 1:
#
# $$L(e) = \begin{cases} e^2 / 2 & |e| \le 1 \\ |e| - 1/2 & \text{else} \end{cases}$$

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
# ## Exercise 2a: the update
#
# For each transition $(s, a, r, s')$ of the batch
#
# $$y = \begin{cases} r & \text{if the step ended the game} \\ r + \gamma \max_{a'} \hat Q(s', a') & \text{else} \end{cases}$$
#
# and one step of gradient descent on the loss between $Q(s, a)$ and $y$. The targets $y$ are plain
# numbers: no gradient runs into the target network.
#
# All of a batch goes through the network at once; (B, 2) below means B rows, one for each
# transition, of two values. What you need of PyTorch:
#
# ```python
# values = q_net(batch.states)                   # (B, 2): a Q-value for each action
# values.max(dim=1).values                       # (B,): the largest of each row
# values.gather(1, batch.actions[:, None])       # (B, 1): in each row, the column of its action
# column.squeeze(1)                              # (B, 1) -> (B,)
# with torch.no_grad(): ...                      # plain numbers: no gradient is kept
#
# optimizer.zero_grad()                          # forget the last gradient
# loss.backward()                                # compute this one
# optimizer.step()                               # change the weights by it
# ```


# %%
def dqn_update(q_net, target_net, optimizer, batch, gamma, loss_function):
    """Learn from one batch: change q_net by one optimiser step; return the loss, a float."""
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
    # 4. the loss between them, its gradient, one step of the optimiser
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
# fill the memory with random steps;  epsilon <- max_epsilon;  T <- 0
# repeat n_episodes times:
#     s <- a new game
#     until the game is over, or after max_steps:
#         a     <- random with probability epsilon, else the best by q_net
#         s', r <- do a;  remember (s, a, r, s', ended);  s <- s'
#         every update_every steps (T):  draw a batch, update q_net
#         every copy_every steps (T):    target_net <- q_net
#         epsilon <- a bit less, not below min_epsilon;  T <- T + 1
#     print a line;  stop if the mean of the last games is high enough
# ```
#
# Epsilon falls in a straight line here, once a step: after $T$ steps it is
# $\epsilon_T = \max(\epsilon_{min}, \epsilon_{max} - \text{decay} \cdot T)$. The steps that fill the
# memory do not count.

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
            # 8. a bit less exploring
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
# It stops as soon as the mean of the last 20 games reaches 400 of 500 steps. Early lines stay near
# 20 steps: almost every action is random. Then look at how the average climbs, and how it may fall
# again: a network that has learned something can unlearn it.


# %%
def train(loss_function, *, seed, report):
    """Train a new network on CartPole; return it and its games."""
    torch.manual_seed(seed)
    q_net, target_net = (build_network(N_INPUTS, (64, 32), N_ACTIONS) for _ in range(2))
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
# 100 games without any random action. The bar of the older CartPole-v0 was a mean of 195.


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
film = record_game(Player(q_net), env, seed=1, max_steps=250)
write_video(OUT / "cartpole.mp4", film.frames[:: 1 if SMOKE else 2], fps=25, scale=1)
print(f"{film.n_steps} steps of one game")
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
# ## Try it yourself
#
# 1. `copy_every=1`: the target network is always the same as the other. What does the curve do?
# 2. `prefill=64, memory_size=64`: only the newest steps are learned from. Why does it fail?
# 3. Swap `terminated` and `terminated or truncated` in the memory. CartPole's clock stops good
#    games after 500 steps: what does the network learn about standing for long?
# 4. Five seeds, Huber and MSE: which difference is larger, that between losses or between seeds?
