"""Scores of a suite's run folders: by environment and algorithm, aggregated over Atari games."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course._common.atomic_files import write_result
from sb3_atari_course.report.curves import group_runs
from sb3_atari_course.report.run_data import AGENT, AGENT_STEPS, RunCurves, read_run
from sb3_atari_course.suite.reference_scores import Reference, game_of, reference_of
from sb3_atari_course.suite.statistics import (
    AGGREGATES,
    Estimate,
    estimate,
    performance_profile,
    probability_of_improvement,
)

#: Thresholds of a performance profile.
N_THRESHOLDS = 101

#: Environment of the probability of improvement that is averaged over games.
ALL_GAMES = "all aggregated games"

#: Entries of a protocol that are results, or concern the agent's observation only.
_NOT_RULES = ("whole_games", "screens")


@dataclass(frozen=True)
class Scores:
    """Scores of one algorithm in one environment.

    :param algo: RL Zoo's name of the algorithm.
    :param env_id: the environment.
    :param runs: evaluated runs, in the order of their seeds.
    """

    algo: str
    env_id: str
    runs: tuple[RunCurves, ...]

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs."""
        return [int(run.facts.seed or 0) for run in self.runs]

    @property
    def values(self) -> NDArray[np.float64]:
        """Mean score of each run over its games."""
        return np.array([_report(run).mean for run in self.runs])

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(self.values.mean())

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds (divisor n - 1), None for a single one."""
        return float(self.values.std(ddof=1)) if len(self.runs) > 1 else None

    @property
    def reference(self) -> Reference | None:
        """Reference scores of the game, None if it has none."""
        return reference_of(self.env_id)

    @property
    def normalized(self) -> NDArray[np.float64] | None:
        """Human-normalized score of each run, None without reference scores."""
        reference = self.reference
        if reference is None:
            return None
        return np.array([reference.normalize(value) for value in self.values])

    @property
    def random_mean(self) -> float | None:
        """Mean score of random play in the same games, None if it was not played."""
        means = (_report(run).random_mean for run in self.runs)
        return next((mean for mean in means if mean is not None), None)


def _report(run: RunCurves) -> Any:
    assert run.facts.report is not None  # read_suite() keeps only such runs
    return run.facts.report


@dataclass(frozen=True)
class Improvement:
    """Probability that a run of one algorithm scores higher than one of another.

    :param env_id: the environment, or :data:`ALL_GAMES`.
    :param n_games: number of environments.
    """

    env_id: str
    algo: str
    other: str
    n_games: int
    probability: Estimate


@dataclass(frozen=True)
class Suite:
    """Evaluated runs of a suite.

    :param scores: one entry for each environment and algorithm, ordered by environment.
    :param missing: runs without a score, with the reason.
    """

    scores: tuple[Scores, ...]
    missing: tuple[str, ...]

    @property
    def algos(self) -> list[str]:
        """Algorithms, in the order of the runs."""
        return list(dict.fromkeys(one.algo for one in self.scores))

    @property
    def env_ids(self) -> list[str]:
        """Environments, in the order of the runs."""
        return list(dict.fromkeys(one.env_id for one in self.scores))

    def of(self, env_id: str) -> list[Scores]:
        """Return the scores of an environment, one entry for each algorithm."""
        return [one for one in self.scores if one.env_id == env_id]

    @property
    def with_reference(self) -> list[str]:
        """Atari games that have reference scores."""
        return [env_id for env_id in self.env_ids if reference_of(env_id) is not None]

    @property
    def aggregated_algos(self) -> list[str]:
        """Algorithms with a score in some game that has reference scores."""
        return [a for a in self.algos if any(o.algo == a and o.reference for o in self.scores)]

    @property
    def aggregated(self) -> list[str]:
        """Games over which statistics are aggregated: those of all these algorithms."""
        wanted = set(self.aggregated_algos)
        return [e for e in self.with_reference if {one.algo for one in self.of(e)} >= wanted]

    @property
    def not_aggregated(self) -> list[tuple[str, str]]:
        """Environments that are not aggregated, with the reason."""
        left_out = []
        for env_id in self.env_ids:
            if env_id in self.aggregated:
                continue
            lacking = set(self.aggregated_algos) - {one.algo for one in self.of(env_id)}
            if game_of(env_id) is None:
                reason = "not an Atari game"
            elif env_id not in self.with_reference:
                reason = "no reference scores"
            else:
                reason = f"no score of {', '.join(sorted(lacking))}"
            left_out.append((env_id, reason))
        return left_out

    def normalized(self, algo: str) -> list[NDArray[np.float64]]:
        """Return the human-normalized scores of an algorithm in the aggregated games."""
        every = (one for env in self.aggregated for one in self.of(env) if one.algo == algo)
        return [values for one in every if (values := one.normalized) is not None]

    @cached_property
    def aggregates(self) -> dict[str, dict[str, Estimate]]:
        """Algorithm -> statistic -> estimate; {} without aggregated games."""
        if not self.aggregated:
            return {}
        return {
            algo: {
                name: estimate(statistic, self.normalized(algo))
                for name, statistic in AGGREGATES.items()
            }
            for algo in self.aggregated_algos
        }

    @cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """Human-normalized scores over which performance profiles are computed."""
        games = [game for algo in self.aggregated_algos for game in self.normalized(algo)]
        scores = np.concatenate([[0.0, 1.0], *games])
        return np.linspace(scores.min(), scores.max(), N_THRESHOLDS)

    @cached_property
    def profiles(self) -> dict[str, Estimate]:
        """Algorithm -> performance profile; {} without aggregated games."""
        return {
            algo: performance_profile(self.normalized(algo), self.thresholds)
            for algo in (self.aggregated_algos if self.aggregated else ())
        }

    @cached_property
    def improvements(self) -> list[Improvement]:
        """Probability of improvement for each pair of algorithms.

        First averaged over the aggregated games, then in each environment that both have.
        """
        return [
            Improvement(name, *pair, len(shared), _improvement(shared))
            for pair in combinations(self.algos, 2)
            for name, env_ids in [
                (ALL_GAMES, self.aggregated),
                *((env_id, [env_id]) for env_id in self.env_ids),
            ]
            if (shared := self._shared(env_ids, pair))
        ]

    def _shared(self, env_ids: Sequence[str], pair: tuple[str, str]) -> list[tuple[Scores, Scores]]:
        """Return the scores of two algorithms in the environments that both have."""
        by_key = {(one.env_id, one.algo): one for one in self.scores}
        keys = [[(env_id, algo) for algo in pair] for env_id in env_ids]
        return [(by_key[x], by_key[y]) for x, y in keys if x in by_key and y in by_key]


def _improvement(shared: list[tuple[Scores, Scores]]) -> Estimate:
    own, other = zip(*shared, strict=True)
    return probability_of_improvement([one.values for one in own], [one.values for one in other])


def read_suite(folders: Sequence[Path], missing: Sequence[str] = ()) -> Suite:
    """Read the run folders of a suite; a run counts if its final agent was evaluated.

    :param folders: run folders of RL Zoo.
    :param missing: runs that have no folder.
    :raises ValueError: without an evaluated run; for the same seed twice, runs of one algorithm in
        one environment with different settings, different protocols in one environment.
    :raises ImportError: without the extra ``plots``.
    """
    runs, without = [], list(missing)
    for folder in folders:
        try:
            run = read_run(folder, needs_games=False)
            reason = _why_missing(run)
        except ValueError as error:
            reason = str(error)
        if reason:
            without.append(f"{folder.parent.name}/{folder.name}: {reason}")
        else:
            runs.append(run)
    if not runs:
        raise ValueError(
            "no run of the suite has been evaluated, so there is nothing to report"
            + "".join(f"\n{one}" for one in without)
        )
    grouped: dict[tuple[str, str], list[RunCurves]] = {}
    for run in runs:
        grouped.setdefault((str(run.facts.env_id), str(run.facts.algo)), []).append(run)
    env_ids = dict.fromkeys(env_id for env_id, _ in grouped)
    for env_id in env_ids:
        _check_protocols(env_id, [run for run in runs if run.facts.env_id == env_id])
    scores = [
        Scores(algo, env_id, _ordered(members))
        for wanted in env_ids
        for (env_id, algo), members in grouped.items()
        if env_id == wanted
    ]
    return Suite(tuple(scores), tuple(without))


def _why_missing(run: RunCurves) -> str:
    """Return why a run has no score, "" if it has one."""
    facts = run.facts
    if facts.algo is None or facts.env_id is None or facts.seed is None:
        return "no args.yml with algo, env and seed"
    if run.unit != AGENT_STEPS:
        return "neither progress.csv nor config.yml: its agent steps are unknown"
    if facts.report is None:
        return "not evaluated"
    return "" if facts.evaluated == AGENT else f"only {facts.evaluated} was evaluated"


def _ordered(runs: list[RunCurves]) -> tuple[RunCurves, ...]:
    """Return the runs of one algorithm in one environment in the order of their seeds."""
    facts = runs[0].facts
    where = f"{facts.algo} on {facts.env_id}"
    by_seed: dict[int, RunCurves] = {}
    for run in runs:
        seed = int(run.facts.seed or 0)
        if seed in by_seed:
            raise ValueError(
                f"two runs of {where} have seed {seed}: {by_seed[seed].facts.folder} and"
                f" {run.facts.folder}; leave one of them out"
            )
        by_seed[seed] = run
    groups = group_runs(runs)
    if len(groups) > 1:
        names = "; ".join(group.name for group in groups)
        raise ValueError(
            f"runs of {where} have different settings ({names}), so they are not seeds of one"
            " experiment: report them as different suites"
        )
    return tuple(run for _, run in sorted(by_seed.items()))


def _check_protocols(env_id: str, runs: list[RunCurves]) -> None:
    """Check that all runs of an environment were evaluated in the same games."""
    first = protocol_of(runs[0])
    for run in runs[1:]:
        other = protocol_of(run)
        differences = [
            f"{key} {first.get(key)} and {other.get(key)}"
            for key in dict.fromkeys([*first, *other])
            if first.get(key) != other.get(key)
        ]
        if differences:
            raise ValueError(
                f"{runs[0].facts.folder} and {run.facts.folder} were evaluated differently on"
                f" {env_id} ({', '.join(differences)}): evaluate both by the same protocol"
            )


def protocol_of(run: RunCurves) -> dict[str, Any]:
    """Return the rules of a run's evaluation, as far as runs of a suite share them."""
    return {key: value for key, value in _report(run).protocol.items() if key not in _NOT_RULES}


