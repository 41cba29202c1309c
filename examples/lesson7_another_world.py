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
# # Lesson 7: Other environments
#
# **You will learn**
#
# - what makes an environment hard for DQN: a reward that never comes, an action that is a number,
#   a reward that tempts the agent to do something else;
# - how one entry of a yml becomes a training, and how to judge its agent;
# - how to write, check and solve an environment of your own.
#
# **Time** on 2 cores: about 12 minutes. **Expected result:** four agents whose scores stand
# beside random play and RL Zoo's agents, a short video of each, and an agent that walks your
# corridor. All scores are returns of whole episodes: the sum of the environment's own rewards,
# neither discounted nor clipped.

# %%
import importlib.util
import subprocess
import sys

SOURCE = ""  # for pip: "sb3_atari_course[course] @ git+https://ADDRESS", or "FILE.whl[course]"
if importlib.util.find_spec("sb3_atari_course") is None:  # a hosted notebook
    assert SOURCE, "sb3_atari_course is not installed: set SOURCE above, ask your teacher for it"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", SOURCE], check=True)

from sb3_atari_course.course import begin

SMOKE, OUT = begin("lesson7")  # python lesson7_another_world.py --smoke: every point, in seconds

# %%
import time
from functools import partial

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from matplotlib.figure import Figure
from stable_baselines3 import DQN, TD3
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise

from sb3_atari_course import evaluate_games
from sb3_atari_course.course import check, show_picture, show_video
from sb3_atari_course.hyperparams import load_hyperparams
from sb3_atari_course.report.video import record_game, write_video
from sb3_atari_course.wrappers import DiscretizeActions

torch.set_num_threads(1)  # these networks are so small that a second thread only disturbs
ENV_IDS = ["MountainCar-v0", "Pendulum-v1", "LunarLander-v3"]

# %% [markdown]
# ## Three environments
# A step is one step of the environment here: there are no emulator frames. Each line shows what
# the agent sees, what it may do, and after how many steps an episode is cut off.

# %%
for env_id in ENV_IDS:
    env = gym.make(env_id)
    n_numbers, limit = env.observation_space.shape[0], env.spec.max_episode_steps
    print(f"{env_id}: sees {n_numbers} numbers, does {env.action_space}, at most {limit} steps")

# %% [markdown]
# ### MountainCar: the reward that never comes
# Every step costs 1 until the car is at the flag (position 0.5), or 200 steps are over. The
# engine is too weak for the hill. Random play never gets there, so every reward that it sees is
# $-1$. Such a reward, the same almost everywhere, is a **sparse reward**. Two rules that you can
# write yourself show the way out: the car must first go *away* from the flag, and swing.


# %%
def drive(rule):
    """Return the score of one episode, and the rightmost position."""
    env = gym.make("MountainCar-v0")
    (position, velocity), _ = env.reset(seed=0)
    score, rightmost, over = 0.0, position, False
    while not over:
        (position, velocity), reward, terminated, truncated, _ = env.step(rule(velocity))
        score, rightmost = score + reward, max(rightmost, position)
        over = terminated or truncated
    return score, float(rightmost)


always_right = drive(lambda velocity: 2)
swing = drive(lambda velocity: 2 if velocity > 0 else 0)  # push the way it is rolling
print(f"always to the right: score {always_right[0]:.0f}, came to {always_right[1]:.2f}")
print(f"with the swing:      score {swing[0]:.0f}, came to {swing[1]:.2f}")
assert always_right[0] == -200
assert swing[0] > -130

# %% [markdown]
# Nothing leads DQN to the swing but chance: it needs many random steps until the flag is reached
# for the first time, and only then has something to learn from. Hence its long exploration, and
# the $\gamma$ of 0.98: the flag must be felt from 100 steps away, and $0.98^{100}$ is 0.13.
#
# The other way out is **reward shaping**: add a reward for what leads to the goal, here for height or
# speed, so that each step says something. It is easy to shape a reward whose best policy is not the
# one you wanted, see the questions at the end.

# %% [markdown]
# ### Pendulum: an action that is a number
# The arm hangs somewhere and should stand. With the angle $\theta$ (0 is upright, in radians),
# the angular velocity $\dot\theta$ and the torque $u$ the reward of a step is
# $$r = -(\theta^2 + 0.1\,\dot\theta^2 + 0.001\,u^2).$$

