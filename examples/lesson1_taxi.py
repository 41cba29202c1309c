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
# # Lesson 1: Taxi, a table
#
# **You will learn**
# - what states, actions and rewards are, in a world small enough to be written down;
# - Q-learning, from an empty table to a driver, in thirty lines (**exercise 1**);
# - how to measure an agent honestly, and what the best possible score is;
# - the same with `QLearning`, an algorithm of Stable-Baselines3's kind.
#
# **Time** on 2 cores: about half a minute. **Expected result:** your table earns more than 7 a game,
# `QLearning` the optimum, 7.930.

# %%
import importlib.util
import subprocess
import sys

SOURCE = ""  # for pip: "sb3_atari_course[course] @ git+https://ADDRESS", or "FILE.whl[course]"
if importlib.util.find_spec("sb3_atari_course") is None:  # a hosted notebook
    assert SOURCE, "sb3_atari_course is not installed: set SOURCE above, ask your teacher for it"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", SOURCE], check=True)

from sb3_atari_course.course import begin

SMOKE, OUT = begin("lesson1")  # python lesson1_taxi.py --smoke: every point, in seconds

# %%
from collections import namedtuple

import gymnasium as gym
import numpy as np
from stable_baselines3.common.env_util import make_vec_env

from sb3_atari_course import QLearning, evaluate_games
from sb3_atari_course.course import check, show_picture
from sb3_atari_course.course.toy_text import (
    EpisodeStep,
    evaluate_exactly,
    play_episode,
    replay_episode,
)
from sb3_atari_course.report import plot_episodes

# %% [markdown]
# ## The world
#
# A taxi drives on a grid of 5 x 5 places. Four of them have a letter: R, G, Y and B. A passenger
# waits at one of them and wants to go to another. Walls (`|`) cannot be crossed. In the text below
# the taxi is the coloured place, the passenger's letter is blue, the destination purple; with the
# passenger inside the taxi turns green.

# %%
env = gym.make("Taxi-v4", render_mode="ansi")  # "ansi": it draws itself as text
state, info = env.reset(seed=0)
print(env.render())
print(f"state {state}")

# %% [markdown]
# **States.** The taxi is in one of 25 places, the passenger at one of 4 letters or inside (5), the
# destination is one of 4 letters: 25 x 5 x 4 = 500 states, numbered from 0. A game begins in one of
# 300 of them: passenger outside, destination elsewhere.
#
# **Actions.** 0 south, 1 north, 2 east, 3 west, 4 pick up, 5 put down.
#
# **Rewards.** Every step costs 1, also one into a wall; picking up where nobody waits costs 10, and
# so does putting down with nobody inside or away from the four letters (at a wrong letter the
# passenger just gets out, for 1). Bringing the passenger home pays 20 and ends the game. After 200
# steps the clock ends it.

# %%
n_states, n_actions = int(env.observation_space.n), int(env.action_space.n)
row, column, passenger, destination = env.unwrapped.decode(state)
print(f"{n_states} states, {n_actions} actions, {env.spec.max_episode_steps} steps at most")
print(f"state {state}: row {row}, column {column}, passenger at {'RGYB'[passenger]},", end=" ")
print(f"to {'RGYB'[destination]}")
assert (n_states, n_actions) == (500, 6)

# %% [markdown]
# ## Q-learning
#
# $Q(s, a)$ is what one may still hope to earn after doing $a$ in state $s$, if all goes well from
# there on. With 500 states and 6 actions it is a table. It begins with zeros, and each step that
# the agent makes, from $s$ by $a$ to $s'$, paid $r$, moves one cell a bit towards a better estimate:
#
# $$Q(s, a) \leftarrow Q(s, a) + \alpha \, \bigl(\underbrace{r + \gamma \max_{a'} Q(s', a')}_{\text{target}} - Q(s, a)\bigr)$$
#
# - $\alpha$, the learning rate: how far to move. 1 forgets the old value, 0 learns nothing.
# - $\gamma$, the discount: what tomorrow's reward is worth today.
# - If the step **ended** the game there is no $s'$ to hope for: the target is $r$ alone. A game that
#   only the clock cut off (`truncated`) has a future all the same.
#
# **Exploring.** With probability $\epsilon$ the action is random, otherwise the best of the row.
# $\epsilon$ begins at $\epsilon_{max}$ and falls after each episode; with $n$ episodes over:
#
# $$\epsilon_n = \epsilon_{min} + (\epsilon_{max} - \epsilon_{min}) \, e^{-\text{decay} \cdot n}$$

