"""Training callbacks: CSV log, table of full games, early stopping on the mean score.

Pass them to ``learn(callback=...)`` or name them in an RL Zoo yml file::

    callback:
      - sb3_atari_course.callbacks.StopOnMovingAverage: {threshold: 195}
      - sb3_atari_course.callbacks.EpisodeTable: {every: 10, path: games.csv}
"""

from __future__ import annotations

import contextlib
import csv
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import AtariPreprocessing, NormalizeReward, TransformReward
from stable_baselines3.common.atari_wrappers import ClipRewardEnv, EpisodicLifeEnv
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.logger import CSVOutputFormat, KVWriter, filter_excluded_keys
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecMonitor,
    VecNormalize,
    unwrap_vec_wrapper,
)

from sb3_atari_course._common.validation import explain_arguments, finite_number, integer_at_least
from sb3_atari_course.envs.native import NativeAtariVecEnv
from sb3_atari_course.wrappers import ClipReward, LifeLossTerminal

__all__ = [
    "CsvLog",
    "EpisodeRow",
    "EpisodeTable",
    "Game",
    "LogTable",
    "StopOnMovingAverage",
    "WholeGames",
    "all_within",
    "find_run_folder",
]


Callbacks = BaseCallback | Sequence[BaseCallback]

#: Attributes in which SB3's callbacks keep other callbacks.
_CHILDREN = ("callback", "callback_on_new_best")


class CsvLog(BaseCallback):
    """CSV log of SB3's metrics (loss, epsilon, mean score, ...) in ``progress.csv``.

    Writes a row for each of SB3's logs, and one at the end of each ``learn()``, which includes the
    last update of an on-policy algorithm. A second ``learn()`` with the same callback continues the
    file. If SB3's CSV logger or another CsvLog already writes the file, only the last row is added.

    :param folder: folder of the file; created if missing.
    :raises ValueError: when training starts, if it is nested in ``EveryNTimesteps``,
        ``EvalCallback`` or another callback that does not call it at the end of training.
    :raises TypeError: for an unknown argument.
    """

    @explain_arguments
    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.path = Path(folder) / "progress.csv"
        self._format: LogTable | None = None
        self._append = False  # True to continue a file of another process or of SB3's logger
        self._started_at: int | None = None  # agent steps

    def _init_callback(self) -> None:
        refuse_in_event(self)

    def _on_training_start(self) -> None:
        refuse_in_event(self)
        self._started_at = self.num_timesteps
        formats = self.logger.output_formats
        if any(_writes_to(one, self.path) for one in formats):
            self._append = True  # two writers would mix up each other's columns
            return
        if self._format is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._format = LogTable(str(self.path), append=self._append)
        formats.append(self._format)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        # RL Zoo also ends training that never started
        if self._started_at is not None and self.num_timesteps != self._started_at:
            self._started_at = self.num_timesteps
            with contextlib.suppress(NotImplementedError):  # default of SB3's BaseAlgorithm
                self.model.dump_logs()

    def checkpoint_state(self) -> Any:
        """Return an empty state; the file is truncated to its rows at the checkpoint."""
        return {}

    def restore_checkpoint_state(self, state: Any) -> None:
        """Continue the existing file."""
        self._append = True


def _writes_to(one: KVWriter, path: Path) -> bool:
    return isinstance(one, CSVOutputFormat) and Path(one.file.name).resolve() == path.resolve()


class LogTable(CSVOutputFormat):
    """CSV output format for SB3's logger that is closed between rows and replaced atomically.

    New columns are written to a temporary file that replaces the old one. The header is read again
    before each row, because another logger may have changed it.

    :param filename: path of the CSV file.
    :param append: continue an existing file.
    """

    def __init__(self, filename: str, *, append: bool = False) -> None:
        if append and os.path.isfile(filename):
            self.separator, self.quotechar = ",", '"'
            with open(filename, newline="") as self.file:
                self.keys = next(csv.reader(self.file), [])
        else:
            super().__init__(filename)
            self.file.close()

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0
    ) -> None:
        """Write one row, adding new columns first.

        :param key_values: name -> value.
        :param key_excluded: name -> output formats that exclude it.
        :param step: ignored.
        """
        values = filter_excluded_keys(key_values, key_excluded, "csv")
        with open(self.file.name, "a+", newline="") as file:
            file.seek(0)  # another logger may have added columns or removed the file
            self.keys = next(csv.reader(file), [])
        new = [key for key in values if key not in self.keys]
        if new:
            self._add_columns(new)
        with open(self.file.name, "a", newline="") as self.file:
            super().write(key_values, key_excluded, step)

    def _add_columns(self, names: list[str]) -> None:
        """Rewrite the file with additional columns, empty in the existing rows."""
        path = self.file.name
        with open(path, newline="") as file:
            rows = list(csv.reader(file))[1:]
        self.keys += names
        aside = f"{path}.part"
        with open(aside, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.keys)
            writer.writerows([*row, *[""] * (len(self.keys) - len(row))] for row in rows)
        os.replace(aside, path)


