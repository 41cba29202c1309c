"""The way of a run: choose the best, slim, score what was written, describe it in a card."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_sb3 import EnvironmentName

from sb3_atari_course._common.validation import integer_at_least, probability
from sb3_atari_course.agents.card import describe, write_card
from sb3_atari_course.agents.publishing.selection import Selection, choose_best
from sb3_atari_course.agents.publishing.settings import PLAYED_BY, write_settings
from sb3_atari_course.agents.publishing.slim import write_slim
from sb3_atari_course.agents.publishing.training import describe_training, wall_clock
from sb3_atari_course.checkpoints.folder import unfinished_checkpoint
from sb3_atari_course.envs import import_packages
from sb3_atari_course.report.run import plot_run
from sb3_atari_course.report.run_data import RunCurves, read_run
from sb3_atari_course.zoo.run_folder import Run, check_model, checkpoints_of, find_run, run_number

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
    :param say: is told what is going on.
    :return: the folder of the agents.
    :raises ValueError: for a folder that is no finished run, a checkpoint that is not there, equal
        seeds, a number out of range, an agent that no card can describe, a folder that cannot be
        written, and if the agents are there already.
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
    import_packages(gym_packages)
    curves = read_run(run_folder)
    find = _finder(curves)
    final = find()
    _check_run(final, curves, stages)
    algo, name = PLAYED_BY.get(final.algo, final.algo), EnvironmentName(final.env_id)
    target = Path(folder) / algo / f"{name}_1"
    if target.exists():
        raise ValueError(f"{target} is there already: remove it, or publish to another folder")

    candidates = _candidates(final, find)
    games: dict[str, Any] = {"epsilon": epsilon, "device": device}
    aside = target.with_name(f"{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)  # of a publishing that was interrupted
    try:
        aside.mkdir(parents=True)
        selection = choose_best(candidates, seed=selection_seed, n_games=selection_games, **games)
        say(f"best of {selection.means}: {selection.run.model_path.name}")
        sources = {f"rl_model_{n}_steps.zip": find(load_checkpoint=n) for n in stages}
        sources[_BEST] = selection.run
        agents = _write_agents(aside, sources, algo)
        scores = _score(agents, n_games=n_games, seed=seed, say=say, **games)
        _describe(aside, agents, curves, final, scores=scores, selection=selection)
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
    number = run_number(folder)
    if facts.algo is None or facts.env_id is None or number is None:
        raise ValueError(
            f"{facts.folder} is no run folder of RL Zoo, such as logs/dqn/CartPole-v1_1, with its"
            " args.yml"
        )
    if not facts.is_finished or unfinished_checkpoint(facts.folder) is not None:
        raise ValueError(f"the training in {facts.folder} is not finished: resume it first")
    import_packages(facts.arguments.get("gym_packages") or [])
    return partial(find_run, facts.algo, facts.env_id, folder.parents[1], exp_id=number)


def _check_run(final: Run, curves: RunCurves, stages: Sequence[int]) -> None:
    """Refuse before the first game what could not be published after the last one."""
    if final.folder.resolve() != curves.facts.folder.resolve():
        raise ValueError(
            f"{curves.facts.folder} was trained as {final.algo} on {final.env_id}, so RL Zoo looks"
            f" for it in {final.folder}: give its folder that name"
        )
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


def _write_agents(folder: Path, sources: dict[str, Run], algo: str) -> dict[str, Run]:
    """Write the small files of agents into a folder; return whom they make, by file."""
    agents = {}
    for file, source in sources.items():
        write_slim(source.model_path, folder / file)
        agents[file] = replace(source, algo=algo, folder=folder, model_path=folder / file)
    return agents


def _score(
    agents: dict[str, Run], *, say: Callable[[str], None], **settings: Any
) -> dict[str, Any]:
    """Return the report of each file as plain data."""
    scores: dict[str, Any] = {}
    for file, agent in agents.items():
        report = agent.evaluate(**settings)
        say(f"{file}: {report.summary()}")
        scores[file] = json.loads(json.dumps(report.as_dict()))  # tuples become lists
    return scores


def _describe(
    folder: Path,
    agents: dict[str, Run],
    curves: RunCurves,
    final: Run,
    *,
    scores: dict[str, Any],
    selection: Selection,
) -> None:
    """Write what stands beside the zips: the best one again, settings, curve, card."""
    name, best = EnvironmentName(final.env_id), agents[_BEST]
    shutil.copyfile(best.model_path, folder / f"{name}.zip")  # what RL Zoo plays by default
    steps = {file: _steps_of(agent) for file, agent in agents.items()}
    run = curves.facts.folder
    when = {file: {"steps": n, "minutes": wall_clock(run, n)} for file, n in steps.items()}
    write_settings(folder / name, curves.facts)
    plot_run(curves.facts.folder, output=folder)
    write_card(
        folder,
        best.load_model("cpu"),
        env_id=final.env_id,
        training={**describe_training(curves, final.model_path), "agents": when},
        selection=selection.as_dict(),
        scores={**scores, f"{name}.zip": scores[_BEST]},
    )