# %%
env = gym.make("Pendulum-v1")
(cos, sin, speed), _ = env.reset(seed=0)
torque = 1.5  # N m, anything from -2 to 2
reward = env.step(np.array([torque], dtype=np.float32))[1]
angle = np.arctan2(sin, cos)
print(f"reward {reward:.4f}, by the formula {-(angle**2 + 0.1 * speed**2 + 0.001 * torque**2):.4f}")
assert np.isclose(reward, -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2), atol=1e-4)

# %% [markdown]
# This is a **continuous action**: any number from -2 to 2, where a **discrete action** is one of a
# list. DQN takes the largest of its Q-values, one for each action; with infinitely many torques the
# list does not exist. Two ways out: offer a few torques (`DiscretizeActions`), or let a second
# network, the **actor**, give the torque to which the Q-network, here called the **critic**, gives the
# highest value. Such methods are **actor-critic** methods. TD3 is one, with two critics, of which it
# takes the lower value: the maximum of uncertain values is too high on average (**overestimation**,
# which Double DQN reduces in another way).

# %%
eleven = DiscretizeActions(env, n_bins=11)
print(eleven.action_space, [round(float(torque[0]), 1) for torque in eleven.values])

# %% [markdown]
# ### LunarLander: a reward with a temptation
# Eight numbers: place, velocity, angle, turning, and one for each leg on the ground. Each step
# has a reward for getting closer, slower and more upright; the main engine costs 0.3 a step, a landing
# brings 100, a crash costs 100. An agent that fears the crash can stay in the air for all the
# 1000 steps: safe, and almost without cost. Watch for it in the curve: long episodes with a
# return about 0.

# %%
env = gym.make("LunarLander-v3")
names = ["x", "y", "speed x", "speed y", "angle", "turning", "left leg", "right leg"]
observation, _ = env.reset(seed=0)
print({name: round(float(number), 2) for name, number in zip(names, observation, strict=True)})

# %% [markdown]
# ## From the yml to the agent
# An entry of `hyperparams/dqn.yml` is the list of DQN's arguments, no more. The next cells do
# what this command does for those who do not want to write Python:
#
# `python -m sb3_atari_course train --algo dqn --env MountainCar-v0`
#
# Two lines may be new: `n_steps: 3` puts three real rewards before the estimate (an n-step return),
# so news of the flag travels three steps at a time; a `learning_rate` that falls to 0 lets the agent settle in
# the end, where a constant one leaves its score to luck.

# %%
curves = {}  # name -> steps at which episodes ended, their returns


def train(name, algorithm, env, n_timesteps, learning_rate, **settings):
    """Train; keep the curve."""
    if isinstance(learning_rate, str):  # lin_0.001: from there to 0 in a straight line
        first = float(learning_rate.removeprefix("lin_"))
        learning_rate = lambda left: left * first  # noqa: E731  (left: part of the training, 1 to 0)
    env = Monitor(env)
    model = algorithm(env=env, learning_rate=learning_rate, seed=0, device="cpu", **settings)
    began = time.perf_counter()
    model.learn(1050 if SMOKE else n_timesteps)
    curves[name] = np.cumsum(env.get_episode_lengths()), env.get_episode_rewards()
    print(f"{name}: {model.num_timesteps} steps in {time.perf_counter() - began:.0f} s")
    return model


# %%
entries = load_hyperparams("dqn")
envs = {env_id: gym.make(env_id) for env_id in ENV_IDS}
envs["Pendulum-v1"] = DiscretizeActions(envs["Pendulum-v1"], n_bins=11)
models = {}
for env_id, env in envs.items():
    settings = {key: value for key, value in entries[env_id].items() if key != "env_wrapper"}
    models[f"{env_id}, DQN"] = train(f"{env_id}, DQN", DQN, env, **settings)

# %% [markdown]
# And TD3 with the settings of RL Zoo's `td3.yml` (`python -m sb3_atari_course train --algo td3
# --env Pendulum-v1`). Its actor explores by adding noise to the torque. (SB3 scales torques to -1
# to 1: the noise of 0.1 is 0.2 N m.)

# %%
noise = NormalActionNoise(mean=np.zeros(1), sigma=0.1 * np.ones(1))
settings = {"policy": "MlpPolicy", "policy_kwargs": {"net_arch": [400, 300]}, "gamma": 0.98}
settings |= {"buffer_size": 200_000, "learning_starts": 1000 if SMOKE else 10_000}
settings |= {"action_noise": noise, "train_freq": 1, "gradient_steps": 1}
env = gym.make("Pendulum-v1")
models["Pendulum-v1, TD3"] = train("Pendulum-v1, TD3", TD3, env, 20_000, 0.001, **settings)

