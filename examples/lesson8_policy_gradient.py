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
# # Lesson 8: Policy gradients, from REINFORCE to PPO
#
# **You will learn**
# - how to learn a policy directly, without Q-values: the policy gradient theorem;
# - REINFORCE from scratch in PyTorch (**exercise 6**), and what a baseline is for;
# - what PPO adds to it, and the clipped objective;
# - PPO next to DQN on Breakout, with the same network on the same number of steps, and what such a
#   short comparison can say.
#
# **Time** on 2 cores: about six minutes. **Expected result:** with each of three seeds your policy
# balances the pole for at least 195 of 500 steps, averaged over 100 games (ours: 477, 500 and 494).
# On Breakout both PPO and DQN play better than random after 40,000 steps.

# %%
import importlib.util
import subprocess
import sys

SOURCE = ""  # for pip: "sb3_atari_course[course] @ git+https://ADDRESS", or "FILE.whl[course]"
if importlib.util.find_spec("sb3_atari_course") is None:  # a hosted notebook
    assert SOURCE, "sb3_atari_course is not installed: set SOURCE above, ask your teacher for it"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", SOURCE], check=True)

from sb3_atari_course.course import begin

SMOKE, OUT = begin("lesson8")  # python lesson8_policy_gradient.py --smoke: every point, in seconds

# %%
import time
from collections import namedtuple
from functools import partial

import gymnasium as gym
import numpy as np
import torch
from matplotlib.figure import Figure
from stable_baselines3 import DQN, PPO
from torch import nn
from torch.distributions import Categorical

from sb3_atari_course import (
    AtariCNN,
    FrameReplayBuffer,
    evaluate_games,
    make_atari_env,
    wrap_atari,
)
from sb3_atari_course.course import check, show_picture
from sb3_atari_course.hyperparams import load_hyperparams

torch.set_num_threads(1)  # the networks are so small that a second thread only disturbs

# %% [markdown]
# ## A stochastic policy
#
# A **policy** is the rule by which an agent chooses its actions. In lessons 1 to 7 it came second:
# first Q-values, then their largest, or now and then a random action (epsilon-greedy). Now the
# network is the policy itself: from the state it computes a probability for each action, and the
# agent samples its action with these probabilities. That is a **stochastic policy**, written
# $\pi_\theta(a \mid s)$; $\theta$ are the weights of the network.
#
# The last layer of the network may return any numbers; they are called **logits**. The **softmax**
# makes probabilities of them, which are positive and sum to 1:
# $\pi(a \mid s) = e^{z_a} / \sum_b e^{z_b}$. `torch.distributions.Categorical` does that, samples,
# and computes **log-probabilities**, the logarithms $\log \pi(a \mid s)$:

# %%
logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])  # (2, 2): two states, a logit for each of 2 actions
policy_of_two_states = Categorical(logits=logits)
print("probabilities:    ", *policy_of_two_states.probs.numpy().round(3))
torch.manual_seed(0)
print("samples:          ", *(policy_of_two_states.sample().numpy() for _ in range(6)))
actions = torch.tensor([1, 1])  # action 1 in both states
print("log-probabilities:", policy_of_two_states.log_prob(actions).numpy().round(3))