# %% [markdown]
# ## Exercise 1
#
# ```
# Q <- zeros;  epsilon <- max_epsilon
# repeat n_episodes times:
#     s <- a new game
#     until the game is over, or after max_steps:
#         a  <- random with probability epsilon, else the best of row s
#         s', r <- do a
#         Q[s, a] <- Q[s, a] + alpha * (target - Q[s, a])
#         s  <- s'
#     reduce epsilon
# ```
#
# `rng` is NumPy's generator: `rng.random()` is a number from 0 to 1, `rng.integers(6)` one of 0..5.

# %%
Episode = namedtuple("Episode", "epsilon steps")  # epsilon with which it was played; its steps


def q_learning(
    env, *, n_episodes, max_steps, max_epsilon, min_epsilon, epsilon_decay, alpha, gamma, rng
):
    """Return the learned table (n_states, n_actions), and the history, an Episode for each."""
    history = []
    # 1. the table: as many rows as states, as many columns as actions, all zero
    # >>> table = ...
    table = np.zeros((env.observation_space.n, env.action_space.n))
    # <<<
    # 2. epsilon at the start
    # >>> epsilon = ...
    epsilon = max_epsilon
    # <<<
    for episode in range(n_episodes):
        # 3. a new game: reset returns (state, info)
        # >>> state, _ = ...
        state, _ = env.reset()
        # <<<
        steps, total_reward, done = [], 0.0, False
        while not done and len(steps) < max_steps:
            # 4. a random action with probability epsilon, else the best known one
            # >>> action = ...
            if rng.random() < epsilon:
                action = int(rng.integers(env.action_space.n))
            else:
                action = int(np.argmax(table[state]))
            # <<<
            # 5. do it: step returns (next_state, reward, terminated, truncated, info)
            # >>> next_state, reward, terminated, truncated, _ = ...
            next_state, reward, terminated, truncated, _ = env.step(action)
            # <<<
            # 6. move the cell towards the target
            # >>> target = ...
            # >>> table[state, action] = ...
            target = reward if terminated else reward + gamma * np.max(table[next_state])
            table[state, action] += alpha * (target - table[state, action])
            # <<<
            total_reward += reward
            steps.append(
                EpisodeStep(env.render(), len(steps), next_state, action, reward, total_reward)
            )
            state, done = next_state, terminated or truncated
        history.append(Episode(epsilon, steps))
        # 7. less exploring from here on
        # >>> epsilon = ...
        n_over = episode + 1
        epsilon = min_epsilon + (max_epsilon - min_epsilon) * np.exp(-epsilon_decay * n_over)
        # <<<
    return table, history


# %% [markdown]
# Is it right? The check plays your function in small worlds and names the first thing that does
# not hold. It runs only your functions, so nothing above or below is trained.

# %%
check("q_learning")

# %% [markdown]
# ## Learning

# %%
table, history = q_learning(
    env,
    n_episodes=400 if SMOKE else 2000,
    max_steps=200,
    max_epsilon=1.0,
    min_epsilon=0.001,
    epsilon_decay=0.01,
    alpha=0.5,
    gamma=0.99,
    rng=np.random.default_rng(0),
)
lengths = [len(episode.steps) for episode in history]
returns = [episode.steps[-1].total_reward for episode in history]
print(f"first game: {lengths[0]} steps, {returns[0]:g} earned")
print(f"last game:  {lengths[-1]} steps, {returns[-1]:g} earned")

# %% [markdown]
# Steps fall and earnings rise together: the shorter the way, the less it costs. The thin lines are
# single games, the thick ones means of 50.

# %%
show_picture(plot_episodes(lengths, returns, window=50), OUT / "learning_curve.png")

# %% [markdown]
# The first game, 25 steps of it: the taxi runs into walls and tries to pick up where nobody is.