# %% [markdown]
# ## The curves
# Each dot is an episode, with all its exploring; the line is the mean of the last 20.

# %%
figure = Figure(figsize=(8, 4), dpi=90, layout="constrained")
for axes, (name, (steps, returns)) in zip(figure.subplots(2, 2).flat, curves.items(), strict=True):
    axes.plot(steps / 1000, returns, ".", color="0.75", markersize=2)
    axes.plot(steps / 1000, [np.mean(returns[max(0, i - 19) : i + 1]) for i in range(len(returns))])
    axes.set_title(name, fontsize="small")
    axes.set_xlabel("thousands of steps", fontsize="small")
    axes.set_ylabel("return", fontsize="small")
show_picture(figure, OUT / "curves.png")

# %% [markdown]
# ## The games
# 100 games without exploring (returns, not discounted), the same ones at random, and RL Zoo's
# figures: one agent each, the best that its authors had. One training is one random sample, and the spread below is that
# of the *games* of one agent; another seed is another agent.
# `python benchmarks/train_and_score.py other-environments` repeats all of this with three seeds; the
# means of our three landers were 144, 188 and 132.

# %%
RL_ZOO = {
    "MountainCar-v0": "DQN -100.8 (120,000 steps)",
    "Pendulum-v1": "TD3 -151.9 (20,000 steps)",
    "LunarLander-v3": "DQN 154.4 (100,000 steps), PPO 242.1 (1,000,000)",
}


eleven_torques = partial(DiscretizeActions, n_bins=11)
for name, model in models.items():
    env_id = name.split(",")[0]
    wrapper = eleven_torques if name == "Pendulum-v1, DQN" else None
    protocol = {"n_games": 2 if SMOKE else 100, "seed": 1000, "epsilon": 0.0}
    report = evaluate_games(model, env_id, env_wrapper=wrapper, **protocol)
    print(f"{name}: {report.mean:.1f} +- {report.std:.1f}, random play {report.random_mean:.1f}")
    print(f"    RL Zoo: {RL_ZOO[env_id]}")
    assert SMOKE or report.mean > report.random_mean + 50

# %% [markdown]
# ## Watch them
# Look at the second swing of the car, at how the pendulum trembles under eleven torques and rests
# under TD3's, and at what the lander does with its side engines.

# %%
for name, model in models.items():
    env = gym.make(name.split(",")[0], render_mode="rgb_array")
    if name == "Pendulum-v1, DQN":
        env = eleven_torques(env)
    film = record_game(model, env, seed=1, max_steps=20 if SMOKE else 400)
    path = write_video(OUT / f"{name.replace(', ', '_')}.mp4", film.frames, fps=30)
    print(f"{name}: score {film.score:.1f} in {film.n_steps} steps")
    show_video(path)