# %% [markdown]
# Two consequences:
#
# - **Exploration** needs no epsilon. A new network has logits near 0, so that all actions are about
#   equally likely; while it learns, the good ones become likelier and the exploration fades.
# - DQN is **off-policy**: it learns from transitions of any policy, such as those in a replay
#   buffer which an older network has played. A policy gradient is **on-policy**: it averages over
#   what *this* policy does. After the update the policy is another one, and the episodes that it
#   has learned from must be thrown away.
#
# ## The policy gradient theorem
#
# The **return** of a step is the sum of the rewards from that step to the end of the episode, each
# later one multiplied by $\gamma$ once more:
#
# $$G_t = r_t + \gamma \, r_{t+1} + \gamma^2 r_{t+2} + \dots = r_t + \gamma \, G_{t+1}$$
#
# It is also called **reward-to-go**: what was earned *before* the step is not part of it, since the
# action could not change that any more. After the last step nothing is left, $G_T = 0$, also where
# a time limit cut the episode off: without value estimates REINFORCE has nothing to bootstrap from.
#
# We want the weights that make the expected return large, so we need its gradient. The environment
# is unknown and cannot be differentiated. The **policy gradient theorem** says that it need not be:
#
# $$\nabla_\theta \, \text{(expected return)} \;\propto\; \mathbb{E} \Bigl[ \sum_t (G_t - b) \, \nabla_\theta \log \pi_\theta(a_t \mid s_t) \Bigr]$$
#
# ($\nabla_\theta$ is the gradient with respect to the weights, $\propto$ means proportional to,
# $\mathbb{E}$ is the average over all episodes of this policy.)
#
# In words: play an episode; make each action that you took a bit likelier, the more the larger the
# return that followed. One episode is a noisy estimate of the average, but it is right on average
# (exactly so for $\gamma = 1$; with $\gamma < 1$ a factor $\gamma^t$ is left out, which is usual,
# since with it late steps would hardly count).
#
# **The baseline.** On CartPole every reward is 1, so that all returns are positive and *every*
# action becomes likelier, the good ones only more so. It is better to subtract a number $b$, the
# **baseline**, that says what is usual: better than usual becomes likelier, worse becomes less
# likely. Does that change the average? No, as long as $b$ does not depend on the action. What it
# adds is $b$ times the following, where $\nabla \log \pi = \nabla \pi / \pi$ is the chain rule:
#
# $$\mathbb{E} [ \nabla_\theta \log \pi_\theta(a \mid s) ] = \sum_a \pi_\theta(a \mid s) \, \frac{\nabla_\theta \pi_\theta(a \mid s)}{\pi_\theta(a \mid s)} = \nabla_\theta \sum_a \pi_\theta(a \mid s) = \nabla_\theta 1 = 0.$$
#
# So the estimate is as right as before (in the language of statistics it has no **bias**), and less
# noisy (it has less **variance**). Our baseline is a running mean of the returns of *earlier*
# episodes, so it does not depend on the action: after each episode it moves a bit, by
# `baseline_rate`, towards the mean of the returns of all its steps,
#
# $$b \leftarrow b + \text{rate} \cdot \bigl( \text{mean of the } G_t - b \bigr), \qquad b = 0 \text{ at the start.}$$
#
# ## Exercise 6: REINFORCE
#
# The algorithm is of Williams (1992):
#
# ```
# b <- 0
# repeat n_episodes times:
#     s <- a new episode
#     until the episode is over, or after max_steps:
#         a     <- sample an action with the probabilities of the policy
#         s', r <- do a;  keep s, a and r;  s <- s'
#     compute the returns G of all steps
#     update the policy once
#     b <- b + rate * (mean of the returns - b)
# ```
#
# PyTorch minimises, so what it gets is the negative of the formula's sum. The gradient of this
# **loss** is the update that we want (the loss itself says nothing about how well the agent plays):
#
# $$L = - \sum_t (G_t - b) \, \log \pi_\theta(a_t \mid s_t)$$
#
# $G_t$ and $b$ are plain numbers, only the log-probabilities depend on the weights. The loss is the
# **sum** over the steps of the episode, not their mean, and there is **one** step of the optimizer
# for each episode. Use the `policy` and the `optimizer` that are passed: policies and environments
# of other sizes are tried. A blank may become several lines.
#
# What you need of PyTorch; T is the number of steps of the episode:
#
# ```python
# torch.as_tensor(state)                       # a state of CartPole, (4,) float32, as a tensor
# torch.as_tensor(state)[None]                 # (1, 4): a batch of one; the policy returns (1, 2)
# policy(states)                               # (T, 4) -> (T, 2): a row of logits for each step
# Categorical(logits=policy(states))           # the probabilities of all rows
# Categorical(logits=...).sample()             # an action for each row; int(...) if it is one row
# Categorical(logits=...).log_prob(actions)    # (T,): the log-probability of each row's action
# a * b                                        # (T,) times (T,): number by number; .sum() adds them up
# float(returns.mean())                        # the mean of a tensor as a Python number
# with torch.no_grad(): ...                    # playing needs no gradient; the update does
#
# optimizer.zero_grad()                        # forget the last gradient
# loss.backward()                              # compute this one
# optimizer.step()                             # change the weights by it
# ```