def find_run_folder(callback: BaseCallback) -> Path | None:
    """Return the folder of a run, or None if there is none.

    RL Zoo does not pass its run folder to callbacks, so it is taken from a :class:`CsvLog` or
    ``EvalCallback`` of the same run, else from SB3's logger (unless that is temporary).

    :param callback: a callback whose training has started.
    """
    for other in all_within(callback.locals.get("callback") or []):
        if isinstance(other, CsvLog):
            return other.path.parent
        if isinstance(other, EvalCallback) and other.best_model_save_path is not None:
            return Path(other.best_model_save_path)
    model = callback.model
    if (model._custom_logger or model.tensorboard_log is not None) and callback.logger.dir:
        return Path(callback.logger.dir)
    return None


def all_within(callback: Callbacks) -> Iterator[BaseCallback]:
    """Yield a callback or several, including those nested in lists, evaluations and events."""
    if not isinstance(callback, BaseCallback):
        for one in callback:
            yield from all_within(one)
        return
    yield callback
    yield from all_within(getattr(callback, "callbacks", []))
    for name in _CHILDREN:
        child = getattr(callback, name, None)
        if isinstance(child, BaseCallback):
            yield from all_within(child)


class StopOnMovingAverage(BaseCallback):
    """Early stopping once the mean score of the last ``window`` full games reaches a threshold.

    The games are those of training, including exploration, from all environments. SB3's
    ``StopTrainingOnRewardThreshold`` uses evaluations instead. A ``learn()`` that resets its step
    count also resets the games.

    :param threshold: mean score at which training stops, for example 195 for CartPole-v0.
    :param window: number of games in the mean, at least 1; training does not stop before.
    :param verbose: 1 prints a line when training stops, 0 nothing.
    :raises TypeError: for a value that is not a number.
    :raises ValueError: for a ``window`` below 1 or a non-finite ``threshold``; when training
        starts, if no Monitor records full games, or if this callback is nested in one that does
        not call it at each step.
    """

    @explain_arguments
    def __init__(self, threshold: float, *, window: int = 100, verbose: int = 1) -> None:
        super().__init__(verbose)
        self.threshold = finite_number("threshold", threshold)
        self.window = integer_at_least(1, "window", window)
        self.n_games = 0
        self._scores: deque[float] = deque(maxlen=self.window)
        self._games = WholeGames()

    def _init_callback(self) -> None:
        refuse_in_event(self)

    def _on_training_start(self) -> None:
        if self._games.begin(self):
            self._scores.clear()
            self.n_games = 0

    def _on_step(self) -> bool:
        for game in self._games.finished(self):
            self.n_games += 1
            self._scores.append(game.score)
            if len(self._scores) == self.window and np.mean(self._scores) >= self.threshold:
                if self.verbose:
                    print(
                        f"Stopped after {self.n_games:,} games and {self.num_timesteps:,} steps:"
                        f" mean score of the last {self.window} games {np.mean(self._scores):g}"
                        f" >= {self.threshold:g}"
                    )
                return False
        return True

    def checkpoint_state(self) -> Any:
        """Return the state for a checkpoint."""
        games = self._games.checkpoint_state()
        return {"n_games": self.n_games, "scores": list(self._scores), "games": games}

    def restore_checkpoint_state(self, state: Any) -> None:
        """Continue from the state of a checkpoint."""
        self.n_games = state["n_games"]
        self._scores = deque(state["scores"], maxlen=self.window)
        self._games.restore_checkpoint_state(state["games"])


