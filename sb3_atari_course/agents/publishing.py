"""Publishing the agents of a run: choose the best, slim, score, describe it in a card."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
import yaml
from huggingface_sb3 import EnvironmentName
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.save_util import load_from_zip_file, save_to_zip_file

from sb3_atari_course._common.passwords import command_without_passwords, without_passwords
from sb3_atari_course._common.validation import boolean, integer_at_least, probability
from sb3_atari_course.agents.agent_card import describe, write_card
from sb3_atari_course.checkpoints.folder import unfinished_checkpoint
from sb3_atari_course.envs import import_packages
from sb3_atari_course.report.curves import plot_run
from sb3_atari_course.report.run_data import RunCurves, RunFacts, read_progress, read_run
from sb3_atari_course.zoo.run_folder import (
    PROVENANCE,
    Run,
    check_model,
    checkpoints_of,
    find_provenance,
    find_run,
    from_here,
    portable,
    run_number,
)

#: RL Zoo's name of the best model (``--load-best``).
_BEST = "best_model.zip"


def publish(
    run_folder: str | Path,
    folder: str | Path = "my_agents",
    *,
    stages: Sequence[int] = (),
    n_games: int = 30,
    seed: int = 1000,
    selection_games: int = 10,
    selection_seed: int = 500,
    epsilon: float | None = None,
    device: str = "cpu",
    gym_packages: Sequence[str] = (),
    progress_bar: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Publish the agents of a finished run: small files, settings, curve and card.

    The best is chosen on games of its own: among the last model, that of RL Zoo's evaluations and
    the checkpoints of the second half of the training. It becomes both the agent and
    ``best_model.zip``; ``stages`` are shipped beside it. Each is scored once, as it was written.
    FastDQN's agents are published as DQN's, which they are.

    :param run_folder: of RL Zoo or our launcher, ``logs/dqn/CartPole-v1_1``, from a trusted hand:
        its files are unpickled.
    :param folder: in RL Zoo's layout; the agents come to ``folder/ALGO/ENV_1``, which must not be
        there.
    :param stages: steps of checkpoints (``--save-freq``) to be shipped.
    :param n_games: whole games of each score.
    :param seed: of these games.
    :param selection_games: whole games by which each file is judged.
    :param selection_seed: of those games.
    :param epsilon: probability of a random action in all of them; None for 0.05 in an Atari game,
        else 0.
    :param device: of PyTorch, on which they are played.
    :param gym_packages: modules to import that register the environment, in addition to those
        that the training has noted.
    :param progress_bar: show on stderr what is played, and how far it has come.
    :param say: gets lines about the progress.
    :return: the folder of the agents.
    :raises ValueError: for a folder that is not a finished run, a missing checkpoint, equal seeds,
        a number out of range, an agent that no card can describe, a folder that cannot be written,
        and if the agents are there already.
    :raises ImportError: without the extra ``plots``.
    """
    if seed == selection_seed:
        raise ValueError(
            f"seed and selection_seed are both {seed}: who is chosen on the games of the score"
            " scores too well, take two"
        )
    for name, least, value in (
        ("n_games", 1, n_games),
        ("seed", 0, seed),
        ("selection_games", 1, selection_games),
        ("selection_seed", 0, selection_seed),
    ):
        integer_at_least(least, name, value)
    if epsilon is not None:
        probability("epsilon", epsilon)
    boolean("progress_bar", progress_bar)
    import_packages(gym_packages)
    curves = read_run(run_folder)
    find = _finder(curves)
    final = find()
    _check_run(final, stages)
    algo, name = PLAYED_BY.get(final.algo, final.algo), EnvironmentName(final.env_id)
    target = Path(folder) / algo / f"{name}_1"
    if target.exists():
        raise ValueError(f"{target} is there already: remove it, or publish to another folder")

    candidates = _candidates(final, find)
    games: dict[str, Any] = {"epsilon": epsilon, "device": device, "progress_bar": progress_bar}
    aside = target.with_name(f"{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)  # of a publishing that was interrupted
    try:
        aside.mkdir(parents=True)
        chosen_on = {"seed": selection_seed, "n_games": selection_games}
        best, means = _choose_best(candidates, **chosen_on, **games)
        say(f"best of {means}: {best.model_path.name}")
        sources = {f"rl_model_{n}_steps.zip": find(load_checkpoint=n) for n in stages}
        sources[_BEST] = best
        scores: dict[str, Any] = {}
        for file, source in sources.items():
            write_slim(source.model_path, aside / file)
            agent = replace(source, algo=algo, folder=aside, model_path=aside / file)
            report = agent.evaluate(n_games=n_games, seed=seed, **games)
            say(f"{file}: {report.summary()}")
            scores[file] = json.loads(json.dumps(report.as_dict()))  # tuples become lists
        shutil.copyfile(aside / _BEST, aside / f"{name}.zip")  # what RL Zoo plays by default
        steps = {file: _steps_of(source) for file, source in sources.items()}
        when = {
            file: {"steps": n, "minutes": wall_clock(final.folder, n)} for file, n in steps.items()
        }
        write_settings(aside / name, curves.facts)
        plot_run(final.folder, output=aside)
        write_card(
            aside,
            agent.load_model("cpu"),
            env_id=final.env_id,
            training={**describe_training(curves), "agents": when},
            selection={"chosen": best.model_path.name, **chosen_on, "means": means},
            scores={**scores, f"{name}.zip": scores[_BEST]},
        )
        os.replace(aside, target)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError):
            raise ValueError(
                f"{target} cannot be written: {error}; choose another folder"
            ) from error
        raise
    return target


