"""Which runs are seeds of one and the same training, and what tells the groups apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sb3_atari_course.report.run_data import RunCurves

#: Most characters of a setting in a legend.
_LONGEST = 40


@dataclass(frozen=True)
class Group:
    """Runs of one algorithm in one environment with one set of hyperparameters.

    :param name: for a legend of one environment: the algorithm, and settings that differ.
    :param env_id: the environment.
    :param runs: in the order in which they were named.
    """

    name: str
    env_id: str
    runs: tuple[RunCurves, ...]

    @property
    def count(self) -> str:
        """How many there are: "3 seeds", or "3 runs" if some have the same seed."""
        n = len(self.runs)
        seeds = {run.facts.seed for run in self.runs} - {None}
        word = "seed" if len(seeds) == n else "run"
        return f"{n} {word}{'s' if n > 1 else ''}"


def group_runs(runs: Sequence[RunCurves]) -> list[Group]:
    """Group runs by algorithm, environment and hyperparameters (lengths of training may differ).

    Groups with the same algorithm and environment are named by the settings in which they differ.

    :raises ValueError: for a run of which no ``args.yml`` tells the algorithm.
    """
    groups: list[tuple[str, str, dict[str, Any], list[RunCurves]]] = []
    for run in runs:
        facts = run.facts
        if facts.algo is None or facts.env_id is None:
            raise ValueError(
                f"{facts.folder} has no args.yml that tells algo and env: it can be plotted alone,"
                " but not be compared"
            )
        settings = _settings(run)
        for algo, env_id, others, members in groups:
            if (algo, env_id, others) == (facts.algo, facts.env_id, settings):
                members.append(run)
                break
        else:
            groups.append((facts.algo, facts.env_id, settings, [run]))
    result = []
    for algo, env_id, settings, members in groups:
        rivals = [s for a, e, s, _ in groups if (a, e) == (algo, env_id)]
        name = ", ".join([algo, *_differences(settings, rivals)])
        result.append(Group(name, env_id, tuple(members)))
    return result


def _settings(run: RunCurves) -> dict[str, Any]:
    """Return what makes two runs the same training but for their seeds."""
    hyperparams = {k: v for k, v in run.facts.hyperparams.items() if k != "n_timesteps"}
    arguments = {
        name: run.facts.arguments[name]
        for name in ("env_kwargs", "trained_agent")  # a training from another's model is another
        if run.facts.arguments.get(name)
    }
    return {**hyperparams, **arguments}


def _differences(settings: dict[str, Any], rivals: Sequence[dict[str, Any]]) -> list[str]:
    """Return ``key value`` for each setting that is not the same in all rivals."""
    flat = [_flatten(rival) for rival in rivals]
    paths = dict.fromkeys(path for rival in flat for path in rival)
    mine, texts = _flatten(settings), []
    for path in paths:
        if len({repr(rival.get(path)) for rival in flat}) > 1:
            text = f"{path[-1]} {mine.get(path, 'default')}"
            texts.append(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...")
    return texts


def _flatten(settings: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return path -> value: of a wrapper only what differs has to be said, deep in a yml."""
    if isinstance(settings, dict) and settings:
        items = [((*path, str(key)), value) for key, value in settings.items()]
    elif isinstance(settings, list) and any(isinstance(value, dict) for value in settings):
        items = [(path, value) for value in settings]
    else:
        return {path or ("settings",): settings}
    return {k: v for inner, value in items for k, v in _flatten(value, inner).items()}
