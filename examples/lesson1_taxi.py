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
# # Lesson 1: Taxi, a Q-table
#
# **You will learn**
# - the terms of reinforcement learning, in an environment small enough to be written down;
# - Q-learning, from a table of zeros to a good driver, in thirty lines (**exercise 1**);
# - how to measure an agent honestly, and what the best possible score is;
# - the same with `QLearning`, an algorithm with the interface of Stable-Baselines3 (SB3), the
#   library whose agents the later lessons train;
# - Monte Carlo and SARSA, two other rules to learn the same table.
#
# **Time** on 2 cores: about a minute to run, an hour and a half to read and solve.
# **Expected result:** your table reaches a mean return of more than 7 a game, `QLearning` the
# optimum, 7.930 (both undiscounted, without random actions). No knowledge of reinforcement learning
# is needed; of Python: functions, loops, indexing. Cells that import or draw something need not be
# understood, skim them.

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
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
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
# ## Agent and environment
#
# In **reinforcement learning** nothing shows the right answer. An **agent** (here the driver of a
# taxi) acts in an **environment** (the town), receives a number after each action, and learns which
# actions lead to large numbers. The terms that the whole course uses:
#
# - **State** $s$: the situation, as far as it matters for what comes next.
# - **Action** $a$: one of the things that the agent can do.
# - **Reward** $r$: the number that the environment returns after an action. Good is large, bad is
#   small or negative.
# - **Episode**: the steps from the start (a *reset*) to the end; here one game. It is
#   **terminated** if the rules end it (the passenger has arrived) and **truncated** if a time limit
#   cuts it off.
# - **Return**: the sum of the rewards, of a whole episode or from one step on. With a **discount**
#   $\gamma$ from 0 to 1 it is $r_1 + \gamma r_2 + \gamma^2 r_3 + \dots$: later rewards count less.
#   Agents learn with a discount. A *score* is the return of a game without it ("undiscounted"); it
#   is said where that is different.
# - **Policy**: the rule by which the agent chooses an action in each state.
# - **Value** of a state: the return that a policy reaches on average from there on.
# - **Markov decision process** (MDP): states, actions and rules by which the next state and the
#   reward depend on the present state and action alone, not on how one got there. Taxi is one, and
#   all that follows assumes one.
#
# The glossary in the documentation of the course lists these and all later terms.
#
# ## Taxi
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
# **States.** The row and the column of the taxi are numbers from 0 to 4, counted from the upper
# left. The passenger has one of 5 codes: 0 to 3 is waiting at R, G, Y, B, and 4 is inside the taxi.
# The destination is one of the codes 0 to 3. Together 5 x 5 x 5 x 4 = 500 states, and the number of
# a state is made of the four like this:
#
# $$\text{state} = ((\text{row} \cdot 5 + \text{column}) \cdot 5 + \text{passenger}) \cdot 4 + \text{destination}$$
#
# A game starts in one of 300 of them: 25 places, 4 letters for the passenger, 3 other letters for
# the destination.
#
# **Actions.** 0 south, 1 north, 2 east, 3 west, 4 pick up, 5 put down.
#
# **Rewards.** -1 for every step, also for one into a wall. -10 instead for a pick-up where no
# passenger waits, and for a put-down with no passenger inside or away from the four letters (at a
# wrong letter the passenger just gets out, for -1). +20 for putting the passenger down at the
# destination, which terminates the episode. After 200 steps it is truncated.

# %%
row, column, passenger, destination = env.unwrapped.decode(state)
print(f"{env.observation_space.n} states, {env.action_space.n} actions,", end=" ")
print(f"{env.spec.max_episode_steps} steps at most")
print(f"state {state}: row {row}, column {column}, passenger at {'RGYB'[passenger]},", end=" ")
print(f"to {'RGYB'[destination]}")
assert state == ((row * 5 + column) * 5 + passenger) * 4 + destination