def write_tables(suite: Suite, output: Path) -> list[Path]:
    """Write the scores and statistics as CSV files; numbers are not rounded.

    :return: ``scores.csv`` (a row for each run), ``games.csv`` (environment and algorithm), and
        unless there is nothing to write in them ``aggregates.csv``, ``performance_profile.csv``,
        ``probability_of_improvement.csv``.
    :raises ValueError: if a file cannot be written.
    """
    tables: dict[str, Iterable[dict[str, Any]]] = {
        "scores": (_run_row(one, i) for one in suite.scores for i in range(len(one.runs))),
        "games": map(_game_row, suite.scores),
        "aggregates": (
            {"algo": algo, "games": len(suite.aggregated), "runs": _n_runs(suite, algo)}
            | {"statistic": name}
            | found._asdict()
            for algo, statistics in suite.aggregates.items()
            for name, found in statistics.items()
        ),
        "performance_profile": (
            {"algo": algo, "human_normalized": tau, "fraction": found.value[i]}
            | {side: None if bound is None else bound[i] for side, bound in _bounds(found)}
            for algo, found in suite.profiles.items()
            for i, tau in enumerate(suite.thresholds)
        ),
        "probability_of_improvement": (
            {"env": one.env_id, "algo": one.algo, "other": one.other, "games": one.n_games}
            | one.probability._asdict()
            for one in suite.improvements
        ),
    }
    lists = {name: list(rows) for name, rows in tables.items()}
    return [_write_table(output / f"{name}.csv", rows) for name, rows in lists.items() if rows]