# %%
# score: sum of the rewards, not discounted; baseline: the one that the update used
Game = namedtuple("Game", "number steps total_steps score baseline")


def discounted_returns(rewards, gamma):
    """Return the discounted return of each step of one episode, (T,) float32, in order."""
    # 1. from the last step back to the first: G_t = r_t + gamma * G_{t+1}
    # >>> returns = ...
    returns, following = [], 0.0
    for reward in reversed(rewards):
        following = reward + gamma * following
        returns.append(following)
    returns.reverse()
    # <<<
    return torch.tensor(returns, dtype=torch.float32)


def reinforce_update(policy, optimizer, states, actions, returns, baseline):
    """Learn from one episode: change policy by one optimizer step; return the loss, a float.

    states (T, n) float32, actions (T,) int64, returns (T,) float32; baseline is a number.
    """
    # 2. the log-probability of each action that was taken, (T,)
    # >>> log_probs = ...
    log_probs = Categorical(logits=policy(states)).log_prob(actions)
    # <<<
    # 3. the loss, a sum over the steps
    # >>> loss = ...
    loss = -((returns - baseline) * log_probs).sum()
    # <<<
    # 4. its gradient, one step of the optimizer
    # >>> ...
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    # <<<
    return loss.item()


def reinforce(
    env,
    policy,
    optimizer,
    *,
    n_episodes,
    max_steps,
    gamma,
    baseline_rate,
    report=lambda game: None,
):
    """Train policy; return a list with a Game for each episode."""
    games, total_steps, baseline = [], 0, 0.0
    for number in range(n_episodes):
        states, actions, rewards, done = [], [], [], False
        # 5. a new episode
        # >>> state, _ = ...
        state, _ = env.reset()
        # <<<
        while not done and len(rewards) < max_steps:
            # 6. sample an action with the probabilities of the policy
            # >>> action = ...
            with torch.no_grad():
                logits = policy(torch.as_tensor(state)[None])
            action = int(Categorical(logits=logits).sample())
            # <<<
            # 7. do it; append the state in which it was taken, the action and the reward to the lists
            # >>> next_state, reward, terminated, truncated, _ = ...
            # >>> ...
            next_state, reward, terminated, truncated, _ = env.step(action)
            states.append(state)
            actions.append(action)
            rewards.append(reward)
            # <<<
            state, done = next_state, terminated or truncated
        score = float(sum(rewards))
        total_steps += len(rewards)
        games.append(Game(number, len(rewards), total_steps, score, float(baseline)))
        states = torch.as_tensor(np.array(states))  # (T, n) float32
        actions = torch.as_tensor(actions)  # (T,) int64
        # 8. the returns of the episode; one update with them and the baseline
        # >>> returns = ...
        # >>> ...
        returns = discounted_returns(rewards, gamma)
        reinforce_update(policy, optimizer, states, actions, returns, baseline)
        # <<<
        # 9. the baseline moves towards the mean of these returns
        # >>> baseline = ...
        baseline = baseline + baseline_rate * (float(returns.mean()) - baseline)
        # <<<
        report(games[-1])
    return games


# %%
check("reinforce")