# %% [markdown]
# ## Q-learning
#
# The **Q-value** $Q(s, a)$ is an estimate of the discounted return after doing $a$ in state $s$, if
# the best actions follow. With 500 states and 6 actions they fit into a **Q-table**: a row for each
# state, a column for each action. A good table is a good policy: in each state, take the action
# with the largest value of the row, the **greedy action**.
#
# The table starts with zeros. Each step of the agent, from $s$ by action $a$ to $s'$ with the
# reward $r$, moves one cell of it towards a better estimate, the **target**:
#
# $$Q(s, a) \leftarrow Q(s, a) + \alpha \, \bigl(\underbrace{r + \gamma \max_{a'} Q(s', a')}_{\text{target}} - Q(s, a)\bigr)$$
#
# - $\alpha$ (alpha) is the **learning rate**: how far to move. 1 replaces the old value by the
#   target, 0 learns nothing.
# - $\gamma$ (gamma) is the discount.
# - $\max_{a'} Q(s', a')$ is the largest value in the row of the next state.
# - If the step **terminated** the episode, nothing follows: the target is $r$ alone. A truncated
#   episode was only cut off, and its last step has a next state like any other.
#
# **An example by hand.** $Q(s, a) = 2$, $\alpha = 0.5$, $\gamma = 0.9$. The step has the reward -1,
# and the row of $s'$ is $(0, 4, 1)$. The target is $-1 + 0.9 \cdot 4 = 2.6$, and the cell becomes
# $2 + 0.5 \cdot (2.6 - 2) = 2.3$. Had the step terminated the episode: target -1, and the cell
# becomes $2 + 0.5 \cdot (-1 - 2) = 0.5$.
#
# The difference in the brackets, target minus old value, is the **temporal difference** (TD)
# error: the estimates before and after one step, compared. The target contains an estimate of the table
# itself; learning an estimate from another estimate is called **bootstrapping**. So news spreads
# backwards: first the step before the goal gets a good value, then the one before that.
#
# **Exploration and exploitation.** An agent that always takes the greedy action (it *exploits* what
# it has learned) never finds out whether another is better; one that only *explores* never uses
# what it has learned. **Epsilon-greedy** does both: with probability $\epsilon$ (epsilon) a random
# action, otherwise the greedy one. $\epsilon$ starts at $\epsilon_{max}$ and falls after each
# episode; when $n$ episodes are over it is
#
# $$\epsilon_n = \epsilon_{min} + (\epsilon_{max} - \epsilon_{min}) \, e^{-\text{epsilon\_decay} \cdot n}$$
#
# The agent may do a random action next, but the target counts the *best* one all the same. Learning about one policy (the greedy one) while following another (epsilon-greedy) is called
# **off-policy**.

# %% [markdown]
# ## Exercise 1
#
# ```
# Q <- zeros;  epsilon <- max_epsilon
# repeat n_episodes times:
#     s <- the first state of a new game
#     until the game is over, or after max_steps:
#         a  <- random with probability epsilon, else the best of row s
#         s', r <- do a
#         target <- as above, also for a step that terminated the game
#         Q[s, a] <- Q[s, a] + alpha * (target - Q[s, a])
#         s  <- s'
#     reduce epsilon
# ```
#
# The loops are there; replace each `...` below a numbered comment. One blank may need several
# lines, for example an `if` and an `else`. What you need of the environment:
#
# ```python
# env.observation_space.n     # how many states there are
# env.action_space.n          # how many actions there are
# state, info = env.reset()   # start a game; without a seed, or each would start in the same state
# next_state, reward, terminated, truncated, info = env.step(action)  # do one action
# ```
#
# And of NumPy, with a made-up table of 3 rows and 2 columns:
#
# ```python
# example = np.zeros((3, 2))  # all cells are 0.0
# example[1, 0] = 5.0         # the cell in row 1, column 0; rows and columns count from 0
# example[1]                  # the whole row 1: array([5., 0.])
# np.max(example[1])          # 5.0, the largest value of that row
# np.argmax(example[1])       # 0, the column in which it is; the first one if there are several
# np.exp(-0.5)                # e to the power of -0.5: 0.6065...
#
# rng.random()                # a random number from 0 to 1; rng is passed in, make no other one
# rng.random() < 0.3          # True with a probability of 0.3
# rng.integers(4)             # a random whole number, one of 0, 1, 2, 3
# ```
#
# Take all sizes from `env`, do not write 500 or 6 or use variables of the notebook: the same
# function must learn in other environments, and the check tries some.
#
# At point 7 `episode`, which counts from 0, has just been played: `episode + 1` are over.

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
# Is it right? The check plays your function in small environments and names the first property that
# does not hold. It runs only your functions, so nothing above or below is trained.

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
print(f"first game: {lengths[0]} steps, return {returns[0]:g}")
print(f"last game:  {lengths[-1]} steps, return {returns[-1]:g}")