# %% [markdown]
# ## Exercise 5: your own environment
# A **custom environment** for Gymnasium is a class, derived from `gym.Env`, with two spaces and two
# methods. As an example a room whose heating is controlled: three actions (0 cool, 1 do nothing, 2
# heat), two numbers to observe.
#
# ```python
# class Room(gym.Env):
#     def __init__(self, target=21):
#         self.target = target
#         self.observation_space = spaces.Box(low=-40.0, high=40.0, shape=(2,), dtype=np.float32)
#         self.action_space = spaces.Discrete(3)                       # 0, 1, 2
#
#     def _numbers(self):
#         return np.array([self.room, self.outside], dtype=np.float32)
#
#     def reset(self, *, seed=None, options=None):
#         super().reset(seed=seed)                                     # seeds self.np_random
#         rng = self.np_random
#         self.outside = int(rng.integers(20)) - 10                    # any of -10, -9, ..., 9
#         self.room = self.outside
#         return self._numbers(), {}
#
#     def step(self, action):
#         self.room += {0: -2, 1: 0, 2: 2}[int(action)]
#         rng = self.np_random
#         if rng.random() < 0.05:                                      # the door is left open
#             self.room -= 3
#         self.room = max(-40, min(40, self.room))                     # the bounds hold
#         terminated = abs(self.room - self.target) <= 1
#         reward = 10.0 if terminated else -1.0
#         return self._numbers(), reward, terminated, False, {}
# ```
#
# - **Spaces** say what may be observed and done, before anything happens: algorithms read from them
#   how many inputs and outputs a network needs. `Discrete(n)` is the list of actions 0 to n - 1.
#   `Box(low, high, shape, dtype)` is an array of numbers between the bounds; `shape=(1,)` is an array
#   of one number. The bounds are as narrow as they can be, and each observation must have this shape
#   and this dtype.
# - **`self.np_random`** is the environment's own generator of random numbers. `super().reset(seed=seed)`
#   seeds it if a seed is given, and lets it continue otherwise. Take all random numbers from it, then
#   the same seed gives the same episode: its `integers(n)` is one of 0, ..., n - 1, each as likely as
#   the others; its `random()` is a number from 0 to 1, below p with probability p. `np.random`,
#   `random` and other generators do not get the seed.
# - **`int(...)`** around `integers`: it returns a NumPy integer, and a comparison with `==` of NumPy's
#   numbers gives NumPy's bool, `numpy.bool`. SB3 wants Python's `True` or `False` and says "the
#   terminated signal must be a boolean" otherwise. Actions are NumPy integers, too: hence `int(action)`
#   where they take part in a sum (a comparison like `action == 1` is fine).
# - **`terminated` and `truncated`**: the first says that the episode is over by the rules of the
#   environment, nothing comes after it. The second says that a clock has cut it off, where it could
#   have continued. That clock is not part of the environment: `max_episode_steps` of `gym.register`
#   counts the steps and sets `truncated`, so `step` returns `False` for it.
# - The dict at the end, `info`, may hold whatever is good to know and not to learn from; `{}` will do.
#
# Now the corridor: `size` cells, 0 to `size - 1`; `self.position` is where the agent is. You start in
# any of them but the goal, the last one. A step leads one cell to the left or to the right; in cell 0
# a step to the left stays in cell 0, the wall holds. With probability `slip` you slip and stay where
# you are. **Every** step has the reward -0.1, one that slips or runs against the wall, too; only the
# step that reaches the goal has the reward 1 instead (not 0.9), and the episode is over. Size and slip
# are arguments: the check tries others than 20 and 0.1.


