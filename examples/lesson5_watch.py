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
# # Lesson 5: Watch it
#
# **You will learn**
# - how one agent plays after minutes, a quarter of an hour and an hour of its training, and at its
#   best, seen in a video and counted in numbers;
# - whether it follows the ball, whether it presses FIRE itself, whether it digs a tunnel;
# - what its network expects from each action while it plays;
# - how a score is made that can be compared with others, and which scores cannot (**exercise**).
#
# **Time** on 2 cores: about five minutes of computing with the agents of `trained_agents/`, ten more
# where one has to be trained first; an hour with the exercise. **Expected result:** two videos,
# tables of the stages, and scores of full games.

# %%
import importlib.util
import subprocess
import sys

SOURCE = ""  # for pip: "sb3_atari_course[course] @ git+https://ADDRESS", or "FILE.whl[course]"
if importlib.util.find_spec("sb3_atari_course") is None:  # a hosted notebook
    assert SOURCE, "sb3_atari_course is not installed: set SOURCE above, ask your teacher for it"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", SOURCE], check=True)

from sb3_atari_course.course import begin

SMOKE, OUT = begin("lesson5")  # python lesson5_watch.py --smoke: every point, in seconds

# %% [markdown]
# ## An agent with a past
#
# RL Zoo keeps a run in a folder. `rl_model_10000_steps.zip` is a **checkpoint**: the agent as it was
# after 10,000 steps (a step is one decision, four frames of the game); `best_model.zip` is the one
# that was best in evaluations, during training or (`publish`) after it. If there is such a run in
# `trained_agents/` it is used; otherwise one is trained here. You could type the same command
# yourself.

# %%
from pathlib import Path

import torch

import sb3_atari_course
from sb3_atari_course.hyperparams import hyperparams_file

BREAKOUT = "BreakoutNoFrameskip-v4"
N_STEPS = 1_000 if SMOKE else 100_000
torch.set_num_threads(1)  # the network is small: more threads would wait for each other


def run_with_a_past(logs: Path) -> Path | None:
    """Return a finished run of DQN with a best model and at least three checkpoints."""
    for run in sorted(logs.glob(f"dqn/{BREAKOUT}_*/")):
        is_whole = (run / f"{BREAKOUT}.zip").is_file() and (run / "best_model.zip").is_file()
        if is_whole and len([*run.glob("rl_model_*_steps.zip")]) > 2:
            return run
    return None


checkout = Path(sb3_atari_course.__file__).parents[1]
ours = OUT / f"logs_{N_STEPS}_steps"  # kept: the second time there is nothing to wait for
known = [ours] if SMOKE else [Path("trained_agents"), checkout / "trained_agents", ours]

