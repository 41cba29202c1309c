"""What the files of a run folder tell of its training: scores, evaluations, loss, epsilon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import get_monitor_files, load_results

from sb3_atari_course.plots.figure import need_extra
from sb3_atari_course.plots.run_facts import RunFacts, read_facts

if TYPE_CHECKING:
    import pandas as pd

#: Whole games over which the curve is averaged.
WINDOW = 100

AGENT_STEPS = "agent steps"
MONITOR_STEPS = "steps, as Monitor counts them"

#: Column of SB3's log -> what the axis says; a table has a TD error and no loss.
_LOSSES = {"train/td_error": "mean |TD error|", "train/loss": "loss"}


class Curve(NamedTuple):
    """Numbers over the training.

    :param steps: (n,) float64, in the unit of :attr:`RunCurves.unit`.
    :param values: (n,) float64.
    """

    steps: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class RunCurves:
    """The curves of a run; those of files that are not there are empty.

    :param facts: what was run.
    :param unit: of all steps: ``"agent steps"``, or frames where the files do not tell more.
    :param games: true score of each finished game, where it ended.
    :param evaluations: mean scores of RL Zoo's own evaluations (``--eval-freq``).
    :param loss: of the network, or the mean absolute TD error of a table.
    :param loss_name: which of the two.
    :param epsilon: probability of a random action.
    """

    facts: RunFacts
    unit: str
    games: Curve
    evaluations: Curve
    loss: Curve
    loss_name: str
    epsilon: Curve

    @property
    def average(self) -> Curve:
        """Mean score of the last 100 games (of all, before there are as many)."""
        import pandas as pd

        mean = pd.Series(self.games.values).rolling(WINDOW, min_periods=1).mean()
        return Curve(self.games.steps, mean.to_numpy(np.float64))

    @property
    def n_steps(self) -> int:
        """Last step that any file knows of."""
        curves = (self.games, self.evaluations, self.loss, self.epsilon)
        return round(max(float(curve.steps.max(initial=0)) for curve in curves))


def read_run(folder: str | Path) -> RunCurves:
    """Read a run folder of RL Zoo, of a training that is finished or not.

    :param folder: with monitor files; ``progress.csv`` and ``evaluations.npz`` are read if there.
    :raises ValueError: for a folder that is no run, a run without a finished game, and a file that
        cannot be read or ends in the middle of a line.
    :raises ImportError: without the extra ``plots``.
    """
    folder = Path(folder)
    need_extra()
    games = _read_games(folder)
    facts = read_facts(folder)
    progress = read_progress(folder / "progress.csv")
    counted = games["l"].cumsum().to_numpy(np.float64)
    steps_per_count = _steps_per_count(facts, counted[-1], progress)
    loss_column = next(
        (column for column in _LOSSES if progress is not None and column in progress), "train/loss"
    )
    return RunCurves(
        facts=facts,
        unit=MONITOR_STEPS if steps_per_count is None else AGENT_STEPS,
        games=Curve(counted * (steps_per_count or 1.0), games["r"].to_numpy(np.float64)),
        evaluations=_read_evaluations(folder / "evaluations.npz"),
        loss=_column(progress, loss_column),
        loss_name=_LOSSES[loss_column],
        epsilon=_column(progress, "rollout/exploration_rate"),
    )


def _steps_per_count(
    facts: RunFacts, n_counted: float, progress: pd.DataFrame | None
) -> float | None:
    """Return agent steps per step of Monitor, which counts frames; None if nobody knows.

    SB3's log says at the end of a training how many agent steps all of it were, no-ops and FIRE
    left out. While it goes on that log lags behind, and the frame skip is nearer to the truth.
    """
    logged = 0.0 if progress is None else float(progress["time/total_timesteps"].max())
    if logged > 0 and (facts.is_finished or facts.frame_skip is None):
        return logged / n_counted
    return None if facts.frame_skip is None else 1.0 / facts.frame_skip


def _read_games(folder: Path) -> pd.DataFrame:
    """Read all monitor files, in the order of time: r (score), l (length), t (seconds)."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give run folders such as logs/dqn/CartPole-v1_1")
    files = get_monitor_files(str(folder))
    if not files:
        raise ValueError(
            f"no monitor file in {folder}: it is no run folder of RL Zoo, such as"
            " logs/dqn/CartPole-v1_1"
        )
    for file in files:
        _check_whole(Path(file))
    try:
        games = load_results(str(folder))
        games = games.astype({"l": float, "r": float})
    except (AssertionError, KeyError, IndexError, ValueError) as error:
        raise ValueError(f"the monitor files of {folder} cannot be read: {error!r}") from error
    if games.empty:
        raise ValueError(f"no whole game was finished in {folder}: train for longer, then plot")
    return games


def read_progress(path: Path) -> pd.DataFrame | None:
    """Return SB3's CSV log, None if there is none or it is empty.

    :raises ValueError: for a file that cannot be read or ends in the middle of a line.
    :raises ImportError: without the extra ``plots``.
    """
    need_extra()
    import pandas as pd

    if not path.is_file() or path.stat().st_size == 0:
        return None
    _check_whole(path)
    try:
        progress = pd.read_csv(path)
        steps = progress.get("time/total_timesteps")
        if steps is None or pd.to_numeric(steps).isna().any():
            raise ValueError("not every row has its time/total_timesteps")
        return progress.select_dtypes("number")
    except ValueError as error:  # pandas' own are ValueErrors too
        raise ValueError(f"{path} cannot be read: {error}; remove it to plot without it") from error


def _check_whole(path: Path) -> None:
    """Refuse a file whose last line is being written: half a number looks like a number."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        n_lines = content.count(b"\n") + 1
        raise ValueError(
            f"{path} ends in the middle of line {n_lines}: the training is writing it, plot again"
            " in a moment (or remove that line if the training was killed)"
        )


def _read_evaluations(path: Path) -> Curve:
    if not path.is_file():
        return Curve(np.empty(0), np.empty(0))
    try:
        with np.load(path) as file:
            steps, results = file["timesteps"], file["results"]
        return Curve(steps.astype(np.float64), results.mean(axis=1, dtype=np.float64))
    except Exception as error:  # np.load has many: ValueError, EOFError, zipfile's, ...
        raise ValueError(
            f"{path} cannot be read: {error!r}; remove it to plot without it"
        ) from error


def _column(progress: pd.DataFrame | None, column: str) -> Curve:
    """Return one column of SB3's log, as far as it was logged."""
    if progress is None or column not in progress:
        return Curve(np.empty(0), np.empty(0))
    logged: Any = progress.dropna(subset=[column])
    return Curve(
        logged["time/total_timesteps"].to_numpy(np.float64), logged[column].to_numpy(np.float64)
    )