# %% [markdown]
# Steps fall and returns rise together: the shorter the way, the fewer steps with -1. The thin lines
# are single games, the thick ones means of 50. The returns are undiscounted, and those of early
# games contain many random actions.

# %%
show_picture(plot_episodes(lengths, returns, window=50), OUT / "learning_curve.png")

# %% [markdown]
# The first game, 25 steps of it: the taxi runs into walls and tries to pick up where no passenger
# is.

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
# - the score, the undiscounted return of a game: larger is better;
# - steps of a game: fewer are better;
# - penalties of a game: steps with the reward -10.


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
# It can be computed. Taxi publishes its rules: `P[state][action]` lists what may follow. **Value
# iteration** repeats the **Bellman equation**, which says that the value of a state is the best
# reward plus the value of what follows, over all states until nothing changes:
#
# $$V(s) \leftarrow \max_a \bigl(r(s, a) + V(s')\bigr),$$
#
# without a discount, because a score has none. The mean of $V$ over the 300 starts is the best
# score that any driver can reach on average. Note the difference: this needs the rules, Q-learning
# needs only steps.

# %%
rules = env.unwrapped.P
n_states, n_actions = int(env.observation_space.n), int(env.action_space.n)
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
# `evaluate_exactly` does the same sum for a given policy: the mean undiscounted return of your
# table over infinitely many games, without playing one. (Gymnasium's threshold for "solved" is 8
# over 100 games: more than perfect driving reaches on average.)

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
# The package has Q-learning as an algorithm with all that those of Stable-Baselines3 have: several
# environments, callbacks, `save` and `load`, RL Zoo. Two settings differ, and make it optimal:
# nothing in Taxi is random, so a cell may take over its target as a whole ($\alpha = 1$); and seven
# of ten actions stay random (`exploration=0.7`), so that every state is visited often enough. The
# agent drives badly while it learns, and what it learns is still the best policy: that is what
# off-policy is good for.

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

# %% [markdown]
# ## Two other update rules: Monte Carlo and SARSA
#
# Q-learning is one of several rules to learn the same table. They differ in the target of a cell:
#
# | rule | target of $Q(s, a)$ | when | learns about |
# | --- | --- | --- | --- |
# | **Monte Carlo** | $r_1 + \gamma r_2 + \gamma^2 r_3 + \dots$, the return that really followed | after the episode | the policy that plays |
# | **SARSA** | $r + \gamma \, Q(s', a')$, with the next action $a'$ that is really done | after the next choice | the policy that plays |
# | **Q-learning** | $r + \gamma \max_{a'} Q(s', a')$ | after each step | the greedy policy |
#
# Monte Carlo does not bootstrap: no estimate is part of its target, but all the chance of a whole
# episode is. SARSA (state, action, reward, state, action) bootstraps, and like Monte Carlo it is
# **on-policy**: it learns what its own behaviour is worth, random actions included.
#
# `CliffWalking-v1` shows the difference. A grid of 4 x 12 places, the start in the lower left
# corner, the goal in the lower right one, and between them the cliff. Each step has the reward -1;
# one into the cliff has -100 and leads back to the start. The shortest way has 13 steps, directly
# along the edge. All three rules play 500 episodes with $\epsilon = 0.1$ throughout, $\alpha = 0.1$
# and $\gamma = 1$, so nothing is discounted here. Q-learning is your function.