# %% [markdown]
# ## Training
#
# CartPole again (lesson 2): four numbers in, two actions, a reward of 1 for each step, the time
# limit at 500 steps. The network is as small as that of lesson 2; its last layer has no activation:
# logits may be of any size and sign.
#
# Three seeds with the baseline and the same three without it: with `baseline_rate=0` it stays 0.


# %%
def train(seed, baseline_rate):
    """Train a new policy on CartPole; return it and its games."""
    torch.manual_seed(seed)  # decides the first weights, and every sampled action
    policy = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
    env = gym.make("CartPole-v1")
    env.reset(seed=seed)  # later resets without a seed continue from here
    games = reinforce(
        env,
        policy,
        torch.optim.Adam(policy.parameters(), lr=0.002),
        n_episodes=5 if SMOKE else 300,
        max_steps=500,
        gamma=0.99,
        baseline_rate=baseline_rate,
    )
    return policy, games


SEEDS = (0,) if SMOKE else (0, 1, 2)
trained = {}  # (name, seed) -> policy, games
for name, rate in (("with baseline", 0.1), ("without", 0.0)):
    for seed in SEEDS:
        began = time.perf_counter()
        trained[name, seed] = train(seed, rate)
        games = trained[name, seed][1]
        last = np.mean([game.score for game in games[-50:]])
        print(f"{name:13}, seed {seed}: {games[-1].total_steps:6} steps in", end=" ")
        print(f"{time.perf_counter() - began:2.0f} s, the last 50 games scored {last:.0f}")

# %%
figure = Figure(figsize=(6.4, 2.8), dpi=90, layout="constrained")
axes = figure.subplots()
for (name, seed), (_, games) in trained.items():
    scores = [game.score for game in games]
    means = [np.mean(scores[max(0, i - 19) : i + 1]) for i in range(len(scores))]
    color = "tab:blue" if name == "with baseline" else "tab:orange"
    axes.plot(means, color=color, label=f"{name}, {len(SEEDS)} seeds" if seed == 0 else None)
axes.set(xlabel="game", ylabel="score (steps), mean of 20 games")
axes.legend()
show_picture(figure, OUT / "training.png")

# %% [markdown]
# These are the scores of the *sampling* policy while it learns: not discounted, like all scores of
# this lesson. ($\gamma$ is part of what the agent maximises, not of how we judge it.) With the
# baseline the last 50 games scored 350 to 470 when we ran it, without it 280 to 350: it helped with
# each of the three seeds, but the seeds differ nearly as much as the two ways do.
#
# ## How good is it?
#
# 100 games for each of the three policies with a baseline, the same games for all, with the
# likeliest action of each state instead of a sample. The score is not discounted: the number of
# steps, at most 500.


# %%
class Player:
    """Plays the likeliest action of a policy; `predict` is what SB3's models have."""

    def __init__(self, policy):
        self.policy = policy

    def predict(self, observation, *, deterministic=True):
        with torch.no_grad():
            logits = self.policy(torch.as_tensor(np.asarray(observation), dtype=torch.float32))
        return logits.argmax(dim=-1).numpy(), None


for seed in SEEDS:
    player = Player(trained["with baseline", seed][0])
    report = evaluate_games(
        player, "CartPole-v1", n_games=2 if SMOKE else 100, seed=1000, epsilon=0.0
    )
    print(f"seed {seed}: {report.mean:5.1f} +- {report.std:5.1f}", end=" ")
    print(f"(mean +- standard deviation of {len(report.scores)} games)")
    assert SMOKE or report.mean >= 195