class EpisodeRow(NamedTuple):
    """Row of an :class:`EpisodeTable`: one full game.

    :param game: number of the game, from 1, of all environments in the order they finished.
    :param steps: agent steps of the run so far, of all environments together.
    :param game_steps: length of the game in agent steps.
    :param epsilon: the model's exploration rate at the end of the game; None without one.
    :param seconds: duration of the game in seconds, including training.
    :param score: sum of the unclipped rewards.
    :param mean: mean score of the last ``window`` games, or of all if there are fewer.
    :param best: highest score so far.
    """

    game: int
    steps: int
    game_steps: int
    epsilon: float | None
    seconds: float
    score: float
    mean: float
    best: float

    def __str__(self) -> str:
        epsilon = "-" if self.epsilon is None else f"{self.epsilon:.4f}"
        return (
            f"{self.game:>7} {self.steps:>10} {self.game_steps:>10} {epsilon:>8}"
            f" {self.seconds:>8.1f} {self.score:>9g} {self.mean:>9.2f} {self.best:>9g}"
        )


_HEADER = (
    f"{'game':>7} {'steps':>10} {'game steps':>10} {'epsilon':>8}"
    f" {'seconds':>8} {'score':>9} {'mean':>9} {'best':>9}"
)


class EpisodeTable(BaseCallback):
    """Table of the full games of a run: printed, stored and optionally written as CSV.

    A ``learn()`` that resets its step count starts a new table and file; with
    ``reset_num_timesteps=False`` both are continued.

    :param window: number of games in the moving average, at least 1.
    :param every: print one of this many games; ``rows`` and the file contain all.
    :param path: CSV file, written after each game; its folder is created if missing, and a file
        of an earlier run is replaced. None writes no file.
    :raises TypeError: for a number that is not an integer.
    :raises ValueError: for a number below 1; when training starts, if no Monitor records full
        games, or if this callback is nested in one that does not call it at each step.
    """

    @explain_arguments
    def __init__(
        self, *, window: int = 100, every: int = 1, path: str | Path | None = None
    ) -> None:
        super().__init__()
        self.every = integer_at_least(1, "every", every)
        self.path = None if path is None else Path(path)
        #: :class:`EpisodeRow` of each game.
        self.rows: list[EpisodeRow] = []
        self._scores: deque[float] = deque(maxlen=integer_at_least(1, "window", window))
        self._games = WholeGames()
        self._has_started = False

    def _init_callback(self) -> None:
        refuse_in_event(self)

    def _on_training_start(self) -> None:
        if self._games.begin(self) or not self._has_started:
            self._has_started = True
            self.rows = []
            self._scores.clear()
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._write("w", EpisodeRow._fields)
        print(_HEADER, flush=True)

    def _on_step(self) -> bool:
        for game in self._games.finished(self):
            self._scores.append(game.score)
            row = EpisodeRow(
                game=len(self.rows) + 1,
                steps=self.num_timesteps,
                game_steps=game.n_steps,
                epsilon=getattr(self.model, "exploration_rate", None),
                seconds=round(game.seconds, 3),
                score=game.score,
                mean=float(np.mean(self._scores)),
                best=max(game.score, self.rows[-1].best if self.rows else game.score),
            )
            self.rows.append(row)
            if self.path is not None:
                self._write("a", row)
            if row.game % self.every == 0:
                print(row, flush=True)
        return True

    def checkpoint_state(self) -> Any:
        """Return the state for a checkpoint; rows as float64, NaN for None."""
        rows = np.array(self.rows, dtype=np.float64).reshape(-1, len(EpisodeRow._fields))
        return {
            "rows": rows,
            "is_begun": self._has_started,
            "games": self._games.checkpoint_state(),
        }

    def restore_checkpoint_state(self, state: Any) -> None:
        """Continue the table from the state of a checkpoint; the file is already truncated."""
        self._has_started = state["is_begun"]
        self.rows = [_row_of(numbers) for numbers in state["rows"].tolist()]
        self._scores.clear()
        self._scores.extend(row.score for row in self.rows[-(self._scores.maxlen or 0) :])
        self._games.restore_checkpoint_state(state["games"])

    def _write(self, mode: str, values: Any) -> None:
        """Write one row and close the file, so that no row is lost however training ends."""
        assert self.path is not None
        with open(self.path, mode, newline="") as file:
            csv.writer(file).writerow(values)


