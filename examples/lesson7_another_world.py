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
# # Lesson 7: Another world
#
# **You will learn**
#
# - what makes a world hard for DQN: a reward that never comes, an action that is a number, a
#   reward that tempts the agent to do something else;
# - how one entry of a yml becomes a training, and how to judge its agent;
# - how to write, check and solve a world of your own.
#
# **Time** on 2 cores: about 12 minutes. **Expected result:** four agents whose scores stand
# beside random play and RL Zoo's agents, a short video of each, and an agent that walks your
# corridor.

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
WORLDS = ["MountainCar-v0", "Pendulum-v1", "LunarLander-v3"]

# %% [markdown]
# ## Three worlds
# A step is one step of the environment here: there are no emulator frames. Each line shows what
# the agent sees, what it may do, and after how many steps an episode is cut off.

# %%
for env_id in WORLDS:
    env = gym.make(env_id)
    n_numbers, limit = env.observation_space.shape[0], env.spec.max_episode_steps
    print(f"{env_id}: sees {n_numbers} numbers, does {env.action_space}, at most {limit} steps")

# %% [markdown]
# ### MountainCar: the reward that never comes
# Every step costs 1 until the car is at the flag (position 0.5), or 200 steps are over. The
# engine is too weak for the hill. Random play never gets there, so all that it ever hears is
# $-1$. Two rules that you can write yourself show the way out: the car must first go *away* from
# the flag, and swing.


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
# DQN takes the largest of its Q-values, one for each action; with infinitely many torques there
# is no such list. Two ways out: offer a few torques (`DiscretizeActions`), or let a second
# network, the *actor*, say the torque that the Q-network likes best. TD3 does that, with two
# Q-networks, of which it believes the gloomier one.

# %%
eleven = DiscretizeActions(env, n_bins=11)
print(eleven.action_space, [round(float(torque[0]), 1) for torque in eleven.values])

# %% [markdown]
# ### LunarLander: a reward with a temptation
# Eight numbers: place, velocity, angle, turning, and one for each leg on the ground. Each step
# pays for getting closer, slower and more upright; the main engine costs 0.3 a step, a landing
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
# Two lines may be new: `n_steps: 3` puts three real rewards before the estimate, so news of the
# flag travels three steps at a time; a `learning_rate` that falls to 0 lets the agent settle in
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
worlds = {env_id: gym.make(env_id) for env_id in WORLDS}
worlds["Pendulum-v1"] = DiscretizeActions(worlds["Pendulum-v1"], n_bins=11)
models = {}
for env_id, world in worlds.items():
    settings = {key: value for key, value in entries[env_id].items() if key != "env_wrapper"}
    models[f"{env_id}, DQN"] = train(f"{env_id}, DQN", DQN, world, **settings)

# %% [markdown]
# And TD3 with the settings of RL Zoo's `td3.yml` (`python -m sb3_atari_course train --algo td3
# --env Pendulum-v1`). Its actor explores by adding noise to the torque. (SB3 scales torques to -1
# to 1: the noise of 0.1 is 0.2 N m.)

# %%
noise = NormalActionNoise(mean=np.zeros(1), sigma=0.1 * np.ones(1))
settings = {"policy": "MlpPolicy", "policy_kwargs": {"net_arch": [400, 300]}, "gamma": 0.98}
settings |= {"buffer_size": 200_000, "learning_starts": 1000 if SMOKE else 10_000}
settings |= {"action_noise": noise, "train_freq": 1, "gradient_steps": 1}
world = gym.make("Pendulum-v1")
models["Pendulum-v1, TD3"] = train("Pendulum-v1, TD3", TD3, world, 20_000, 0.001, **settings)

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
# 100 games without exploring, the same ones at random, and RL Zoo's figures: one agent each, the
# best that its authors had. One training is one draw of a lottery, and the spread below is that
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
# ## Exercise 5: your own world
# A Gymnasium world is a class with two spaces and two methods. This one is a slippery corridor:
# you are put into one of its cells and want to reach the last one. A step to the left or the
# right costs 0.1, and now and then you slip and stay where you are; the last cell pays 1, and the
# episode is over.
#
# `reset(seed=...)` must give the same start for the same seed, so all chance comes from
# `self.np_random`, which `super().reset(seed=seed)` seeds. The limit of steps is not part of the
# world: `max_episode_steps` of `gym.register` cuts long episodes off, and tells so by
# `truncated`.


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
        # At the goal the episode is over and pays 1, any other step costs 0.1.
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
# What could one expect at best? A start is 10 steps from the goal on average (1 to 19), each
# takes $1 / 0.9$ tries, all but the last of them cost 0.1. The Q-values show whether the agent
# has understood it: how they rise towards the goal, and that "right" is above "left" everywhere.

# %%
best = 1 - 0.1 * (10 / 0.9 - 1)
print(f"walking right all the time: {best:.2f} on average, the agent {report.mean:.2f}")
cells = torch.linspace(0, 1, 20).reshape(-1, 1)
with torch.no_grad():
    values = corridor_model.q_net(cells).numpy()  # (20, 2)
figure = Figure(figsize=(6, 3), dpi=90, layout="constrained")
axes = figure.subplots()
axes.plot(values[:-1], "o-", label=["left", "right"])  # nobody acts at the goal
axes.set(xlabel="cell", ylabel="Q-value (return)")
axes.legend()
show_picture(figure, OUT / "corridor.png")
assert SMOKE or (values[:-1, 1] > values[:-1, 0]).all()

# %% [markdown]
# ## Try it yourself
# 1. Train MountainCar with `exploration_fraction` 0.02. At which step does the flag appear first?
#    What if every step paid the height of the car: does it learn faster, and still the same
#    thing?
# 2. How many torques does the pendulum need? Try 2, 3 and 31 bins: which score, which video?
# 3. In the curve of the lander: how long are the episodes whose return is about 0? What does
#    `gamma` 0.999 change, and why?
# 4. Give your corridor a door that opens after some steps, or a second, smaller goal on the left.
#    When does the agent choose the wrong one, and which setting cures it?