# %% [markdown]
# The "+-" is the spread between games of one policy; the three lines show the spread between
# trainings. Compare both with lesson 2: DQN needed about 50,000 steps for its 350 games. What
# REINFORCE does not do: it uses each step once and then forgets it, and it waits for the end of the
# episode before it learns.
#
# ## From REINFORCE to PPO
#
# **PPO** (proximal policy optimization, Schulman et al. 2017) is the same idea with four changes:
#
# - **Many environments** are played side by side for a fixed number of steps; their steps are kept
#   in a **rollout buffer**, learned from, and thrown away.
# - **A critic**: the baseline is no longer one number but a second output of the network, the
#   **state value** $V(s)$, the return that is usual *from this state on*. Return minus baseline is
#   called the **advantage** $A$ of an action.
# - **Generalized advantage estimation** (GAE, $\lambda = 0.95$): the return need not be waited for.
#   As in Q-learning, the estimate $V(s')$ may stand for what comes later (**bootstrapping**). One
#   step of true rewards has little noise but trusts $V$; with the rewards of all steps it is
#   REINFORCE; $\lambda$ mixes both.
# - **Several epochs**: each step is used several times. But after the first update the steps are of
#   an older policy. The ratio $\rho_t = \pi_\theta(a_t \mid s_t) \, / \, \pi_{old}(a_t \mid s_t)$
#   corrects for that, and PPO **clips** it, so that one rollout cannot carry the policy far away:
#
# $$L = - \frac{1}{N} \sum_t \min \bigl( \rho_t A_t, \; \text{clip}(\rho_t, 1 - \epsilon, 1 + \epsilon) \, A_t \bigr)$$
#
# (This $\epsilon$, 0.1 or 0.2, has nothing to do with exploring.) At the first update $\rho_t = 1$
# and the gradient is that of REINFORCE. Once a good action has become likelier by more than
# $\epsilon$, the second term is a constant: no gradient, no further push. The figure shows it.

# %%
ratios, epsilon = np.linspace(0.5, 1.5, 201), 0.2
figure = Figure(figsize=(6.4, 2.2), dpi=90, layout="constrained")
for axes, advantage in zip(figure.subplots(1, 2), (1.0, -1.0), strict=True):
    clipped = np.clip(ratios, 1 - epsilon, 1 + epsilon) * advantage
    axes.plot(ratios, ratios * advantage, ":", label="ratio x advantage")
    axes.plot(ratios, np.minimum(ratios * advantage, clipped), label="clipped objective")
    axes.set(xlabel="ratio of the probabilities", title=f"advantage {advantage:+.0f}")
    axes.legend(fontsize=8)
show_picture(figure, OUT / "clipping.png")

# %% [markdown]
# ## PPO next to DQN on Breakout
#
# Nothing in our wrappers or in `AtariCNN` is special to DQN: `make_atari_env` returns an SB3
# `VecEnv`, and `AtariCNN` is a features extractor, the part of the network that comes before the
# values or logits, for any of SB3's algorithms. (A shorter example is
# `examples/ppo_with_our_pieces.py`.) So both get the same eight environments, the same small
# network (42 x 42 pixels, as in `hyperparams/dqn_laptop.yml`), the same 40,000 agent steps of 4
# frames.
#
# - **PPO**: RL Zoo's settings for Atari games (`atari` in its `ppo.yml`: 8 environments, 128 steps
#   of each, 4 epochs, batches of 256, clipping that falls in a straight line from 0.1 to 0). They
#   are made for 10 million steps; for a run that is 250 times shorter the learning rate is ours,
#   from 0.001 to 0. With RL Zoo's 0.00025 the same run stayed at the score of random play.
# - **DQN**: the settings of `hyperparams/dqn_laptop.yml`, which are made for 100,000 steps, without
#   its dueling heads (a value of the state and an advantage of each action, which are added). One
#   gradient step for every four agent steps, as there: eight after four steps of eight
#   environments.

# %%
GAME = "BreakoutNoFrameskip-v4"
entry = load_hyperparams("dqn_laptop")[GAME]
wrapper_kwargs = entry["env_wrapper"][0]["sb3_atari_course.envs.wrap_atari"]
n_stack = wrapper_kwargs.pop("n_stack")
network = {
    "features_extractor_class": AtariCNN,
    "features_extractor_kwargs": entry["policy_kwargs"]["features_extractor_kwargs"],
}
FROM_YML = ("buffer_size", "learning_rate", "batch_size", "train_freq", "target_update_interval")
FROM_YML += ("gamma", "exploration_fraction", "exploration_final_eps", "replay_buffer_kwargs")


