"""Data of a run folder: scores, evaluations, loss, epsilon, settings and files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from huggingface_sb3 import EnvironmentName
from numpy.typing import NDArray
from stable_baselines3.common.monitor import get_monitor_files

from sb3_atari_course._common.passwords import command_without_passwords, without_passwords
from sb3_atari_course.evaluation import GamesReport
from sb3_atari_course.zoo.run_folder import read_settings, sha256_of

if TYPE_CHECKING:
    import pandas as pd


#: Frame-skipping wrappers, also those of SB3, RL Zoo and Gymnasium; 4 frames by default.
_SKIPPING = (
    "wrap_atari",
    "ActionRepeat",
    "AtariPreprocessing",
    "AtariWrapper",
    "FrameSkip",
    "MaxAndSkipEnv",
)

#: Keys of ``evaluation.json`` that are not fields of ``GamesReport``.
_SUMMARY = ("model", "model_sha256", "mean", "std", "random_mean")

#: :attr:`RunFacts.evaluated` of the model that RL Zoo saved last, and of an earlier one.
AGENT, EARLIER = "the agent", "an earlier model"


#: Packages of the extra ``plots``; SB3 reads monitor files with pandas.
_EXTRA = ("jinja2", "matplotlib", "pandas", "scipy")


def need_extra() -> None:
    """Check for the packages of the extra ``plots``, before any work is done.

    :raises ImportError: without the extra ``plots``.
    """
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        raise ImportError(
            'plotting needs the extra "plots": pip install "sb3_atari_course[plots]"'
            f" (missing: {', '.join(missing)})"
        )


@dataclass(frozen=True)
class RunFacts:
    """Run metadata: algorithm, environment, settings, evaluation, files.

    :param folder: the run folder.
    :param algo: RL Zoo's name of the algorithm, None without ``args.yml``.
    :param env_id: the environment, None without ``args.yml``.
    :param seed: of the run.
    :param arguments: ``args.yml``, {} if missing.
    :param hyperparams: ``config.yml``, {} if missing.
    :param command: the command that trained it, "" if it is unknown.
    :param report: ``evaluation.json``, None if it was not evaluated.
    :param evaluated_model: file that was evaluated.
    :param evaluated: the model of these scores: "the agent" that is in the folder now, "an earlier
        model" if that file has been replaced since, or the name of another file, such as
        "best_model.zip".
    """

    folder: Path
    algo: str | None
    env_id: str | None
    seed: int | None
    arguments: dict[str, Any]
    hyperparams: dict[str, Any]
    command: str
    report: GamesReport | None
    evaluated_model: str
    evaluated: str

    @property
    def title(self) -> str:
        """Algorithm, environment and name of the folder, as far as they are known."""
        name, env_id = self.folder.resolve().name, self.env_id
        known = env_id is None or name.startswith(EnvironmentName(env_id))
        return " · ".join(word for word in (self.algo, None if known else env_id, name) if word)

    @property
    def model(self) -> Path | None:
        """The model that RL Zoo has saved last, None if there is none."""
        path = self.folder / f"{EnvironmentName(self.env_id)}.zip" if self.env_id else None
        return path if path is not None and path.is_file() else None

    @property
    def is_finished(self) -> bool:
        """Whether the training ended: RL Zoo saves the model then."""
        return self.model is not None

    @property
    def frame_skip(self) -> int | None:
        """Monitor steps per agent step (Atari: frames); None without ``config.yml``."""
        return _frame_skip(self.hyperparams.get("env_wrapper")) if self.hyperparams else None

    @property
    def video(self) -> Path | None:
        """The newest video in the folder, None without one."""
        found = self.folder.rglob("*.mp4")  # ".part-...": left by a killed record command
        videos = [one for one in found if not one.parent.name.startswith(".part-")]
        return max(videos, key=lambda path: path.stat().st_mtime_ns, default=None)

    @property
    def is_video_earlier(self) -> bool:
        """Whether the model has been saved since the newest video was recorded."""
        video, model = self.video, self.model
        if video is None or model is None:
            return False
        return video.stat().st_mtime_ns < model.stat().st_mtime_ns

    @property
    def files(self) -> list[Path]:
        """All files of the folder in alphabetical order, except the report."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return sorted(path for path in files if path != self.folder / "report.html")


def read_facts(folder: Path) -> RunFacts:
    """Read the metadata of a run; each of its files may be missing.

    Passwords in URLs (``--storage``) are removed, since the metadata is displayed.

    :raises ValueError: for a file that cannot be read.
    """
    settings = min(
        [path.parent for name in ("args.yml", "config.yml") for path in folder.glob(f"*/{name}")],
        default=folder,
    )
    hyperparams, arguments = (without_passwords(one) for one in read_settings(settings))
    command = settings / "command.txt"
    words = command.read_text(encoding="utf-8").strip() if command.is_file() else ""
    env_id = str(arguments["env"]) if arguments.get("env") else None
    report, model, sha256 = _read_evaluation(folder / "evaluation.json")
    evaluated = model
    if _was_replaced(folder / model, sha256, folder / "evaluation.json"):
        evaluated = EARLIER
    elif model == "" or env_id is None or model == f"{EnvironmentName(env_id)}.zip":
        evaluated = AGENT
    return RunFacts(
        folder=folder,
        algo=str(arguments["algo"]) if arguments.get("algo") else None,
        env_id=env_id,
        seed=arguments.get("seed"),
        arguments=arguments,
        hyperparams=hyperparams,
        command=command_without_passwords(words),
        report=report,
        evaluated_model=model,
        evaluated=evaluated,
    )


