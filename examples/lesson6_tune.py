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
# # Lesson 6: Tune it
#
# **You will learn**
# - what a study, a trial and a score are, and why the score is the difficult part;
# - how Optuna searches, and what pruning saves;
# - which of the hyperparameters mattered, and how sure one can be of that;
# - how the best yml goes back into training, and whether it was more than luck.
#
# **Time** on 2 cores: about six minutes. **Expected result:** within 5,000 steps of CartPole the
# best yml of a small study beats the one that it began with. Trained again with seeds that were not
# part of the study, it wins by less.

# %%
import importlib.util
import subprocess
import sys

SOURCE = ""  # for pip: "sb3_atari_course[course] @ git+https://ADDRESS", or "FILE.whl[course]"
if importlib.util.find_spec("sb3_atari_course") is None:  # a hosted notebook
    assert SOURCE, "sb3_atari_course is not installed: set SOURCE above, ask your teacher for it"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", SOURCE], check=True)

from sb3_atari_course.course import begin

SMOKE, OUT = begin("lesson6")  # python lesson6_tune.py --smoke: every point, in seconds

# %%
import numpy as np
import optuna
import pandas as pd
from matplotlib.figure import Figure

from sb3_atari_course import evaluate_games
from sb3_atari_course.course import run_command, show_picture
from sb3_atari_course.tuning.space import load_space
from sb3_atari_course.zoo.run_folder import find_run

# %% [markdown]
# ## What is tried
#
# A **trial** is one training with one choice of hyperparameters; a **study** is many of them. The
# choices come from a space, a yml file: some values, or all numbers between two. This is ours for
# small environments:

# %%
for name, domain in load_space("dqn", "CartPole-v1").items():
    print(f"{name:24} {domain}")

# %% [markdown]
# Even with three values for each of 13 parameters there are $3^{13} = 1{,}594{,}323$ choices. We try
# three dozen, of six parameters that matter often. Learning rates are tried on a **logarithmic**
# scale: from 0.0001 to 0.001 is as far as from 0.001 to 0.01.
#
# **How Optuna chooses.** The first trial is the yml as it stands, some more are random. Then TPE
# divides the finished trials into good and bad ones, $l(x)$ and $g(x)$ being how densely each group
# lies around a choice $x$, and tries next where $l(x) / g(x)$ is large: where good trials are close
# and bad ones are not.
#
# **Pruning.** Each training is scored four times. One whose best score so far is below the median of
# the others at the same step is stopped, and its time given to the next.
#
# ## The study

# %%
N_STEPS, N_TRIALS = (1200, 2) if SMOKE else (5000, 36)
study_command = (
    *("tune", "--algo", "dqn", "--env", "CartPole-v1", "-n", N_STEPS, "--n-trials", N_TRIALS),
    *("--only", "learning_rate", "gamma", "n_steps", "train_freq", "updates_per_step"),
    "target_update_interval",
    *("--n-startup-trials", 5, "--n-games", 3 if SMOKE else 10, "--seed", 0),
    *(("--n-evaluations", 2) if SMOKE else ()),
    *("--num-threads", 1, "-f", OUT / "studies"),
)
run_command(*study_command, show=4)

# %% [markdown]
# It may be killed at any moment and started again: the same command goes on, and a second one in
# another terminal helps. With a database (`--storage postgresql://...`) other machines can, too.
#
# ## The trials
#
# The ten best that were finished. A pruned trial was stopped early; what Optuna keeps of it is its
# last score.

# %%
study_folder = OUT / "studies" / "dqn_CartPole-v1"
trials = pd.read_csv(study_folder / "trials.csv")
trials.columns = [column.removeprefix("params_") for column in trials.columns]
shown = ["number", "value", "state", "learning_rate", "gamma", "n_steps", "train_freq"]
finished = trials[trials.state == "COMPLETE"].sort_values("value", ascending=False)
print(finished[shown].head(10).to_string(index=False))
print(f"{len(finished)} finished, {(trials.state == 'PRUNED').sum()} pruned")
assert trials.state.isin(["COMPLETE", "PRUNED"]).sum() >= N_TRIALS