def make_env():
    """Return eight environments of Breakout."""
    return make_atari_env(GAME, n_envs=8, seed=0, n_stack=n_stack, wrapper_kwargs=wrapper_kwargs)


models = {
    "PPO": PPO(
        "CnnPolicy",
        make_env(),
        n_steps=32 if SMOKE else 128,  # of each environment: a rollout of 1,024 steps
        n_epochs=4,
        batch_size=256,  # steps
        learning_rate=lambda left: 0.001 * left,  # left: part of the training, 1 to 0; zoo: 0.00025
        clip_range=lambda left: 0.1 * left,
        vf_coef=0.5,  # weight of the critic's loss
        ent_coef=0.01,  # weight of the entropy: keeps the policy from deciding too early
        gamma=0.99,
        gae_lambda=0.95,
        seed=0,
        policy_kwargs=network,
    ),
    "DQN": DQN(
        "CnnPolicy",
        make_env(),
        learning_starts=100 if SMOKE else entry["learning_starts"],  # steps
        gradient_steps=8,
        replay_buffer_class=FrameReplayBuffer,
        seed=0,
        policy_kwargs=network,
        **{key: entry[key] for key in FROM_YML},
    ),
}

# %%
N_STEPS = 256 if SMOKE else 40_000
rows = []
for name, model in models.items():
    updates = []
    model.policy.optimizer.register_step_post_hook(lambda *_: updates.append(1))  # noqa: B023
    began = time.perf_counter()
    model.learn(N_STEPS)
    seconds = time.perf_counter() - began
    report = evaluate_games(
        model,
        GAME,
        n_games=1 if SMOKE else 20,
        seed=1000,
        max_frames=1000 if SMOKE else 108_000,
        env_wrapper=partial(wrap_atari, **wrapper_kwargs, n_stack=n_stack),
        random_play=name == "DQN",  # once is enough, they are the same games
    )
    rows.append((name, model.num_timesteps, seconds, len(updates), report))

rollout = models["PPO"].rollout_buffer
n_bytes = {
    "PPO": sum(value.nbytes for value in vars(rollout).values() if isinstance(value, np.ndarray)),
    "DQN": models["DQN"].replay_buffer.memory_needed().high,
}
print("algorithm    steps  seconds  gradient steps  full buffer (MB)  score")
for name, n_steps, seconds, n_updates, report in rows:
    print(f"{name:9} {n_steps:8,} {seconds:8.0f} {n_updates:15,}", end=" ")
    print(f"{n_bytes[name] / 1e6:17.1f}  {report.mean:.1f} +- {report.std:.1f}")
print(f"random play: {report.random_mean:.1f}")
assert SMOKE or all(row[-1].mean > report.random_mean for row in rows)