def _was_replaced(model: Path, sha256: str | None, evaluation: Path) -> bool:
    """Return whether a model was replaced since its evaluation; False for a missing file.

    :param sha256: of the evaluated file; None in evaluations by older versions.
    """
    if not model.is_file():
        return False
    if sha256 is None:
        return model.stat().st_mtime > evaluation.stat().st_mtime
    return sha256_of(model) != sha256


def _read_evaluation(path: Path) -> tuple[GamesReport | None, str, str | None]:
    """Return what the ``evaluate`` command wrote: the report, the model's file and its SHA-256."""
    if not path.is_file():
        return None, "", None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content.items()
            if name not in _SUMMARY
        }
        report = GamesReport(**fields)
        for scores in (report.scores, report.random_scores, report.lengths, report.penalties):
            sum(scores)  # fails unless all of them are numbers
        if not report.scores:
            raise ValueError("no scores")
        dict(report.protocol)
        return report, str(content.get("model", "")), content.get("model_sha256")
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be read: {error}; run the evaluate command again, or remove the file"
        ) from error


def _frame_skip(wrappers: Any) -> int:
    """Return the frame skip of the wrappers in a config file, 1 without one."""
    entries = wrappers if isinstance(wrappers, (list, tuple)) else [wrappers]
    product = 1
    for entry in entries:
        for name, kwargs in entry.items() if isinstance(entry, dict) else [(entry, None)]:
            if str(name).rsplit(".", 1)[-1] in _SKIPPING:
                kwargs = kwargs if isinstance(kwargs, dict) else {}
                skip = kwargs.get("frame_skip", kwargs.get("skip", 4))
                product *= skip if isinstance(skip, int) and skip > 0 else 1
    return product


#: Window of the moving average, in full games.
WINDOW = 100

AGENT_STEPS = "agent steps"
MONITOR_STEPS = "steps, as Monitor counts them"

#: Column of SB3's log -> axis label; tabular Q-learning has a TD error instead of a loss.
_LOSSES = {"train/td_error": "mean |TD error|", "train/loss": "loss"}


class Curve(NamedTuple):
    """Values over the steps of a run.

    :param steps: (n,) float64, in the unit of :attr:`RunCurves.unit`.
    :param values: (n,) float64.
    """

    steps: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class RunCurves:
    """Curves of a run; empty where the file is missing.

    :param facts: run metadata: algorithm, environment, settings, files.
    :param unit: of all steps: ``"agent steps"``, or Monitor's steps where agent steps are unknown.
    :param games: unclipped score of each finished game, at the step where it ended; approximate for
        Atari, where Monitor also counts the frames of no-ops and FIRE.
    :param evaluations: mean scores of RL Zoo's own evaluations (``--eval-freq``).
    :param loss: of the network, or the mean absolute TD error of tabular Q-learning.
    :param loss_name: its axis label.
    :param epsilon: probability of a random action.
    :param n_logged: last step of SB3's log, 0 without one.
    """

    facts: RunFacts
    unit: str
    games: Curve
    evaluations: Curve
    loss: Curve
    loss_name: str
    epsilon: Curve
    n_logged: int

    @property
    def average(self) -> Curve:
        """Mean score of the last 100 games (of all, before there are as many)."""
        import pandas as pd

        mean = pd.Series(self.games.values).rolling(WINDOW, min_periods=1).mean()
        return Curve(self.games.steps, mean.to_numpy(np.float64))

    @property
    def n_steps(self) -> int:
        """Last step in any of the files."""
        curves = (self.games, self.evaluations, self.loss, self.epsilon)
        return round(max(self.n_logged, *(float(one.steps.max(initial=0)) for one in curves)))


def read_run(folder: str | Path, *, needs_games: bool = True) -> RunCurves:
    """Read a run folder of RL Zoo, whether or not its training is finished.

    :param folder: with monitor files; ``progress.csv`` and ``evaluations.npz`` are read if present.
    :param needs_games: reject a run without a finished game.
    :raises ValueError: for a folder that is not a run, a run without a finished game, and a file
        that cannot be read or ends in the middle of a line.
    :raises ImportError: without the extra ``plots``.
    """
    folder = Path(folder)
    need_extra()
    games = _read_games(folder)
    if needs_games and games.empty:
        raise ValueError(f"no full game was finished in {folder}: train for longer, then plot")
    facts = read_facts(folder)
    progress = read_progress(folder / "progress.csv")
    if progress is not None:
        logged = progress["time/total_timesteps"]
        for column in ("time/total_timesteps", "time/episodes"):
            if column in progress:
                progress[column] = _continued(progress[column], logged)
    loss_column = next(
        (column for column in _LOSSES if progress is not None and column in progress), "train/loss"
    )
    steps = _end_steps(games, facts, progress)
    return RunCurves(
        facts=facts,
        unit=MONITOR_STEPS if steps is None else AGENT_STEPS,
        games=Curve(
            games["l"].cumsum().to_numpy() if steps is None else steps, games["r"].to_numpy()
        ),
        evaluations=_read_evaluations(folder / "evaluations.npz"),
        loss=_column(progress, loss_column),
        loss_name=_LOSSES[loss_column],
        epsilon=_column(progress, "rollout/exploration_rate"),
        n_logged=0 if progress is None else int(progress["time/total_timesteps"].max()),
    )