# %%
class Corridor(gym.Env):
    """A corridor of ``size`` cells; the goal is the last one. Actions: 0 left, 1 right."""

    def __init__(self, size=20, slip=0.1):
        self.size, self.slip = size, slip
        self.position = 0
        # The agent sees where it is: one float32 from 0 (first cell) to 1 (the goal).
        # >>> self.observation_space = ...
        # >>> self.action_space = ...
        self.observation_space = spaces.Box(0.0, 1.0, shape=(1,), dtype=np.float32)
        self.action_space = spaces.Discrete(2)
        # <<<

    def _observe(self):
        return np.array([self.position / (self.size - 1)], dtype=np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        # Any cell but the goal, each as likely as the others.
        # >>> self.position = ...
        self.position = int(self.np_random.integers(self.size - 1))
        # <<<
        return self._observe(), {}

    def step(self, action):
        slipped = self.np_random.random() < self.slip
        # One cell to the left or to the right unless it slipped; the wall on the left holds.
        # >>> self.position = ...
        if not slipped:
            self.position = max(0, self.position + (1 if action == 1 else -1))
        # <<<
        # At the goal the episode is over and the reward is 1, any other step costs 0.1.
        # >>> terminated = ...
        # >>> reward = ...
        terminated = self.position == self.size - 1
        reward = 1.0 if terminated else -0.1
        # <<<
        return self._observe(), reward, terminated, False, {}


check("own_env")

# %% [markdown]
# SB3's own checker looks for what would trip an algorithm: dtypes, bounds, forgotten infos. Then
# the corridor gets a name, and with it everything of this lesson works for it too.

# %%
check_env(Corridor(), warn=True)
gym.register("Corridor-v0", entry_point=Corridor, max_episode_steps=100)
settings = {"policy": "MlpPolicy", "learning_starts": 500, "batch_size": 64, "gamma": 0.98}
settings |= {"target_update_interval": 200, "exploration_fraction": 0.5}
corridor_model = train("Corridor-v0, DQN", DQN, gym.make("Corridor-v0"), 6_000, 0.001, **settings)
report = evaluate_games(corridor_model, "Corridor-v0", n_games=100, seed=0, epsilon=0.0)
print(report.summary())
assert SMOKE or report.mean > report.random_mean + 1

# %% [markdown]
# What could one expect at best, not discounted? A start is 10 steps from the goal on average (1 to
# 19), each takes $1 / 0.9$ tries, all but the last of them cost 0.1. The Q-values show whether the agent
# has understood it: how they rise towards the goal, and that "right" is above "left" everywhere.

# %%
best = 1 - 0.1 * (10 / 0.9 - 1)
print(f"walking right all the time: {best:.2f} on average, the agent {report.mean:.2f}")
cells = torch.linspace(0, 1, 20).reshape(-1, 1)
with torch.no_grad():
    values = corridor_model.q_net(cells).numpy()  # (20, 2)
figure = Figure(figsize=(6, 3), dpi=90, layout="constrained")
axes = figure.subplots()
axes.plot(values[:-1], "o-", label=["left", "right"])  # the goal is terminal
axes.set(xlabel="cell", ylabel="Q-value (return)")
axes.legend()
show_picture(figure, OUT / "corridor.png")
assert SMOKE or (values[:-1, 1] > values[:-1, 0]).all()

# %% [markdown]
# ## Questions
#
# **1.** In MountainCar the flag is about 100 steps away. Why does $\gamma = 0.9$ not work there?
#
# <details><summary>Answer</summary>
#
# $0.9^{100}$ is 0.00003. With $\gamma = 0.9$ a return from far away is
# $-1 - 0.9 - 0.81 - \ldots \approx -10$ with and without the flag: the network cannot see so small a
# difference.
#
# </details>
#
# **2.** The pendulum has one joint and eleven torques. How many actions has a robot arm of six joints
# with eleven torques each, and what does that mean for DQN?
#
# <details><summary>Answer</summary>
#
# $11^6 = 1{,}771{,}561$, a Q-value for each. Most of them would never be tried. The actor of TD3 has six
# outputs for it.
#
# </details>
#
# **3.** A student puts the limit of 100 steps into `step` of the corridor and returns `terminated=True`
# there. What is the target of such a last step, and what does the agent learn wrongly?
#
# <details><summary>Answer</summary>
#
# -0.1 instead of $-0.1 + \gamma \max_{a'} Q(s', a')$: the state seems to have no future. The agent does
# not see the clock, so the same cell has once a future and once none, and its Q-values become a
# mixture of both. With `truncated=True` the target keeps the future.
#
# </details>
#
# **4.** The agent is in the cell before the goal and always goes right. What is its return on average
# with `slip=0.1`, not discounted?
#
# <details><summary>Answer</summary>
#
# It slips $0.1 / 0.9 = 0.111$ times on average, for 0.1 each, then it gets 1: $1 - 0.0111 = 0.989$.
#
# </details>
#
# **5.** To help the agent you add a reward of 0.3 for each step to the right, and none for steps to the
# left. Which policy is best now ($\gamma$ near 1)? How would you shape the reward instead?
#
# <details><summary>Answer</summary>
#
# Going right and left by turns, for ever: two steps bring $0.3 - 0.2 = 0.1$ in sum, and the goal, which
# would end that, only 1 once. A shaping that cannot be cheated is $\gamma \Phi(s') - \Phi(s)$ with a
# number $\Phi$ for each state, e.g. the position: what a step to the right gives, one to the left takes
# back. (Ng, Harada and Russell 1999, below.)
#
# </details>
#
# ## Further reading
#
# - Gymnasium, *Create a Custom Environment*, https://gymnasium.farama.org: a grid environment step by
#   step, with registering and rendering; *Spaces* in its reference lists all kinds.
# - Stable-Baselines3, *Using Custom Environments*, https://stable-baselines3.readthedocs.io: what
#   `check_env` looks for; *Reinforcement Learning Tips and Tricks* there: how to scale actions and
#   observations.
# - S. Fujimoto, H. van Hoof, D. Meger, *Addressing Function Approximation Error in Actor-Critic
#   Methods*, 2018, https://arxiv.org/abs/1802.09477: TD3, overestimation in section 4.
# - A. Y. Ng, D. Harada, S. Russell, *Policy invariance under reward transformations*, ICML 1999: which
#   shaping leaves the best policy as it is, and examples of agents that ran in circles.
#
# ## Try it yourself
# 1. Train MountainCar with `exploration_fraction` 0.02. At which step does the flag appear first?
#    What if the height of the car were added to each reward: does it learn faster, and still the same
#    thing?
# 2. How many torques does the pendulum need? Try 2, 3 and 31 bins: which score, which video?
# 3. In the curve of the lander: how long are the episodes whose return is about 0? What does
#    `gamma` 0.999 change, and why?
# 4. Give your corridor a door that opens after some steps, or a second, smaller goal on the left.
#    When does the agent choose the wrong one, and which setting cures it?