def _bounds(found: Estimate) -> list[tuple[str, Any]]:
    return [("low", found.low), ("high", found.high)]


def _n_runs(suite: Suite, algo: str) -> int:
    return sum(len(game) for game in suite.normalized(algo))


def _run_row(scores: Scores, i: int) -> dict[str, Any]:
    report, normalized = _report(scores.runs[i]), scores.normalized
    return {
        "env": scores.env_id,
        "algo": scores.algo,
        "seed": scores.seeds[i],
        "mean": report.mean,
        "sd_of_games": report.std,
        "n_games": len(report.scores),
        "random_mean": report.random_mean,
        "human_normalized": None if normalized is None else normalized[i],
        "steps": scores.runs[i].n_steps,
    }


def _game_row(scores: Scores) -> dict[str, Any]:
    reference, normalized = scores.reference, scores.normalized
    return {
        "env": scores.env_id,
        "algo": scores.algo,
        "n_seeds": len(scores.runs),
        "mean": scores.mean,
        "sd_of_seeds": scores.sd,
        "human_normalized": None if normalized is None else normalized.mean(),
        "reference_random": reference and reference.random,
        "reference_human": reference and reference.human,
        "seeds": " ".join(map(str, scores.seeds)),
        "scores": " ".join(str(float(value)) for value in scores.values),
    }


def _write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_result(
        path,
        lambda file: file.write(text.getvalue().encode()),
        advice="choose another output folder",
    )
    return path