# %%
command = [sys.executable, "-m", "sb3_atari_course", "train", "--algo", "dqn", "--env", BREAKOUT]
command += ["-conf", str(hyperparams_file("dqn_laptop")), "-n", str(N_STEPS), "--seed", "1"]
command += ["--save-freq", str(N_STEPS // 10), "--eval-freq", str(N_STEPS // 4), "-f", str(ours)]
command += ["--num-threads", "1"]
if SMOKE:
    command += ["--eval-episodes", "1", "-params", "learning_starts:500"]

if not any(run_with_a_past(logs) for logs in known):
    print(f"no trained agents here: training one for {N_STEPS:,} steps")
    print(f"how far it is: {OUT / 'training.txt'}")
    with open(OUT / "training.txt", "w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
folder = next(run for logs in known if (run := run_with_a_past(logs)))
print("agents from", folder)

# %% [markdown]
# ## Three stages, and the best
#
# `find_run` finds the files and the wrappers of the training. Early is the first checkpoint, when
# many actions were still random; then one in the middle, then the last; and the best, which need not
# be the last. All of them play by the **greedy policy** here: always the action with the largest
# Q-value, no exploration.

# %%
from sb3_atari_course.zoo.run_folder import find_run

saved = sorted(int(path.stem.split("_")[2]) for path in folder.glob("rl_model_*_steps.zip"))
early, middle, late = saved[0], saved[len(saved) // 2], saved[-1]
where = {"folder": folder.parents[1], "exp_id": int(folder.name.split("_")[-1])}
runs = {
    f"{early:,} steps": find_run("dqn", BREAKOUT, **where, load_checkpoint=early),
    f"{middle:,} steps": find_run("dqn", BREAKOUT, **where, load_checkpoint=middle),
    f"{late:,} steps": find_run("dqn", BREAKOUT, **where, load_checkpoint=late),
    "best": find_run("dqn", BREAKOUT, **where, load_best=True),
}
stages = {name: run.load_model("cpu") for name, run in runs.items()}

(wrapper,) = runs["best"].hyperparams["env_wrapper"]  # from the yml: {wrap_atari: its arguments}
seen = {**wrapper["sb3_atari_course.envs.wrap_atari"]}
seen.pop("fire_on_reset", None)  # below we say ourselves who presses FIRE
print("stages:", ", ".join(stages), "| they see:", stages["best"].observation_space.shape)

# %% [markdown]
# ## Side by side
#
# The same start for all of them: the left one is early, the right one the best.

# %%
import numpy as np

from sb3_atari_course.course import show_picture, show_video
from sb3_atari_course.envs import make_game, wrap_atari
from sb3_atari_course.report.video import record_game, write_video


def make_env():
    """Return Breakout as the agent saw it in training, to be recorded."""
    game = make_game(BREAKOUT, render_mode="rgb_array", obs_type="rgb")
    return wrap_atari(game, **seen)


MAX_STEPS = 50 if SMOKE else 300  # agent steps: 300 are 20 seconds of the game
recordings = [
    record_game(model, make_env(), seed=0, max_steps=MAX_STEPS) for model in stages.values()
]
longest = max(len(recording.frames) for recording in recordings)
rolls = [
    recording.frames + recording.frames[-1:] * (longest - len(recording.frames))
    for recording in recordings
]
together = [np.concatenate(frames, axis=1) for frames in zip(*rolls, strict=True)]
video = write_video(OUT / "stages.mp4", together, fps=15, scale=1)
print(
    [
        f"{name}: {recording.score:g} points"
        for name, recording in zip(stages, recordings, strict=True)
    ]
)
show_video(video, width=640)

# %% [markdown]
# ## In numbers
#
# "It follows the ball" can be measured. `watch_games` reads from the RAM of the console where
# paddle, ball and bricks are, in every frame of full games, and counts:
#
# - **distance**: pixels between the middles of paddle and ball, while the ball falls in the lower
#   half of the screen;
# - **rally**: the most returns in one life;
# - **bricks** a game, and how many of them a falling ball hit, **from above**: through a tunnel.
#
# FIRE is pressed for the agent here. One action in twenty is random (epsilon 0.05): without any
# randomness there are only four different games (lesson 3). The score is the sum of the points of a
# full game: not clipped, not discounted. The first line is random play.

# %%
from sb3_atari_course.course.breakout import watch_games

how = {"n_games": 1 if SMOKE else 5, "seed": 0, "max_frames": 1_000 if SMOKE else 18_000}
rgb = {"wrapper_kwargs": seen, "env_kwargs": {"obs_type": "rgb"}}
watched = {"random": watch_games(stages["best"], epsilon=1.0, **how, **rgb)}
for name, model in stages.items():
    watched[name] = watch_games(model, epsilon=0.05, **how, **rgb)


# %%
def show(number, unit=""):
    """Write a number, or a dash where there is none."""
    return "-" if number is None else f"{number:.1f}{unit}"


print(
    f"{'':>14}{'score':>8}{'distance':>12}{'rally':>7}{'bricks':>8}{'from above':>12}{'cut off':>9}"
)
for name, report in watched.items():
    above = None if report.from_above_share is None else 100 * report.from_above_share
    print(
        f"{name:>14}{report.score:>8.1f}{show(report.distance, ' px'):>12}{report.longest_rally:>7}"
        f"{report.bricks:>8.1f}{show(above, ' %'):>12}{report.n_capped:>9}"
    )

# %% [markdown]
# ## Does it press FIRE?
#
# It never had to: the training pressed FIRE for it. Without that, a game in which the agent does
# not press FIRE never starts, so there is a cap (the column "cut off": how many games it ended).
# "Waited" are the steps before FIRE in those lives that the agent started.
#
# Whether an agent fires here is luck: no reward ever depended on it.

# %%
how = {"n_games": 1 if SMOKE else 4, "seed": 0, "max_frames": 500 if SMOKE else 6_000}
print(f"{'':>14}{'score':>8}{'fires itself':>14}{'waited':>8}{'cut off':>9}")
for name, model in stages.items():
    report = watch_games(model, forced_fire=False, **how, **rgb)
    print(
        f"{name:>14}{report.score:>8.1f}{show(100 * (report.fired_share or 0), ' %'):>14}"
        f"{show(report.wait):>8}{report.n_capped:>9}"
    )

# %% [markdown]
# ## Q-values: what it expects
#
# For an observation $s$ the network estimates the return of each action $a$, the **Q-value**:
#
# $$Q(s, a) \approx \mathbb{E}\left[r_1 + \gamma r_2 + \gamma^2 r_3 + \dots\right],
# \quad \gamma = 0.99,$$
#
# a reward of 1 for each brick (clipped), **discounted**, until the life is lost; and the greedy policy
# takes the action with the largest $Q$. So a Q-value is neither a score nor comparable with one. We
# store these numbers while the agent plays, and draw them next to the screen. The scale is the same
# through the whole game, and the action taken is orange.

# %%
from sb3_atari_course.course.breakout import draw_q_values, q_values_of, read_state

env = make_env()
names = env.unwrapped.get_action_meanings()
diary = []  # (Q-values, action, lives) of each frame


def write_down(frame, observation, action):
    """Store the Q-values at this frame; leave the frame as it is."""
    lives = read_state(env).lives
    diary.append((q_values_of(stages["best"], observation), int(action), lives))
    return frame


recording = record_game(stages["best"], env, seed=0, max_steps=MAX_STEPS, draw=write_down)
q_values = np.array([values for values, _, _ in diary])  # (frames, actions)
limits = (min(0.0, q_values.min()), max(0.0, q_values.max()))
assert all(values.argmax() == action for values, action, _ in diary[:-1])

drawn = (
    draw_q_values(frame, values, names, chosen=action, limits=limits, scale=2)
    for frame, (values, action, _) in zip(recording.frames, diary, strict=True)
)
video = write_video(OUT / "q_values.mp4", drawn, fps=15, scale=1)
show_video(video, width=560)
print(
    f"{video.stat().st_size / 1000:.0f} kB, {recording.n_steps} steps, {recording.score:g} points"
)

# %% [markdown]
# Things to see in the figure below. The four lines lie close together: most of the time it does not
# matter much which action is taken *now*. Where one of them falls, that action would miss the ball.
# And all of them rise until a brick is hit, which was what they expected; where a ball can no longer
# be saved they would fall together.

# %%
from matplotlib.figure import Figure

figure = Figure(figsize=(8, 3), dpi=90, layout="constrained")
axes = figure.subplots()
for action, name in enumerate(names):
    axes.plot(q_values[:, action], label=name, linewidth=0.9)
lost = [step for step in range(1, len(diary)) if diary[step][2] < diary[step - 1][2]]
axes.vlines(lost, *limits, colors="0.7", linestyles="dotted", label="a life lost")
axes.set_xlabel("agent step (4 frames)")
axes.set_ylabel("Q (discounted return)")
axes.legend(ncols=5, fontsize=8)
show_picture(figure, OUT / "q_values.png")
spread = np.ptp(q_values, axis=1)
print(
    f"largest Q: {q_values.max():.2f}; best and worst action differ by {spread.mean():.2f} (mean)"
)

# %% [markdown]
# ## The evaluation protocol: a score that can be compared
#
# Videos choose what they show, and five games are few. How a score is made is its **evaluation
# protocol**. `evaluate_games` is the one way in which scores are made here: full games, their true
# points (not clipped, not discounted), up to 30 frames of no-ops at the start, one action in twenty
# random, at most 108,000 frames, random play of the same games beside it. A score without its
# protocol means little: read the last line of it.

# %%
from functools import partial

from sb3_atari_course import evaluate_games

scores = {}
for name, model in stages.items():
    scores[name] = evaluate_games(
        model,
        BREAKOUT,
        n_games=1 if SMOKE else 10,
        seed=0,
        max_frames=1_000 if SMOKE else 108_000,
        env_wrapper=partial(wrap_atari, **seen),
        env_kwargs={"obs_type": "rgb"},
        random_play=name == "best",
    )
    print(f"{name:>14}: {scores[name].mean:.1f} +- {scores[name].std:.1f} (mean +- SD)")
print(scores["best"])

# %% [markdown]
# ## Exercise: which scores are comparable?
#
# A `Score` is a mean with its protocol. Two scores are **comparable** if both conditions hold:
#
# 1. the protocol is the same: `game`, `full_games`, `clipped`, `epsilon`, `sticky_actions`,
#    `noop_max` and `max_frames` are all equal. (Ids of environments that end with `-v4` and `-v5` are
#    the same game; what differs between them are sticky actions.)
# 2. `chosen_on_these` is False for both. If the agent was chosen among several by these very games,
#    its score is too high: the best of many is also a lucky one, and it is unknown by how much.
#
# Nothing else matters, not even the number of games: more games make a mean more precise, neither
# higher nor lower. Its precision is given by its **standard error**: the standard deviation of single
# games, divided by $\sqrt{n}$ for $n$ games. The standard error of the difference of two means is
#
# $$\sqrt{\frac{\text{std}_1^2}{n_1} + \frac{\text{std}_2^2}{n_2}}$$
#
# A **confidence interval** of 95 % reaches about two standard errors to both sides. If 0 is not in
# it, it is not likely that the luck of these games alone made the difference. The luck of the
# training is not in it: that needs several training runs.

# %%
import math
from typing import NamedTuple

from sb3_atari_course.course import check


class Score(NamedTuple):
    """A mean score of an agent, and how it was made."""

    agent: str
    game: str
    full_games: bool  # True: through all lives; False: each life counts as a game
    clipped: bool  # whether signs of rewards were summed, not points
    epsilon: float  # probability of a random action in the evaluation
    sticky_actions: float  # probability that the emulator repeats the last action
    noop_max: int  # most no-op frames at the start
    max_frames: int  # frames after which a game is cut off
    n_games: int
    chosen_on_these: bool  # whether the agent was chosen among several by these very games
    mean: float
    std: float  # standard deviation of single games


def comparable(first, second):
    """Return whether two scores may be compared."""
    # >>> return ...
    if first.chosen_on_these or second.chosen_on_these:
        return False
    protocol = ("game", "full_games", "clipped", "epsilon", "sticky_actions", "noop_max")
    return all(getattr(first, name) == getattr(second, name) for name in (*protocol, "max_frames"))
    # <<<


def difference(first, second):
    """Return (mean of first - mean of second, its standard error); None if not comparable."""
    # >>> return ...
    if not comparable(first, second):
        return None
    variance = first.std**2 / first.n_games + second.std**2 / second.n_games
    return first.mean - second.mean, math.sqrt(variance)
    # <<<


check("comparable")

# %% [markdown]
# The scores from above, and three others of Breakout: one as a training log shows it (an invented
# example: single lives, clipped rewards), the score by which our best agent was chosen among 15
# files, and DQN's in the paper (games of at most five minutes, 18,000 frames).

# %%
protocol = scores["best"].protocol
ways = {name: protocol[name] for name in ("clipped", "epsilon", "sticky_actions", "max_frames")}
ways |= {"game": "Breakout", "full_games": True, "chosen_on_these": False}
ways |= {"noop_max": protocol["noop_max_frames"]}
made = [
    Score(**ways, agent=name, n_games=len(report.scores), mean=report.mean, std=report.std)
    for name, report in scores.items()
]
learner = {**ways, "full_games": False, "clipped": True, "epsilon": 0.02}
others = [
    Score(**learner, agent="training log", n_games=100, mean=9.8, std=6.0),
    Score(**{**ways, "chosen_on_these": True}, agent="best of 15", n_games=10, mean=62.2, std=40.9),
    Score(**{**ways, "max_frames": 18_000}, agent="the paper's", n_games=30, mean=401.2, std=26.9),
]
best = made[-1]
for other in (*made[:-1], *others):
    result = difference(best, other)
    if result is None:
        print(f"best and {other.agent}: not comparable")
    else:
        low, high = result[0] - 2 * result[1], result[0] + 2 * result[1]
        print(f"best - {other.agent}: {result[0]:.1f}, 95 % interval {low:.1f} to {high:.1f}")

# %% [markdown]
# The paper's DQN is better than ours all the same: it trained for 50 million steps, ours for about
# one. But the two numbers do not show by how much.

# %% [markdown]
# ## What the numbers say
#
# The numbers in the text are those of the agents in `trained_agents/`; those of your own agents will
# differ.
#
# - **It learns to follow the ball, but not closely.** While the ball falls, the middle of the paddle
#   is 57 pixels away at random, in the stages 34, 44 and 35, and 31 at its best; who follows every
#   ball is within 8, half the paddle. Scores grow all the same: what counts is to be there in time,
#   and rallies grow from 1 to 15 returns and more.
# - **It digs a tunnel now and then.** Early and at 250,000 steps not a brick is hit from above; at
#   1,150,000 steps 15 % of them are, in the best's five games none. A game with a tunnel can bring
#   200 points and more, which is why some standard deviations are nearly as large as the mean.
# - **FIRE is a habit of the training, not of the agent.** These fire in at least 9 of 10 lives, though
#   no reward ever depended on it.
# - **The best is the best on the games that it was chosen on.** Of files that were saved in the second
#   half of the training it scored 62.2 in ten games; in the thirty others of its model card 52.3, and
#   77.2 in the ten above, one of which brought 267 points. Look at the standard errors before you
#   claim that one stage is better than another.
#
# ## Questions
#
# 1. An agent with a mean of 50 and a standard deviation of 20 played 25 games. How precise is the
#    mean? How many games halve its standard error?
#
# <details><summary>Answer</summary>
#
# The standard error is 20 / 5 = 4, the 95 % interval about 42 to 58. Half of it needs four times as
# many games: 100.
#
# </details>
#
# 2. Why are the rewards in a training log smaller than the scores of an evaluation, although it is
#    the same agent?
#
# <details><summary>Answer</summary>
#
# Rewards are clipped to their sign, so that a brick of the top row counts 1, not 7; an episode ends
# with each of five lives; and some actions are random (exploration).
#
# </details>
#
# 3. Ten agents that are equally good each play ten games, and the best mean is published. Is it too
#    high or too low? What helps?
#
# <details><summary>Answer</summary>
#
# Too high: the best of ten equal agents is the luckiest. It has to play other games that were not
# used for the choice, and that score is published.
#
# </details>
#
# 4. The Q-value at the start of a game is 3, the score of the game 60. Is the network wrong?
#
# <details><summary>Answer</summary>
#
# Not necessarily. The Q-value is discounted (with 0.99 a reward 100 steps ahead counts a third),
# clipped, and ends with the life; the score is none of that.
#
# </details>
#
# 5. Why does the evaluation need an epsilon above 0 in Breakout, and why does it use the same one for
#    all agents?
#
# <details><summary>Answer</summary>
#
# A greedy agent without any randomness would play only four different games (lesson 3), and might
# be stuck in one for ever. A random action costs more or less points depending on its probability,
# so scores at different epsilons are not comparable.
#
# </details>
#
# ## Further reading
#
# - M. Machado et al., *Revisiting the Arcade Learning Environment*, 2018,
#   https://arxiv.org/abs/1709.06009: how protocols differ between papers, and one for all.
# - R. Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical Precipice*, 2021,
#   https://arxiv.org/abs/2108.13264: intervals for scores of few training runs.
# - P. Henderson et al., *Deep Reinforcement Learning that Matters*, 2018,
#   https://arxiv.org/abs/1709.06560: how much seeds and implementations change a result.
# - The page "Evaluation protocol" of this project's documentation: all parts of ours, with commands.
#
# ## Try it yourself
#
# 1. Record a video of the early agent with its Q-values. How far apart are the four lines? Who is right?
# 2. Watch the best agent with `epsilon=0.05` instead of 0. Which of the numbers change, and why
#    might the score even grow?
# 3. Train with `fire_on_reset: false` in a copy of the yml. After how many steps does the agent
#    fire by itself? What does it learn in the meantime?
# 4. Hide the paddle: `crop=(30, 185, 5, 155)`. Can an agent learn Breakout without seeing itself?