def _end_steps(
    games: pd.DataFrame, facts: RunFacts, progress: pd.DataFrame | None
) -> NDArray[np.float64] | None:
    """Return the agent steps at which the games ended, None if they are unknown.

    Environments step in parallel, so a game ended at the step of its environment times their
    number. Monitor also counts no-ops and FIRE, which are not agent steps; the last step in SB3's
    log of a finished training is therefore an upper bound.

    :param games: as :func:`_read_games` returns them.
    :return: (n,) in increasing order.
    """
    logged = 0.0 if progress is None else float(progress["time/total_timesteps"].max())
    if facts.frame_skip is None and logged == 0:
        return None
    steps: NDArray[np.float64] = np.sort(games["end"].to_numpy()) / (facts.frame_skip or 1)
    if steps.size and logged > 0 and (facts.is_finished or facts.frame_skip is None):
        steps = steps * min(1.0, logged / steps[-1])  # else the log may lag behind
    return steps if progress is None else _as_logged(steps, progress)


def _as_logged(steps: NDArray[np.float64], progress: pd.DataFrame) -> NDArray[np.float64]:
    """Clip the end steps of games to the two rows of SB3's log between which they ended.

    The log counts episodes: as many as games at most, unless a life loss ends an episode.
    """
    if "time/episodes" not in progress:
        return steps
    rows = progress.dropna(subset=["time/episodes"])
    logged, n_episodes = (
        rows[column].to_numpy(np.float64) for column in ("time/total_timesteps", "time/episodes")
    )
    if n_episodes.max(initial=0) > len(steps):
        return steps
    first_row = np.searchsorted(n_episodes, np.arange(1, len(steps) + 1))  # by which it had ended
    return np.clip(steps, np.insert(logged, 0, 0)[first_row], np.append(logged, np.inf)[first_row])


def _continued(counts: pd.Series, steps: pd.Series) -> pd.Series:
    """Return counts made cumulative over ``learn()`` calls, each of which started from 0."""
    before = counts.ffill().shift(fill_value=0)
    return counts + before.where(steps < steps.shift(fill_value=0), 0).cumsum()


def _read_games(folder: Path) -> pd.DataFrame:
    """Read all monitor files, in the order of time.

    :return: r (score), l (length), t (seconds), end (Monitor steps of its environment at the
        end of the game, times the number of environments).
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: give one such as logs/dqn/CartPole-v1_1")
    files = get_monitor_files(str(folder))
    if not files:
        raise ValueError(
            f"no monitor file in {folder}: it is not a run folder of RL Zoo, such as"
            " logs/dqn/CartPole-v1_1"
        )
    import pandas as pd

    for file in files:
        _check_whole(Path(file))
    try:
        games = pd.concat([_read_monitor(Path(file)) for file in files])
    except (KeyError, TypeError, ValueError) as error:  # pandas' own are ValueErrors too
        raise ValueError(f"the monitor files of {folder} cannot be read: {error!r}") from error
    games["end"] *= len(files)
    return games.sort_values("t", kind="stable")


def _read_monitor(path: Path) -> pd.DataFrame:
    """Read the games of one environment."""
    import pandas as pd

    with open(path, encoding="utf-8") as file:
        header = file.readline()
        if not header.startswith("#"):
            raise ValueError(f"{path.name} does not begin with # and Monitor's header")
        games = pd.read_csv(file)[["r", "l", "t"]].astype(float)
    games["t"] += float(json.loads(header[1:])["t_start"])
    games["end"] = games["l"].cumsum()
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
    """Reject a file whose last line is incomplete: part of a number looks like a number."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        n_lines = content.count(b"\n") + 1
        raise ValueError(
            f"{path} ends in the middle of line {n_lines}: the training is writing it, plot again"
            " in a moment (or remove that line if the training was killed)"
        )


def _read_evaluations(path: Path) -> Curve:
    import pandas as pd

    if not path.is_file():
        return Curve(np.empty(0), np.empty(0))
    try:
        with np.load(path) as file:
            steps, results = file["timesteps"], file["results"]
        steps = pd.Series(steps, dtype=np.float64)
        mean = results.mean(axis=1, dtype=np.float64)
        return Curve(_continued(steps, steps).to_numpy(), mean)
    except Exception as error:  # np.load raises many: ValueError, EOFError, zipfile's, ...
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