def _finder(curves: RunCurves) -> Callable[..., Run]:
    """Return ``find_run`` for the files of one run folder."""
    facts = curves.facts
    folder = facts.folder.resolve()
    algo, env_id, number = str(facts.algo), str(facts.env_id), run_number(folder)
    if (folder.parent.name, folder.name) != (algo, f"{EnvironmentName(env_id)}_{number}"):
        raise ValueError(
            f"{facts.folder} of {algo} on {env_id} is not a run folder of RL Zoo, such as"
            " logs/dqn/CartPole-v1_1, with its args.yml"
        )
    if not facts.is_finished or unfinished_checkpoint(facts.folder) is not None:
        raise ValueError(f"the training in {facts.folder} is not finished: resume it first")
    import_packages(facts.arguments.get("gym_packages") or [])
    return partial(find_run, algo, env_id, folder.parents[1], exp_id=number or 0)


def _check_run(final: Run, stages: Sequence[int]) -> None:
    """Refuse before the first game what could not be published after the last one."""
    known = checkpoints_of(final.folder)
    missing = sorted(set(stages) - set(known))
    if missing:
        raise ValueError(
            f"no checkpoint after {missing} steps in {final.folder}: it has those after {known}"
            " (--save-freq)"
        )
    if final.hyperparams.get("normalize"):
        raise ValueError(
            f"{final.folder} was trained with normalize, whose statistics no published agent"
            " holds: share the run folder itself"
        )
    check_model(final.model_path)
    final.env_wrapper()
    describe(final.load_model("cpu"))


def _candidates(final: Run, find: Callable[..., Run]) -> list[Run]:
    """Return who may be the best: the last, the evaluations' best, checkpoints after half time.

    :raises ValueError: for a file that cannot be opened.
    """
    candidates = [final]
    if (final.folder / _BEST).is_file():
        candidates.append(find(load_best=True))
    end = _steps_of(final)
    later = [n for n in reversed(checkpoints_of(final.folder)) if end / 2 <= n < end]
    candidates += [find(load_checkpoint=n) for n in later]
    for run in candidates:
        _steps_of(run)
    return candidates


def _steps_of(run: Run) -> int:
    """Return the agent steps after which a model was saved.

    :raises ValueError: if its file cannot be opened.
    """
    try:
        return run.load_model("cpu").num_timesteps
    except Exception as error:  # what unpickling may raise
        raise ValueError(f"{run.model_path} cannot be opened: {error!r}; remove it") from error


def _choose_best(
    candidates: list[Run], *, seed: int, n_games: int, **settings: Any
) -> tuple[Run, dict[str, float]]:
    """Score each file; return the best, of equal ones the first, and name of the file -> mean."""
    means = {
        run.model_path.name: round(
            run.evaluate(seed=seed, n_games=n_games, random_play=False, **settings).mean, 3
        )
        for run in candidates
    }
    return max(candidates, key=lambda run: means[run.model_path.name]), means


#: Of what SB3 saves: the last screens, episodes for its log, a folder of the machine that trained.
_OF_A_TRAINING = (
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
    "ep_info_buffer",
    "ep_success_buffer",
    "tensorboard_log",
    "lr_schedule",  # made from learning_rate; pickled functions hold the path of their source
)
#: Settings of FastDQN that SB3's DQN does not have.
_OF_FAST_DQN = ("double_q", "compile")


def write_slim(source: Path, path: Path) -> None:
    """Write an agent's zip for playing.

    The optimiser's state is left out (its settings stay), and a target network becomes the online
    one, whose tensors the file then holds once: a quarter of DQN's file is left. SB3's own ``load``
    opens it, and so does ``load_agent``. A training that begins with it begins with new averages.
    With random actions it plays by the epsilon at which its training was to end, as its card says,
    not by that of its moment: RL Zoo's ``enjoy`` of an early agent shows what that had learned.

    :param source: saved by SB3, from a trusted hand: it is unpickled.
    :param path: of the new zip.
    :raises ValueError: if the source has no settings.
    """
    data, parameters, variables = load_from_zip_file(source, device="cpu")
    if data is None:
        raise ValueError(f"{source} holds no settings: is it an agent that SB3 has saved?")
    for name in (*_OF_A_TRAINING, *_OF_FAST_DQN):
        data.pop(name, None)
    if {"exploration_rate", "exploration_final_eps"} <= set(data):
        data["exploration_rate"] = data["exploration_final_eps"]
    if data.get("replay_buffer_class") is NStepReplayBuffer:
        data["replay_buffer_class"] = None  # SB3 chooses it again for n_steps, else it would warn
        for name in ("n_steps", "gamma"):
            data["replay_buffer_kwargs"].pop(name, None)
    states: list[Any] = [*parameters.values()]  # SB3 types them as tensors
    for state in states:
        if "param_groups" in state:
            state["state"] = {}
        else:
            _share_targets(state)
    save_to_zip_file(path, data=data, params=parameters, pytorch_variables=variables)