def _row_of(numbers: list[float]) -> EpisodeRow:
    """Return a row from its values as floats."""
    game, steps, game_steps, epsilon, *others = numbers
    return EpisodeRow(
        int(game), int(steps), int(game_steps), None if np.isnan(epsilon) else epsilon, *others
    )


#: Wrappers that must be outside Monitor, else it records lives as episodes or clipped rewards.
_NOT_INSIDE_MONITOR = (
    LifeLossTerminal,
    EpisodicLifeEnv,
    AtariPreprocessing,  # with terminal_on_life_loss
    ClipReward,
    ClipRewardEnv,
    TransformReward,  # Gymnasium's ClipReward is one
    NormalizeReward,
)


class Game(NamedTuple):
    """Full game played during training.

    :param env: index of its environment, from 0.
    :param score: sum of the unclipped rewards.
    :param n_steps: length in agent steps, without FIRE and no-ops inside a reset.
    :param seconds: duration in seconds, including training.
    """

    env: int
    score: float
    n_steps: int
    seconds: float


class WholeGames:
    """Counter of the full games of a run, for use in a callback.

    End and score of a game come from SB3's ``Monitor``; its length is counted here, because
    ``Monitor`` counts emulator frames. A game whose start was missed, because the callback was
    added during training, is not counted. Environments that are reset between two calls of
    ``learn()`` start new games.
    """

    def __init__(self) -> None:
        self._env: VecEnv | None = None
        self._n_calls = 0  # agent steps of each environment
        self._seen: list[bool] = []  # whether the start of the current game was seen
        self._started_at: list[tuple[int, float]] = []  # step, time in seconds
        # at the last step: num_timesteps (None: unknown), time in seconds, reset_infos
        self._last: tuple[int | None, float, list[Any]] = (None, 0.0, [])

    def begin(self, callback: BaseCallback) -> bool:
        """Start counting; call this from ``_on_training_start``.

        :param callback: the callback that uses this counter.
        :return: whether ``learn()`` resets its step count; if not, its games are continued.
        :raises ValueError: if no Monitor records full games with unclipped rewards; if
            ``callback`` is nested in one that does not call it at each step.
        """
        refuse_in_event(callback)
        _check_monitor(callback.training_env)
        env, now = callback.training_env.unwrapped, time.perf_counter()
        starts_over: bool = callback.locals.get("reset_num_timesteps", True)
        last_step, last_time, resets = self._last
        n_missed = None if last_step is None else callback.num_timesteps - last_step
        if starts_over or env is not self._env or n_missed is None or n_missed < 0:
            from_start = starts_over or (self._env is not None and n_missed == 0)
            self._seen = [from_start] * env.num_envs
            self._started_at = [(self._n_calls, now)] * env.num_envs
        else:  # games continue in environments that were not reset
            self._n_calls += n_missed // env.num_envs
            is_reset = [
                info is not before for info, before in zip(env.reset_infos, resets, strict=True)
            ]
            self._started_at = [(step, at + now - last_time) for step, at in self._started_at]
            for i in np.flatnonzero(is_reset).tolist():
                self._seen[i] = n_missed == 0 and all(is_reset)  # else other steps were missed
                self._started_at[i] = (self._n_calls, now)
        self._env = env
        self._remember(callback)
        return starts_over

    def begin_again(self, envs: Iterable[int]) -> None:
        """Restart counting in environments that have just started a new game.

        :param envs: indices of the environments.
        """
        for i in envs:
            self._seen[i] = True
            self._started_at[i] = (self._n_calls, time.perf_counter())

    def checkpoint_state(self) -> Any:
        """Return the unfinished games for a checkpoint, times as seconds since their start."""
        now = time.perf_counter()
        begun_at = [(step, now - at) for step, at in self._started_at]
        return {"n_calls": self._n_calls, "seen": self._seen, "begun_at": begun_at}

    def restore_checkpoint_state(self, state: Any) -> None:
        """Continue the games of a checkpoint."""
        now = time.perf_counter()
        self._n_calls, self._seen = state["n_calls"], list(state["seen"])
        self._started_at = [(step, now - seconds) for step, seconds in state["begun_at"]]
        self._last = (None, now, [])

    def finished(self, callback: BaseCallback) -> list[Game]:
        """Return the games that finished in the last step; call this from each ``_on_step``.

        :param callback: the callback that uses this counter.
        :raises ValueError: if a step was missed.
        """
        last, now_at = self._last[0], callback.num_timesteps
        if self._env is None or last not in (None, now_at - self._env.num_envs):
            raise ValueError(
                f"{type(callback).__name__} was called at step {now_at} after step {last}, but must"
                " be called at each step: pass it to learn() next to other callbacks,"
                " callback=[...], not nested in one"
            )
        self._n_calls += 1
        games = []
        for i, info in enumerate(callback.locals["infos"]):
            if "episode" not in info:
                continue
            step, at = self._started_at[i]
            now = time.perf_counter()
            if self._seen[i]:
                score = float(info["episode"]["r"])
                games.append(Game(i, score, self._n_calls - step, now - at))
            self._seen[i] = True
            self._started_at[i] = (self._n_calls, now)
        self._remember(callback)
        return games

    def _remember(self, callback: BaseCallback) -> None:
        """Store what detects, at the next ``learn()``, that steps or resets were missed."""
        assert self._env is not None
        self._last = (callback.num_timesteps, time.perf_counter(), list(self._env.reset_infos))