# %%
def learn_on_policy(rule, env, *, n_episodes, max_steps, epsilon, alpha, gamma, rng):
    """Learn by "Monte Carlo" or "SARSA"; return the Q-table and the return of each episode."""
    n_actions = env.action_space.n
    q = np.zeros([env.observation_space.n, n_actions])

    def choose(s):  # epsilon-greedy; of several best actions a random one
        best = np.flatnonzero(q[s] == q[s].max())
        return int(rng.choice(best if rng.random() >= epsilon else n_actions))

    returns = []
    for _ in range(n_episodes):
        s = env.reset()[0]
        a = choose(s)
        rewarded = []  # (state, action, reward) of each step
        for _ in range(max_steps):
            s2, r, terminated, truncated, _ = env.step(a)
            rewarded.append((s, a, r))
            a2 = choose(s2)
            if rule == "SARSA":
                future = 0 if terminated else q[s2, a2]
                q[s, a] += alpha * (r + gamma * future - q[s, a])
            s, a = s2, a2
            if terminated or truncated:
                break
        if rule == "Monte Carlo":
            total = 0.0
            for s, a, r in reversed(rewarded):  # the last step first
                total = r + gamma * total  # the return from this step on
                q[s, a] += alpha * (total - q[s, a])
        returns.append(sum(r for _, _, r in rewarded))
    return q, returns


# %%
cliff = gym.make("CliffWalking-v1", render_mode="ansi")
settings = {"n_episodes": 100 if SMOKE else 500, "max_steps": 500, "alpha": 0.1, "gamma": 1.0}
same_epsilon = {"max_epsilon": 0.1, "min_epsilon": 0.1, "epsilon_decay": 0.0}
learned = {"Monte Carlo": [], "SARSA": [], "Q-learning": []}  # (table, returns) of each training
for seed in range(1 if SMOKE else 5):
    for rule in ("Monte Carlo", "SARSA"):
        rng = np.random.default_rng(seed)
        learned[rule].append(learn_on_policy(rule, cliff, epsilon=0.1, rng=rng, **settings))
    rng = np.random.default_rng(seed)
    cliff_table, episodes = q_learning(cliff, rng=rng, **same_epsilon, **settings)
    cliff_returns = [episode.steps[-1].total_reward for episode in episodes]
    learned["Q-learning"].append((cliff_table, cliff_returns))

print("mean undiscounted return, and the worst of the trainings in brackets")
print(f"{'':12} {'last 100 episodes, exploring':>30} {'greedy, exact':>20}")
for rule, trainings in learned.items():
    exploring = [np.mean(returns[-100:]) for _, returns in trainings]
    greedy = [
        evaluate_exactly(Greedy(table), cliff, max_steps=500).mean_return for table, _ in trainings
    ]
    print(f"{rule:12} {np.mean(exploring):20.1f} ({min(exploring):7.1f})", end=" ")
    print(f"{np.mean(greedy):10.1f} ({min(greedy):7.1f})")

# %%
figure = Figure(figsize=(8.4, 2.6), dpi=90, layout="constrained")
curves, grid = figure.subplots(1, 2)
for number, (rule, trainings) in enumerate(learned.items()):
    mean = np.mean([returns for _, returns in trainings], axis=0)
    curves.plot(np.convolve(mean, np.ones(20) / 20, mode="valid"), label=rule)
    path = play_episode(Greedy(trainings[0][0]), cliff, max_steps=30)
    rows, columns = np.unravel_index([36, *(step.state for step in path)], (4, 12))
    shift = 0.15 * (number - 1)  # so that one path does not hide another
    grid.plot(columns + shift, rows + shift, label=rule)
curves.set(xlabel="episode", ylabel="return, mean of 20 episodes", ylim=(-200, 0))
curves.legend()
grid.add_patch(Rectangle((0.5, 2.5), 10, 1, color="0.8"))
grid.text(5.5, 3, "cliff", ha="center", va="center")
grid.set(xlim=(-0.5, 11.5), ylim=(3.5, -0.5), title="greedy path", aspect="equal")
show_picture(figure, OUT / "three_rules.png")

