"""Publishing the agents of a run: model selection, small files, evaluation, model card."""

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

from sb3_atari_course._common import N_ENVS
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
    portable,
    run_number,
    shorten_paths,
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
    n_envs: int = N_ENVS,
    n_workers: int = 1,
    progress_bar: bool = False,
    log: Callable[[str], None] = print,
) -> Path:
    """Publish the agents of a finished run: small files, settings, learning curve and model card.

    The best model is selected among the last one, the best one of RL Zoo's evaluations and the
    saved models of the second half of training, on separate games. It is published both under the
    environment's name and as ``best_model.zip``, together with the saved models in ``stages``. Each
    published file is evaluated once. FastDQN agents are published as DQN agents, since they have
    the same policy.

    :param run_folder: run folder of RL Zoo or ``sb3-atari train``, for example
        ``logs/dqn/CartPole-v1_1``. Its files are unpickled: only publish runs that you trust.
    :param folder: log folder in RL Zoo's layout; the agents are written to ``folder/ALGO/ENV_1``,
        which must not exist.
    :param stages: agent steps after which models were saved (``--save-freq``), to publish too.
    :param n_games: full games per published score.
    :param seed: of these games.
    :param selection_games: full games per candidate for model selection.
    :param selection_seed: of those games; it must differ from ``seed``.
    :param epsilon: probability of a random action in all games; None for 0.05 in an Atari game,
        else 0.
    :param device: PyTorch device of the evaluations.
    :param gym_packages: modules to import that register the environment, in addition to those
        saved with the run.
    :param n_envs: most games played side by side, in all processes together.
    :param n_workers: most processes that play games, see :meth:`.Run.evaluate`.
    :param progress_bar: show the progress of the evaluations on stderr.
    :param log: called with each line about the progress.
    :return: the folder of the agents.
    :raises ValueError: for a folder that is not a finished run, a missing saved model, equal seeds,
        a number out of range, an agent that a model card cannot describe, a folder that cannot be
        written, or if the target exists.
    :raises ImportError: without the extra ``plots``.
    """
    if seed == selection_seed:
        raise ValueError(
            f"seed and selection_seed are both {seed}: the score would be biased by model"
            " selection, use different ones"
        )
    for name, least, value in (
        ("n_games", 1, n_games),
        ("seed", 0, seed),
        ("selection_games", 1, selection_games),
        ("selection_seed", 0, selection_seed),
        ("n_envs", 1, n_envs),
        ("n_workers", 1, n_workers),
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
        raise ValueError(f"{target} exists: remove it, or publish to another folder")

    candidates = _candidates(final, find)
    games: dict[str, Any] = {
        "epsilon": epsilon,
        "device": device,
        "n_envs": n_envs,
        "n_workers": n_workers,
        "gym_packages": [*(curves.facts.arguments.get("gym_packages") or []), *gym_packages],
        "progress_bar": progress_bar,
    }
    aside = target.with_name(f"{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)  # left by an interrupted call
    try:
        aside.mkdir(parents=True)
        chosen_on = {"seed": selection_seed, "n_games": selection_games}
        best, means = _choose_best(candidates, **chosen_on, **games)
        log(f"best of {means}: {best.model_path.name}")
        sources = {f"rl_model_{n}_steps.zip": find(load_checkpoint=n) for n in stages}
        sources[_BEST] = best
        scores: dict[str, Any] = {}
        for file, source in sources.items():
            write_slim(source.model_path, aside / file)
            agent = replace(source, algo=algo, folder=aside, model_path=aside / file)
            report = agent.evaluate(n_games=n_games, seed=seed, **games)
            log(f"{file}: {report.summary()}")
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
            f"{facts.folder} of {algo} on {env_id} is not a run folder of RL Zoo: pass one such as"
            " logs/dqn/CartPole-v1_1, with its args.yml"
        )
    if not facts.is_finished or unfinished_checkpoint(facts.folder) is not None:
        raise ValueError(f"the run in {facts.folder} is not finished: resume it first")
    import_packages(facts.arguments.get("gym_packages") or [])
    return partial(find_run, algo, env_id, folder.parents[1], exp_id=number or 0)


def _check_run(final: Run, stages: Sequence[int]) -> None:
    """Check, before the evaluations, that the run can be published."""
    known = checkpoints_of(final.folder)
    missing = sorted(set(stages) - set(known))
    if missing:
        raise ValueError(
            f"no saved model after {missing} steps in {final.folder}: choose among {known}"
            " (--save-freq)"
        )
    if final.hyperparams.get("normalize"):
        raise ValueError(
            f"{final.folder} was trained with normalize, whose statistics are not part of a"
            " published agent: share the run folder itself"
        )
    check_model(final.model_path)
    final.env_wrapper()
    describe(final.load_model("cpu"))


def _candidates(final: Run, find: Callable[..., Run]) -> list[Run]:
    """Return the candidates: last model, RL Zoo's best, saved models of the second half.

    :raises ValueError: for a file that cannot be loaded.
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

    :raises ValueError: if its file cannot be loaded.
    """
    try:
        return run.load_model("cpu").num_timesteps
    except Exception as error:  # unpickling may raise anything
        raise ValueError(f"{run.model_path} cannot be loaded: {error!r}; remove it") from error


def _choose_best(
    candidates: list[Run], *, seed: int, n_games: int, **settings: Any
) -> tuple[Run, dict[str, float]]:
    """Evaluate each candidate; return the (first) best one, and file name -> mean score."""
    means = {
        run.model_path.name: round(
            run.evaluate(seed=seed, n_games=n_games, random_play=False, **settings).mean, 3
        )
        for run in candidates
    }
    return max(candidates, key=lambda run: means[run.model_path.name]), means


#: Attributes in SB3's files that inference does not need, or that contain paths of the machine.
_TRAINING_STATE = (
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
    "ep_info_buffer",
    "ep_success_buffer",
    "tensorboard_log",
    "lr_schedule",  # rebuilt from learning_rate; a pickled function contains its source path
)
#: Arguments of FastDQN that SB3's DQN does not have.
_FAST_DQN_ONLY = ("double_q", "compile")


def write_slim(source: Path, path: Path) -> None:
    """Write a small copy of an SB3 zip for inference.

    The optimizer's state is removed (its hyperparameters stay), and a target network shares the
    tensors of the online network, which leaves a quarter of a DQN file. Both SB3's ``load`` and
    ``load_agent`` open it; further training starts with a fresh optimizer state. The exploration
    rate is set to ``exploration_final_eps`` if the algorithm has it (QLearning does not), also for
    an early model, so that RL Zoo's ``enjoy`` shows the learned policy.

    :param source: zip saved by SB3. It is unpickled: only use files that you trust.
    :param path: path of the new zip.
    :raises ValueError: if the source has no settings.
    """
    data, parameters, variables = load_from_zip_file(source, device="cpu")
    if data is None:
        raise ValueError(f"{source} contains no settings: was it saved by SB3's model.save?")
    for name in (*_TRAINING_STATE, *_FAST_DQN_ONLY):
        data.pop(name, None)
    if {"exploration_rate", "exploration_final_eps"} <= set(data):
        data["exploration_rate"] = data["exploration_final_eps"]
    if data.get("replay_buffer_class") is NStepReplayBuffer:
        data["replay_buffer_class"] = (
            None  # SB3 sets it again from n_steps, and warns if it is given
        )
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
    """Replace a target network's tensors by those of the online network."""
    for name in state:
        online = state.get(name.replace("_target.", "."))
        if "_target." in name and isinstance(online, th.Tensor):
            state[name] = online


#: Our algorithms whose agents a stock algorithm of RL Zoo can load -> its name.
PLAYED_BY = {"fast_dqn": "dqn"}
#: Hyperparameters that stock RL Zoo, or the stock algorithm, does not have.
_OUR_KEYS = ("double_q", "compile", "callback")
#: Arguments of a run that are needed to evaluate its agent.
_ARGUMENTS = ("env", "env_kwargs", "gym_packages", "n_timesteps", "seed")


def write_settings(folder: Path, facts: RunFacts) -> None:
    """Write ``config.yml``, ``args.yml`` and ``command.txt`` of published agents.

    :param folder: settings folder, ``.../BreakoutNoFrameskip-v4_1/BreakoutNoFrameskip-v4``.
    :param facts: metadata of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in facts.hyperparams.items() if key not in _OUR_KEYS}
    algo = facts.algo or ""
    arguments: dict[str, Any] = {"algo": PLAYED_BY.get(algo, algo)}
    arguments |= {key: facts.arguments.get(key) for key in _ARGUMENTS}
    for name, content in (("config.yml", config), ("args.yml", arguments)):
        text = yaml.safe_dump(plain(content), sort_keys=True, default_flow_style=None)
        (folder / name).write_text(text, encoding="utf-8")
    command = shown_command(facts.command)
    (folder / "command.txt").write_text(f"{command}\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """Convert a value to plain YAML types, and remove passwords and folders of this machine.

    >>> plain({"net_arch": (64, 64), "log": "/somewhere/logs"})
    {'net_arch': [64, 64], 'log': 'logs'}
    """
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return portable(without_passwords(value)) if isinstance(value, str) else value


def shown_command(command: str) -> str:
    """Remove passwords and folders of this machine from the command of a run.

    >>> shown_command("/somewhere/bin/python -m sb3_atari_course train -conf /a/dqn.yml -f b")
    'python -m sb3_atari_course train -conf dqn.yml -f b'
    """
    # RL Zoo saves the command without quotes
    parts = shorten_paths(command_without_passwords(command)).split()
    return " ".join([Path(parts[0]).name, *map(portable, parts[1:])]) if parts else ""


def describe_training(curves: RunCurves) -> dict[str, Any]:
    """Return the section ``training`` of a model card: how a run was trained.

    Commit, versions and hardware are those in the run's ``provenance.json``. Without that file they
    are the current ones, which ``noted`` states.

    :raises ValueError: for a log or ``provenance.json`` that cannot be read.
    """
    facts = curves.facts
    provenance, when = read_provenance(facts.folder), "when the training began"
    if provenance is None:
        provenance, when = find_provenance(), "when it was published"
    return {
        "command": shown_command(facts.command),
        "algorithm": facts.algo,
        "hyperparams": plain(facts.hyperparams),
        "seed": facts.seed,
        **provenance,
        "noted": f"commit, versions and hardware: {when}",
        "minutes": wall_clock(facts.folder, curves.n_steps),
        "steps": curves.n_steps,
        "games": len(curves.games.steps),
    }


def read_provenance(run: Path) -> dict[str, Any] | None:
    """Return the content of ``provenance.json`` in a run folder, or None.

    :raises ValueError: if it cannot be read.
    """
    for path in run.glob(f"*/{PROVENANCE}"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return {name: content[name] for name in ("commit", "versions", "hardware")}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} cannot be read: {error!r}; remove it") from error
    return None


def wall_clock(run: Path, n_steps: int) -> float | None:
    """Return the wall-clock minutes a run took for its first ``n_steps``, None if unknown.

    :param run: run folder with SB3's ``progress.csv``, whose times are interpolated.
    :param n_steps: agent steps.
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