def _share_targets(state: dict[str, Any]) -> None:
    """Let a target network's tensors be those of the online network."""
    for name in state:
        online = state.get(name.replace("_target.", "."))
        if "_target." in name and isinstance(online, th.Tensor):
            state[name] = online


#: Our algorithms whose agents one of stock RL Zoo's plays -> its name.
PLAYED_BY = {"fast_dqn": "dqn"}
#: Settings that stock RL Zoo, or the algorithm in it, does not have.
_OURS = ("double_q", "compile", "callback")
#: Of the arguments of a training: those that are read when its agent plays.
_ARGUMENTS = ("env", "env_kwargs", "gym_packages", "n_timesteps", "seed")


def write_settings(folder: Path, facts: RunFacts) -> None:
    """Write ``config.yml``, ``args.yml`` and ``command.txt`` for the agents of a run.

    :param folder: that of the settings, ``.../BreakoutNoFrameskip-v4_1/BreakoutNoFrameskip-v4``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in facts.hyperparams.items() if key not in _OURS}
    algo = facts.algo or ""
    arguments: dict[str, Any] = {"algo": PLAYED_BY.get(algo, algo)}
    arguments |= {key: facts.arguments.get(key) for key in _ARGUMENTS}
    for name, content in (("config.yml", config), ("args.yml", arguments)):
        text = yaml.safe_dump(plain(content), sort_keys=True, default_flow_style=None)
        (folder / name).write_text(text, encoding="utf-8")
    command = shown_command(facts.command)
    (folder / "command.txt").write_text(f"{command}\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """Return a value of a yml as mappings, lists and scalars, without passwords and folders.

    >>> plain({"net_arch": (64, 64), "log": "/somewhere/logs"})
    {'net_arch': [64, 64], 'log': 'logs'}
    """
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return portable(without_passwords(value)) if isinstance(value, str) else value


def shown_command(command: str) -> str:
    """Return the command of a training without passwords and folders of the machine that ran it.

    >>> shown_command("/somewhere/bin/python -m sb3_atari_course train -conf /a/dqn.yml -f b")
    'python -m sb3_atari_course train -conf dqn.yml -f b'
    """
    words = from_here(command_without_passwords(command)).split()  # RL Zoo has lost the quotes
    return " ".join([Path(words[0]).name, *map(portable, words[1:])]) if words else ""


def describe_training(curves: RunCurves) -> dict[str, Any]:
    """Return how a run was trained, as plain data.

    Commit, versions and hardware are those that our ``train`` has noted. Of another training they
    are those of now, and ``noted`` says so.

    :raises ValueError: for a log or a note that cannot be read.
    """
    facts = curves.facts
    noted, when = read_provenance(facts.folder), "when the training began"
    if noted is None:
        noted, when = find_provenance(), "when it was published"
    return {
        "command": shown_command(facts.command),
        "algorithm": facts.algo,
        "hyperparams": plain(facts.hyperparams),
        "seed": facts.seed,
        **noted,
        "noted": f"commit, versions and hardware: {when}",
        "minutes": wall_clock(facts.folder, curves.n_steps),
        "steps": curves.n_steps,
        "games": len(curves.games.steps),
    }


def read_provenance(run: Path) -> dict[str, Any] | None:
    """Return what ``train`` has noted in a run folder, None if it has not.

    :raises ValueError: for a note that cannot be read.
    """
    for path in run.glob(f"*/{PROVENANCE}"):
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
            return {name: noted[name] for name in ("commit", "versions", "hardware")}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} cannot be read: {error!r}; remove it") from error
    return None


def wall_clock(run: Path, n_steps: int) -> float | None:
    """Return after how many minutes a training had played so many steps, None if it is unknown.

    :param run: with SB3's log; time is interpolated between its lines.
    :raises ValueError: for a log that cannot be read.
    """
    progress = read_progress(run / "progress.csv")
    if progress is None or "time/time_elapsed" not in progress:
        return None
    times = progress[["time/total_timesteps", "time/time_elapsed"]].dropna()
    if times.empty:
        return None
    steps, seconds = (np.concatenate([[0.0], times[column]]) for column in times)
    minutes = float(np.interp(n_steps, steps, seconds)) / 60
    return round(minutes, 1) if math.isfinite(minutes) else None