# %% [markdown]
# How to read it:
#
# - **Q-learning** finds the shortest way (-13 without random actions). But while it explores it
#   walks along the edge, and every tenth action is random: again and again one leads into the
#   cliff.
# - **SARSA** counts its own random actions, so the places at the edge look bad to it: it keeps a
#   distance of one row. Its way is two steps longer and its returns while exploring are better. If
#   $\epsilon$ fell to 0 over time, it would learn the shortest way as well.
# - **Monte Carlo** changes nothing before an episode is over, and its first episodes last until
#   `max_steps` cuts them off. (The rewards after the cut are missing in its targets; the other two
#   bootstrap there.) Its targets contain the chance of a whole episode, so it needs more episodes,
#   and its trainings differ more from each other.
# - Which rule is better depends on what counts: the returns *while* learning (a robot that breaks),
#   or the policy *after* it. And these are five trainings in one small environment with one
#   $\alpha$: the differences between the rules are clear here, but no law for other environments.
#
# ## Questions
#
# **1.** Would Taxi still be a Markov decision process if the state did not contain the passenger's
# code?
#
# <details><summary>Answer</summary>
#
# No. Putting down at the destination has the reward +20 with the passenger inside and -10 without.
# Without the code both situations would be the same state, and what follows would depend on whether
# the passenger was picked up earlier: on the history, not on the state and the action alone.
#
# </details>
#
# **2.** $Q(s, a) = 3$, $\alpha = 0.1$, $\gamma = 0.5$. A step has the reward 1, and the row of the
# next state is $(8, 2)$. What is the new value if the episode continues, if it is terminated, and
# if it is truncated?
#
# <details><summary>Answer</summary>
#
# Continues: the target is $1 + 0.5 \cdot 8 = 5$, the new value $3 + 0.1 \cdot (5 - 3) = 3.2$.
# Terminated: the target is 1, the new value $3 + 0.1 \cdot (1 - 3) = 2.8$. Truncated: 3.2, as if
# the episode continued, since only the time limit ended it.
#
# </details>
#
# **3.** In an environment every reward is 0 except for a 1 at the goal, the table starts with
# zeros, and $\epsilon$ is 0. What does `np.argmax` do, and what is learned?
#
# <details><summary>Answer</summary>
#
# In a row of equal values `np.argmax` returns the first column, so the agent does action 0 again
# and again. Unless that happens to reach the goal, all targets are 0 and nothing is ever learned.
# Rewards that come this rarely are called **sparse** (lesson 7); they need exploration.
#
# </details>
#
# **4.** `QLearning` acted at random in seven of ten steps, and what it learned drives perfectly.
# Would that work with SARSA?
#
# <details><summary>Answer</summary>
#
# Q-learning is off-policy: its target is the best next action, however badly the agent acts, as
# long as every action is tried in every state. SARSA is on-policy: its values would be those of a
# driver who does nonsense in seven of ten steps. The greedy policy of such values is not the best
# one in general: next to a cliff it would take a large detour.
#
# </details>
#
# **5.** Your table learned with $\gamma = 0.99$, the optimum of 7.93 has no discount. May the two
# be compared?
#
# <details><summary>Answer</summary>
#
# Yes. The discount belongs to learning, the score is measured without it for both. In Taxi the
# policy that is best with $\gamma = 0.99$ is also best without a discount: both prefer the shortest
# way. That need not be so: with a small $\gamma$ the +20 far away may count less than the steps
# that lead to it. What must not be compared are a discounted and an undiscounted return.
#
# </details>
#
# ## Further reading
#
# - R. S. Sutton and A. G. Barto, *Reinforcement Learning: An Introduction*, 2nd edition, 2018, free
#   at <http://incompleteideas.net/book/the-book-2nd.html>: chapter 3 on Markov decision processes,
#   chapter 5 on Monte Carlo, chapter 6 on temporal differences with SARSA and Q-learning; example
#   6.6 is the cliff.
# - C. J. C. H. Watkins and P. Dayan, "Q-learning", *Machine Learning* 8, 1992: the proof that the
#   table converges to the optimal values if every cell is updated again and again and $\alpha$
#   falls.
# - T. G. Dietterich, "Hierarchical Reinforcement Learning with the MAXQ Value Function
#   Decomposition", 2000, <https://arxiv.org/abs/cs/9905014>: section 2 introduces Taxi.
# - Gymnasium, "Basic usage", <https://gymnasium.farama.org/introduction/basic_usage/>: `reset`,
#   `step` and the spaces, with examples.
#
# ## Try it yourself
#
# 1. `alpha=1.0` in your own function: does it learn faster? Would it in an environment with chance
#    (`FrozenLake-v1`)?
# 2. `gamma=0.5`: which starts does the taxi no longer solve, and why?
# 3. `max_epsilon=0.0`: the table starts with zeros and every step has a negative reward. Why does
#    the taxi explore all the same?
# 4. How many of the 500 rows are still zero after your training? Which states are they?
# 5. `alpha=0.5` for all three rules on the cliff: which of them suffers most, and why?
