"""Callbacks beside a training: SB3's log as CSV, a table of whole games, an early end.

Each of them is for ``learn(callback=...)``, or for an RL Zoo yml::

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
    """Writes what SB3 logs (loss, epsilon, mean score, ...) to ``progress.csv`` too.

    One row each time SB3 prints its table, and one at the end of each ``learn()``, with what an
    on-policy algorithm logs after its last table; ``time/total_timesteps`` counts agent steps. A
    second ``learn()`` with the same callback continues the same file. Where SB3's own CSV logger,
    or another CsvLog, writes that file already, this one only adds the row at the end.

    :param folder: where the file goes; made if missing.
    :raises ValueError: when the training begins, inside of EveryNTimesteps, EvalCallback and other
        callbacks that do not call this one at the end.
    :raises TypeError: for an unknown argument.
    """

    @explain_arguments
    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.path = Path(folder) / "progress.csv"
        self._format: LogTable | None = None
        self._append = False  # continues a file of another process, or of SB3's logger
        self._begun_at: int | None = None  # agent steps

    def _init_callback(self) -> None:
        refuse_in_event(self)

    def _on_training_start(self) -> None:
        refuse_in_event(self)
        self._begun_at = self.num_timesteps
        formats = self.logger.output_formats
        if any(_writes_to(one, self.path) for one in formats):
            self._append = True  # two tables would write into each other's columns
            return
        if self._format is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._format = LogTable(str(self.path), append=self._append)
        formats.append(self._format)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        # RL Zoo ends trainings that never began, too
        if self._begun_at is not None and self.num_timesteps != self._begun_at:
            self._begun_at = self.num_timesteps
            with contextlib.suppress(NotImplementedError):  # SB3's default: nothing to log
                self.model.dump_logs()

    def checkpoint_state(self) -> Any:
        """Return nothing: the file itself is cut and kept by its rows."""
        return {}

    def restore_checkpoint_state(self, state: Any) -> None:
        """Go on with the file that is there."""
        self._append = True


def _writes_to(one: KVWriter, path: Path) -> bool:
    return isinstance(one, CSVOutputFormat) and Path(one.file.name).resolve() == path.resolve()


class LogTable(CSVOutputFormat):
    """SB3's CSV format with a file that is closed between two rows, and never half rewritten.

    New columns go into a file aside that replaces it. Each row goes under the columns that the
    file has by then, also if another logger wrote it.

    :param filename: where the table goes.
    :param append: go on with the table that is there.
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
        """Write one row, and the names of new columns before it."""
        values = filter_excluded_keys(key_values, key_excluded, "csv")
        with open(self.file.name, "a+", newline="") as file:
            file.seek(0)  # another log may have written other columns since, or removed the file
            self.keys = next(csv.reader(file), [])
        new = [key for key in values if key not in self.keys]
        if new:
            self._add_columns(new)
        with open(self.file.name, "a", newline="") as self.file:
            super().write(key_values, key_excluded, step)

    def _add_columns(self, names: list[str]) -> None:
        """Write the table with more columns, empty in the rows so far."""
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
    """Return the folder of the training, None if nobody has named one.

    RL Zoo tells its callbacks nothing of its run folder, but the evaluation (and our log) beside
    them write into it; a folder of SB3's logger counts if it was chosen, not the temporary one.

    :param callback: in a training that has begun.
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
    """Yield a callback, or several, and those in them: of a list, of an evaluation."""
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
    """Ends the training once the mean score of the last ``window`` whole games is high enough.

    The games are those of the training, exploration included; all environments count together.
    SB3's ``StopTrainingOnRewardThreshold`` looks at evaluations instead. A ``learn()`` that counts
    its steps from 0 begins to count the games anew, too.

    :param threshold: mean score at which the training ends, 195 for CartPole-v0, say.
    :param window: games in the mean; before so many are finished nothing ends.
    :param verbose: 1 prints a line at the end, 0 nothing.
    :raises TypeError: for a value that is no number.
    :raises ValueError: for a ``window`` below 1, an infinite ``threshold``; when the training
        begins, if no Monitor counts whole games, and inside of a callback that does not call this
        one at each step.
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
                        f"stopped after {self.n_games:,} games and {self.num_timesteps:,} steps:"
                        f" mean score of the last {self.window} games {np.mean(self._scores):g}"
                        f" >= {self.threshold:g}"
                    )
                return False
        return True

    def checkpoint_state(self) -> Any:
        """Return what changes while training."""
        games = self._games.checkpoint_state()
        return {"n_games": self.n_games, "scores": list(self._scores), "games": games}

    def restore_checkpoint_state(self, state: Any) -> None:
        """Go on counting from there."""
        self.n_games = state["n_games"]
        self._scores = deque(state["scores"], maxlen=self.window)
        self._games.restore_checkpoint_state(state["games"])