# %%
DELAY = 0.0 if SMOKE else 0.1  # seconds a step
replay_episode(history[0].steps, episode=0, max_steps=25, delay=DELAY)

# %% [markdown]
# The last one: to the passenger, to the destination.

# %%
replay_episode(history[-1].steps, episode=len(history) - 1, max_steps=25, delay=DELAY)

# %% [markdown]
# ## How good is it?
#
# Three numbers, over 1,000 games without any random action:
# - steps of a game: fewer are better;
# - earnings of a game: more are better;
# - penalties of a game: steps that paid -10.


# %%
class Greedy:
    """Plays the best action of a table; `predict` is what SB3's models have."""

    def __init__(self, table):
        self.table = table

    def predict(self, observation, *, deterministic=True):
        return self.table[np.asarray(observation)].argmax(axis=-1), None


report = evaluate_games(
    Greedy(table), "Taxi-v4", n_games=50 if SMOKE else 1000, seed=0, epsilon=0.0, penalty=-10
)
print(report.summary())

# %% [markdown]
# ### What is the best possible score?
#
# Nobody has to guess. Taxi publishes its rules: `P[state][action]` lists what may follow. Value
# iteration repeats the Bellman equation over all cells until nothing changes,
#
# $$V(s) \leftarrow \max_a \bigl(r(s, a) + V(s')\bigr),$$
#
# and the mean of $V$ over the 300 starts is the best score that any driver can reach on average.

# %%
rules = env.unwrapped.P
starts = env.unwrapped.initial_state_distrib  # probability of each state to be the first
values = np.zeros(n_states)
for _ in range(50):  # no way is longer
    values = np.array(
        [
            max(
                sum(p * (r + (not end) * values[s2]) for p, s2, r, end in rules[s][a])
                for a in range(n_actions)
            )
            for s in range(n_states)
        ]
    )
optimum = float(starts @ values)
print(f"the optimum: {optimum:.3f} a game, over {np.count_nonzero(starts)} starts")
assert f"{optimum:.2f}" == "7.93"

# %% [markdown]
# `evaluate_exactly` does the same sum for a given policy: what your table earns in infinitely many
# games, without playing one. (Gymnasium's threshold for "solved" is 8 over 100 games: more than
# perfect driving earns on average.)

# %%
print("yours:", evaluate_exactly(Greedy(table), "Taxi-v4", penalty=-10))

# %% [markdown]
# ## One game, watched

# %%
game = play_episode(Greedy(table), env, seed=3, max_steps=200)
replay_episode(game, max_steps=25, delay=DELAY)

# %% [markdown]
# ## The same with `QLearning`
#
# An algorithm with everything that Stable-Baselines3's have: several environments, callbacks,
# `save` and `load`, RL Zoo. Two settings differ, and make it optimal: nothing in Taxi is random, so
# a cell may take over its target as a whole ($\alpha = 1$); and seven of ten actions stay random,
# so that every state is visited often enough. What is learned is still the best policy, because
# the target looks at the best next action, not at the one that was taken.

# %%
taxis = make_vec_env("Taxi-v4", n_envs=8, seed=0)  # eight taxis, one table
model = QLearning("QTablePolicy", taxis, learning_rate=1.0, exploration=0.7, gamma=0.99, seed=0)
model.learn(160_000)  # steps; two seconds
exact = evaluate_exactly(model, "Taxi-v4", penalty=-10)
print("QLearning:", exact)
assert f"{exact.mean_return:.2f}" == "7.93"

# %% [markdown]
# From the command line, with RL Zoo's files and our `hyperparams/q_learning.yml`:
#
# ```
# python -m sb3_atari_course train --algo q_learning --env Taxi-v4
# python -m sb3_atari_course evaluate --algo q_learning --env Taxi-v4 -n 1000 --penalty -10
# ```
#
# ## Try it yourself
#
# 1. `alpha=1.0` in your own function: does it learn faster? Would it in a world with dice
#    (`FrozenLake-v1`)?
# 2. `gamma=0.5`: which starts does the taxi no longer solve, and why?
# 3. `max_epsilon=0.0`: the table begins with zeros and every step costs something. Why does the
#    taxi explore all the same?
# 4. How many of the 500 rows are still zero after your training? Which states are they?