# %% [markdown]
# ## Which parameter mattered?
#
# Optuna asks of each parameter: how differently do its values lie among the best trials and among
# all? (PED-ANOVA; the numbers add up to 1.) With so few trials the answer is a rumour, not a fact:
# run the study with another `--seed` and compare.

# %%
journal = optuna.storages.journal.JournalFileBackend(str(study_folder / "journal.log"))
study = optuna.load_study(
    study_name=study_folder.name, storage=optuna.storages.JournalStorage(journal)
)
importances = optuna.importance.get_param_importances(
    study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
)
figure = Figure(figsize=(6, 2.2), dpi=90, layout="constrained")
axes = figure.subplots()
names = list(importances)[::-1]
axes.barh(names, [importances[name] for name in names])
axes.set_xlabel("importance (share of all)")
show_picture(figure, OUT / "importances.png")

# %%
figure = Figure(figsize=(6, 2.4), dpi=90, layout="constrained")
axes = figure.subplots()
in_order, pruned = finished.sort_values("number"), trials[trials.state == "PRUNED"]
axes.plot(in_order.number, in_order.value, "o", label="finished")
axes.plot(pruned.number, pruned.value, "x", color="0.6", label="pruned: its last score")
best_so_far = in_order.value.cummax()
axes.step(in_order.number, best_so_far, where="post", color="tab:red", label="best so far")
axes.set(xlabel="trial", ylabel="mean score of its games")
axes.legend(fontsize=8)
show_picture(figure, OUT / "history.png")

# %% [markdown]
# ## The best yml, back into training
#
# `best.yml` is a file as RL Zoo reads it, so that stock RL Zoo trains it too.

# %%
print((study_folder / "best.yml").read_text())

# %% [markdown]
# Now the honest part. The best of many lucky and unlucky trainings is probably a lucky one: its
# score is **too good**. So both yml files are trained with seeds that the study has not seen, and
# play games that it has not seen.


# %%
def train_and_score(name, yml, seeds):
    """Train a yml with some seeds; return the mean score of each agent."""
    means = []
    for seed in seeds:
        folder = OUT / "logs" / name
        run_command(
            *("train", "--algo", "dqn", "--env", "CartPole-v1", "-conf", yml),
            *("-n", N_STEPS, "--seed", seed, "-f", folder, "--eval-freq", -1),
            *("--num-threads", 1),
        )
        model = find_run("dqn", "CartPole-v1", folder).load_model()
        report = evaluate_games(
            model, "CartPole-v1", n_games=5 if SMOKE else 50, seed=1000, epsilon=0.0
        )
        means.append(report.mean)
    return np.array(means)


SEEDS = (101,) if SMOKE else (101, 102, 103)
best = train_and_score("best", study_folder / "best.yml", SEEDS)
first = train_and_score("first", "sb3_atari_course.hyperparams.dqn", SEEDS)

# %%
for name, means in (("best.yml", best), ("our dqn.yml", first)):
    print(f"{name:22} {means.mean():6.1f}   each seed: {np.round(means, 1).tolist()}")
print(f"{'best.yml in the study':22} {study.best_value:6.1f}")

# %% [markdown]
# Three seeds are few: look at how far they lie apart before you believe the difference. (A study of
# half an hour and five seeds is in `docs/results.md`, with intervals.)
#
# ## From here
#
# ```
# python -m sb3_atari_course tune --algo dqn --env CartPole-v1 -n 10000 --workers 2
# python -m sb3_atari_course tune --algo dqn --env BreakoutNoFrameskip-v4 --only crop shape dueling learning_rate
# python -m sb3_atari_course tune --algo dqn --env CartPole-v1 --list-params
# ```
#
# `docs/guide/tuning.md` has the rest: spaces of your own, several machines, what may be killed.
#
# ## Try it yourself
#
# 1. `--sampler random` with the same number of trials: does TPE win? How many seeds of the study
#    would you need to tell?
# 2. `--n-repeats 3`: each trial is the mean of three trainings. Which is better, 12 such trials or
#    36 single ones?
# 3. `--pruner none`: how many more minutes, and is the best trial another one?
# 4. Tune for 5,000 steps, then train the best yml for 50,000. Is what is best early best late?