class EpisodeRow(NamedTuple):
    """A line of the table.

    :param game: number of the game, from 1; games of all environments in the order of their ends.
    :param steps: agent steps of the training so far, of all environments together.
    :param game_steps: agent steps of the game.
    :param epsilon: the model's probability of a random action at its end; None without one.
    :param seconds: how long the game took, training included.
    :param score: its true score.
    :param mean: mean score of the last ``window`` games, or of all so far.
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
    """Prints a line for each whole game of the training, and keeps the rows.

    A ``learn()`` that counts its steps from 0 begins a new table (and file); one with
    ``reset_num_timesteps=False`` goes on in both.

    :param window: games in the moving average.
    :param every: print every so many games; rows and file have all of them.
    :param path: a CSV file for the rows, each there once its game is over; its folder is made if
        missing, a file of an earlier training is replaced.
    :raises TypeError: for a number that is no integer.
    :raises ValueError: for a number below 1; when the training begins, if no Monitor counts whole
        games, and inside of a callback that does not call this one at each step.
    """

    @explain_arguments
    def __init__(
        self, *, window: int = 100, every: int = 1, path: str | Path | None = None
    ) -> None:
        super().__init__()
        self.every = integer_at_least(1, "every", every)
        self.path = None if path is None else Path(path)
        #: :class:`EpisodeRow` of each game
        self.rows: list[EpisodeRow] = []
        self._scores: deque[float] = deque(maxlen=integer_at_least(1, "window", window))
        self._games = WholeGames()
        self._is_begun = False

    def _init_callback(self) -> None:
        refuse_in_event(self)

    def _on_training_start(self) -> None:
        if self._games.begin(self) or not self._is_begun:
            self._is_begun = True
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
        """Return what changes while training; the rows as float64, NaN for no number."""
        rows = np.array(self.rows, dtype=np.float64).reshape(-1, len(EpisodeRow._fields))
        return {"rows": rows, "is_begun": self._is_begun, "games": self._games.checkpoint_state()}

    def restore_checkpoint_state(self, state: Any) -> None:
        """Go on with the table; its file was cut back already."""
        self._is_begun = state["is_begun"]
        self.rows = [_row_of(numbers) for numbers in state["rows"].tolist()]
        self._scores.clear()
        self._scores.extend(row.score for row in self.rows[-(self._scores.maxlen or 0) :])
        self._games.restore_checkpoint_state(state["games"])

    def _write(self, mode: str, values: Any) -> None:
        """Write one line; the file is closed in between, whatever ends the training."""
        assert self.path is not None
        with open(self.path, mode, newline="") as file:
            csv.writer(file).writerow(values)


def _row_of(numbers: list[float]) -> EpisodeRow:
    """Return a row of the table from numbers alone."""
    game, steps, game_steps, epsilon, *others = numbers
    return EpisodeRow(
        int(game), int(steps), int(game_steps), None if np.isnan(epsilon) else epsilon, *others
    )


#: Outside of Monitor only: what it counts would end at a lost life, or be clipped or scaled.
_INSIDE_IS_WRONG = (
    LifeLossTerminal,
    EpisodicLifeEnv,
    AtariPreprocessing,  # with terminal_on_life_loss
    ClipReward,
    ClipRewardEnv,
    TransformReward,  # Gymnasium's ClipReward is one
    NormalizeReward,
)


class Game(NamedTuple):
    """A whole game that was played in a training.

    :param env: number of its environment, from 0.
    :param score: true score, the sum of unclipped rewards.
    :param n_steps: its length in agent steps (FIRE and no-ops inside a reset are none).
    :param seconds: how long it took, training included.
    """

    env: int
    score: float
    n_steps: int
    seconds: float


class WholeGames:
    """Counts the games of a training along, for a callback that owns it.

    SB3's Monitor says when a game is over and its score; its length is one in emulator frames, so
    agent steps are counted here. A game whose beginning was not seen, because the callback joined a
    running training, is not a whole one. Environments that are reset between two ``learn()``
    begin new games.
    """

    def __init__(self) -> None:
        self._env: VecEnv | None = None
        self._n_calls = 0  # agent steps of each environment
        self._seen: list[bool] = []
        self._begun_at: list[tuple[int, float]] = []  # step, time in seconds
        # after the last step: the training's steps, None if unknown; the time; the last resets
        self._last: tuple[int | None, float, list[Any]] = (None, 0.0, [])

    def begin(self, callback: BaseCallback) -> bool:
        """Begin, from ``_on_training_start``; tell whether the training counts from 0.

        If not, it goes on in the middle of its games.

        :raises ValueError: if no Monitor counts the whole, unclipped games; inside of a callback
            that does not call this one at each step.
        """
        refuse_in_event(callback)
        _check_monitor(callback.training_env)
        env, now = callback.training_env.unwrapped, time.perf_counter()
        anew: bool = callback.locals.get("reset_num_timesteps", True)
        last_step, last_time, resets = self._last
        n_missed = None if last_step is None else callback.num_timesteps - last_step
        if anew or env is not self._env or n_missed is None or n_missed < 0:
            self._seen = [anew or (self._env is not None and n_missed == 0)] * env.num_envs
            self._begun_at = [(self._n_calls, now)] * env.num_envs
        else:  # the same games go on where they were not reset
            self._n_calls += n_missed // env.num_envs
            is_reset = [
                info is not before for info, before in zip(env.reset_infos, resets, strict=True)
            ]
            self._begun_at = [(step, at + now - last_time) for step, at in self._begun_at]
            for i in np.flatnonzero(is_reset).tolist():
                self._seen[i] = n_missed == 0 and all(is_reset)  # else others have played
                self._begun_at[i] = (self._n_calls, now)
        self._env = env
        self._remember(callback)
        return anew

    def begin_again(self, envs: Iterable[int]) -> None:
        """Count from here in environments that have just begun a new game.

        :param envs: their numbers.
        """
        for i in envs:
            self._seen[i] = True
            self._begun_at[i] = (self._n_calls, time.perf_counter())

    def checkpoint_state(self) -> Any:
        """Return the games that are being played, times as seconds since their beginnings."""
        now = time.perf_counter()
        begun_at = [(step, now - at) for step, at in self._begun_at]
        return {"n_calls": self._n_calls, "seen": self._seen, "begun_at": begun_at}

    def restore_checkpoint_state(self, state: Any) -> None:
        """Go on in the middle of these games."""
        now = time.perf_counter()
        self._n_calls, self._seen = state["n_calls"], list(state["seen"])
        self._begun_at = [(step, now - seconds) for step, seconds in state["begun_at"]]
        self._last = (None, now, [])

    def finished(self, callback: BaseCallback) -> list[Game]:
        """Return the games that the last step has finished; from ``_on_step``, each time.

        :raises ValueError: if a step was left out.
        """
        last, now_at = self._last[0], callback.num_timesteps
        if self._env is None or last not in (None, now_at - self._env.num_envs):
            raise ValueError(
                f"{type(callback).__name__} was called at step {now_at} after step {last}, but it"
                " has to see each step: pass it to learn() beside other callbacks, callback=[...],"
                " not inside of one"
            )
        self._n_calls += 1
        games = []
        for i, info in enumerate(callback.locals["infos"]):
            if "episode" not in info:
                continue
            step, at = self._begun_at[i]
            now = time.perf_counter()
            if self._seen[i]:
                score = float(info["episode"]["r"])
                games.append(Game(i, score, self._n_calls - step, now - at))
            self._seen[i] = True
            self._begun_at[i] = (self._n_calls, now)
        self._remember(callback)
        return games

    def _remember(self, callback: BaseCallback) -> None:
        """Keep what shows at the next ``learn()`` whether the games have gone on without us."""
        assert self._env is not None
        self._last = (callback.num_timesteps, time.perf_counter(), list(self._env.reset_infos))


def refuse_in_event(callback: BaseCallback) -> None:
    """Refuse to stand inside of SB3's EveryNTimesteps, EvalCallback and other event callbacks.

    They call another callback now and then, and some neither at the start nor at the end.

    :raises ValueError: if it stands in one.
    """
    parent, callback.parent = callback.parent, None  # it may stand elsewhere the next time
    if parent is not None:
        raise ValueError(
            f"{type(callback).__name__} cannot stand inside of {type(parent).__name__}, which does"
            " not call it at each step: pass it to learn() beside the others, callback=[...]"
        )


@dataclass(frozen=True)
class _Around:
    """What ``env_is_wrapped`` looks for, in worker processes too: ``outer`` around ``inner``.

    :param inner: one of ``_INSIDE_IS_WRONG``.
    :param outer: who counts: Monitor, or any wrapper if VecMonitor stands around all of them.
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
    """Refuse environments in which no Monitor counts whole, unclipped games."""
    vec_monitor, native = unwrap_vec_wrapper(env, VecMonitor), env.unwrapped
    if vec_monitor is None and not all(env.env_is_wrapped(Monitor)):
        raise ValueError(
            "no Monitor counts the games: make the environments with make_atari_env or SB3's"
            " make_vec_env, or put Monitor around each game"
        )
    inside = None
    if isinstance(native, NativeAtariVecEnv):  # its own Monitor counts right, a second may not
        if vec_monitor is not None and (native.terminal_on_life_loss or native.clip_reward):
            inside = "NativeAtariVecEnv with terminal_on_life_loss or clip_reward"
    else:
        outer = Monitor if vec_monitor is None else gym.Wrapper
        for inner in _INSIDE_IS_WRONG:
            if any(env.env_is_wrapped(_Around(inner, outer))):  # type: ignore[arg-type]
                inside = inner.__name__
        if vec_monitor is not None:
            scaling = unwrap_vec_wrapper(vec_monitor.venv, VecNormalize)
            inside = "VecNormalize" if scaling is not None and scaling.norm_reward else inside
    if inside is not None:
        raise ValueError(
            f"{'Monitor' if vec_monitor is None else 'VecMonitor'} stands outside of {inside}, so"
            " it does not count whole, unclipped games: put a Monitor around each game, inside of"
            " it, wrap_atari(Monitor(gym.make(...))), or use make_atari_env"
        )


def __getattr__(name: str) -> Any:
    if name == "RecordVideo":
        raise ValueError(
            "sb3_atari_course.callbacks.RecordVideo was removed: put gymnasium.wrappers.RecordVideo"
            " into env_wrapper, or use SB3's VecVideoRecorder or RL Zoo's record_training"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