# %% [markdown]
# The score is the mean +- standard deviation of 20 whole games with the points of the game: not
# discounted, not clipped, with the likeliest action (PPO) or the largest Q-value (DQN) and 5 %
# random actions for both. PPO ends its last rollout, hence the few steps more.
#
# **What this run can say.** PPO made a fraction of the gradient steps in less time: it learns from
# large batches, and no replay buffer is needed, only a rollout of 1,024 steps. DQN uses each step
# about eight times, PPO four times: DQN gets more out of few steps (it is more **sample-efficient**
# here), PPO out of few seconds.
#
# **What it cannot say.** That one of the two is better. It is one seed each: another seed can
# change the order. One learning rate of PPO was tried besides RL Zoo's, and DQN's settings had been
# tuned for runs of this length before. And 40,000 steps are 250 times fewer than the 10 million of
# PPO's paper and of RL Zoo's agents, and 1,250 times fewer than the 50 million of DQN's paper. What
# would be fair: the same effort of tuning for both, five seeds, and several lengths of training
# (lesson 6).
#
# ## Questions
#
# **1.** Why does a policy gradient need no epsilon, and what can go wrong with its exploration?
#
# <details><summary>Answer</summary>
#
# The actions are sampled, so that every action with a probability above 0 is tried now and then.
# But the policy can become sure too early: once an action has the probability 0.001 it is hardly
# ever tried again, even if it is the best. PPO's entropy term (`ent_coef`) works against that.
#
# </details>
#
# **2.** Why is $G_t$ the sum from step $t$ on, not the return of the whole episode?
#
# <details><summary>Answer</summary>
#
# An action cannot change the rewards before it. They would only add noise to the estimate: on
# average their contribution is 0, for the same reason as that of the baseline.
#
# </details>
#
# **3.** Someone subtracts the mean of the returns of the *same* episode. Does that bias the
# gradient?
#
# <details><summary>Answer</summary>
#
# A little: this mean depends on the actions of the episode, and the proof that a baseline adds 0
# needs one that does not. Many programs do it all the same, and divide by the standard deviation,
# because it often learns faster. The mean of earlier episodes has no such bias.
#
# </details>
#
# **4.** Why may DQN learn from a transition that is 50,000 steps old, and PPO not?
#
# <details><summary>Answer</summary>
#
# DQN's target, $r + \gamma \max_{a'} Q(s', a')$, does not ask who chose the action: it is
# off-policy. The policy gradient is an average over what the present policy does. PPO's ratio
# corrects for a policy that is a few updates old; for a much older one it would be far from 1, and
# clipped.
#
# </details>
#
# **5.** With a positive advantage and a ratio of 1.3 ($\epsilon = 0.2$): what is PPO's gradient for
# this step, and why? And with a negative advantage?
#
# <details><summary>Answer</summary>
#
# Positive: 0, since the clipped term, 1.2 times the advantage, is the smaller one and does not
# depend on the weights; the action has become likelier enough. Negative: 1.3 times the advantage is
# the smaller one, so that the gradient is not 0: the action has become likelier although it was
# bad, and this must be undone.
#
# </details>
#
# ## Further reading
#
# - Richard S. Sutton and Andrew G. Barto, *Reinforcement Learning: An Introduction*, second
#   edition, 2018, chapter 13 (<http://incompleteideas.net/book/the-book-2nd.html>): the policy
#   gradient theorem with its proof, REINFORCE with and without a baseline, actor and critic.
# - Ronald J. Williams, *Simple statistical gradient-following algorithms for connectionist
#   reinforcement learning*, Machine Learning 8, 1992: where REINFORCE and the baseline come from.
# - John Schulman et al., *Proximal Policy Optimization Algorithms*, 2017
#   (<https://arxiv.org/abs/1707.06347>), sections 3 and 5: the clipped objective, and the algorithm
#   on one page.
# - Stable-Baselines3, *PPO*
#   (<https://stable-baselines3.readthedocs.io/en/master/modules/ppo.html>): every argument of the
#   class that you have just used.
#
# ## Try it yourself
#
# 1. `gamma=1.0` and `gamma=0.9` on CartPole: which one learns faster, and which one balances longer
#    in the end? What is the largest return that each can have?
# 2. Replace the baseline by the mean of the episode's own returns, and divide by their standard
#    deviation (question 3). How do the curves of three seeds change?
# 3. `lr=0.01`: what does the curve do after it has reached 500, and why does a single bad update
#    hurt a policy gradient more than DQN? Which two of PPO's changes are against that?
# 4. PPO with `n_epochs=1` and with `n_epochs=10` on Breakout: how many gradient steps, and which
#    score? Give both the same number of seconds instead of steps: does the order change?