def refuse_in_event(callback: BaseCallback) -> None:
    """Raise an error if a callback is nested in ``EveryNTimesteps`` or another event callback.

    These do not call it at each step, and some neither at the start nor at the end of training.

    :raises ValueError: if it is nested.
    """
    parent, callback.parent = callback.parent, None  # it may be used elsewhere the next time
    if parent is not None:
        raise ValueError(
            f"{type(callback).__name__} cannot be nested in {type(parent).__name__}, which does not"
            " call it at each step: pass it to learn() next to the others, callback=[...]"
        )


@dataclass(frozen=True)
class _WrapperOrder:
    """Pseudo-class for ``env_is_wrapped`` that matches ``outer`` around ``inner``.

    It also works in worker processes.

    :param inner: one of ``_NOT_INSIDE_MONITOR``.
    :param outer: ``Monitor``, or any wrapper if ``VecMonitor`` is outside of all of them.
    """

    inner: type
    outer: type

    def __instancecheck__(self, layer: Any) -> bool:
        if not isinstance(layer, self.outer):
            return False
        while isinstance(layer, gym.Wrapper):
            # the attribute is AtariPreprocessing's
            if isinstance(layer, self.inner) and getattr(layer, "terminal_on_life_loss", True):
                return True
            layer = layer.env
        return False


def _check_monitor(env: VecEnv) -> None:
    """Raise an error unless a Monitor records full games with unclipped rewards."""
    vec_monitor, native = unwrap_vec_wrapper(env, VecMonitor), env.unwrapped
    if vec_monitor is None and not all(env.env_is_wrapped(Monitor)):
        raise ValueError(
            "no Monitor records the games: create the environments with make_atari_env or SB3's"
            " make_vec_env, or wrap each one in Monitor"
        )
    inside = None
    if isinstance(native, NativeAtariVecEnv):  # records full games itself; a second Monitor may not
        if vec_monitor is not None and (native.terminal_on_life_loss or native.clip_reward):
            inside = "NativeAtariVecEnv with terminal_on_life_loss or clip_reward"
    else:
        outer = Monitor if vec_monitor is None else gym.Wrapper
        for inner in _NOT_INSIDE_MONITOR:
            if any(env.env_is_wrapped(_WrapperOrder(inner, outer))):  # type: ignore[arg-type]
                inside = inner.__name__
        if vec_monitor is not None:
            scaling = unwrap_vec_wrapper(vec_monitor.venv, VecNormalize)
            inside = "VecNormalize" if scaling is not None and scaling.norm_reward else inside
    if inside is not None:
        raise ValueError(
            f"{'Monitor' if vec_monitor is None else 'VecMonitor'} is outside of {inside}, so it"
            " does not record full games with unclipped rewards: apply Monitor first,"
            " wrap_atari(Monitor(gym.make(...))), or use make_atari_env"
        )


def __getattr__(name: str) -> Any:
    if name == "RecordVideo":
        raise ValueError(
            "sb3_atari_course.callbacks.RecordVideo was removed: add gymnasium.wrappers.RecordVideo"
            " to env_wrapper, or use SB3's VecVideoRecorder or RL Zoo's record_training"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
