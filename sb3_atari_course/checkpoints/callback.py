"""Checkpoint callback: writes checkpoints, stops training at a signal, resumes it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any
from weakref import WeakValueDictionary

import torch as th
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3.common.callbacks import BaseCallback, ProgressBarCallback

from sb3_atari_course._common.errors import CheckpointError, SettingError
from sb3_atari_course._common.progress import Progress
from sb3_atari_course._common.state_tree import NotPlainError
from sb3_atari_course._common.validation import explain_arguments, integer_at_least
from sb3_atari_course.callbacks import all_within, find_run_folder
from sb3_atari_course.checkpoints.folder import (
    FOLDER,
    Checkpoint,
    CheckpointFolder,
    how_to_resume,
)
from sb3_atari_course.checkpoints.snapshot import Snapshots, check_supported

#: Default number of agent steps between two checkpoints.
FREQUENCY = 50_000

#: Signals that stop training gracefully; a second one is handled as before training.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOPPING = "stopping after this rollout with a checkpoint (repeat to stop immediately)"


class ExactCheckpoint(BaseCallback):
    """Checkpoint callback for exact resume, with a graceful stop at signals.

    A checkpoint is written to ``RUN/checkpoints`` at the first rollout boundary after every
    ``every`` steps, and after Ctrl-C (SIGINT) or SIGTERM, which then ends training. It contains
    weights, optimizer, replay buffer, counters, random generators, environments, callbacks and the
    sizes of the log files. The last two checkpoints are kept. If the process is killed while one is
    written, or the disk is full, the previous one remains valid. Checkpoints are incremental, so
    their cost does not depend on the size of the replay buffer.

    Supported are DQN, QRDQN, FastDQN and QLearning; training is resumed by
    :func:`~sb3_atari_course.checkpoints.resuming.resume`, bit for bit with Python environments;
    native and Box2D environments start new episodes. In an RL Zoo yml file::

        callback: [{sb3_atari_course.checkpoints.ExactCheckpoint: {every: 50000}}]

    :param every: agent steps between two checkpoints, of all environments together, at least 1.
    :param folder: the run folder; default: RL Zoo's run folder, or the logger's folder.
    :param verbose: 0 prints errors, how to resume after a signal, and on resume the step and the
        environments that start a new episode; 1 also prints each checkpoint.
    :raises ValueError: for an ``every`` below 1.
    :raises TypeError: for an ``every`` that is not an integer.
    :raises SettingError: when training starts: for an unsupported algorithm or replay buffer, a
        missing or unwritable run folder, or one with the checkpoints of another run.
    """

    #: Not saved in checkpoints.
    is_stateless = True

    @explain_arguments
    def __init__(
        self, every: int = FREQUENCY, *, folder: str | Path | None = None, verbose: int = 0
    ) -> None:
        super().__init__(verbose)
        self.every = integer_at_least(1, "every", every)
        self.folder = None if folder is None else Path(folder)
        #: The signal that stopped training; None if there was none.
        self.stop_signal: int | None = None
        self._signals = StopSignals()
        self._checkpoints: CheckpointFolder | None = None
        self._snapshots: Snapshots | None = None
        self._to_resume: Checkpoint | None = None
        self._last_step = 0  # agent steps at the last checkpoint or attempt
        self._planned_steps = 0  # total_timesteps that schedules refer to
        self._is_in_rollout = self._is_running = False

    def resume_from(self, folder: CheckpointFolder, checkpoint: Checkpoint) -> None:
        """Make the next ``learn()`` continue from a checkpoint.

        :param folder: the folder of the checkpoint, locked by this process.
        :param checkpoint: the checkpoint.
        """
        self._checkpoints, self._to_resume = folder, checkpoint
        self._snapshots = None  # of an earlier run
        self.folder = folder.path.parent

    @property
    def received_signal(self) -> int | None:
        """The signal received, whether training stopped gracefully or immediately."""
        return self._signals.received

    @property
    def training_steps(self) -> int:
        """Agent steps after which training ends."""
        return int(self.locals["total_timesteps"])

    @property
    def _folder(self) -> CheckpointFolder:
        assert self._checkpoints is not None, "training has not started"
        return self._checkpoints

    def _on_training_start(self) -> None:
        experiment = calling_experiment()
        if experiment is not None and (
            experiment.optimize_hyperparameters or not experiment.log_folder
        ):
            return  # hyperparameter trials write no files
        try:
            check_supported(self.model)
            self._prepare_folder(experiment)
        except (TypeError, CheckpointError) as error:
            self.release()
            raise SettingError(str(error)) from error
        except OSError as error:
            self.release()
            raise SettingError(f"checkpoints cannot be written: {error}") from error
        self.stop_signal, self._is_running = None, True
        self._signals.listen()

    def _prepare_folder(self, experiment: ExperimentManager | None) -> None:
        """Lock the folder and store the settings with which this training started.

        :raises CheckpointError: without a folder, and for one used by another run.
        """
        if self.folder is None and experiment is not None:
            run: Path | None = Path(experiment.save_path)
        else:
            run = self.folder or find_run_folder(self)
        if run is None:
            raise CheckpointError("there is no run folder: pass ExactCheckpoint(folder=...)")
        folder = self._checkpoints or CheckpointFolder(run / FOLDER)
        if not folder.is_locked:
            release_earlier_lock(folder.path, siblings=all_within(self.locals["callback"]))
            folder.lock()
        continues = self._to_resume is not None or 0 < self._last_step <= self.model.num_timesteps
        if folder.has_checkpoints and not continues:
            folder.unlock()
            raise CheckpointError(
                f"{run} has the checkpoints of another training: resume it with"
                f" `{how_to_resume(run)}`, or use another folder"
            )
        self._checkpoints = folder
        _LOCK_HOLDERS[folder.path.resolve()] = self
        if self._snapshots is None:
            self._snapshots = Snapshots(folder, run)
            self._snapshots.begin(self.model, self._start_settings(experiment))

    def _start_settings(self, experiment: ExperimentManager | None) -> dict[str, Any]:
        """Return the settings that :func:`resume` needs, unless they are in RL Zoo's files."""
        begun: dict[str, Any] = {"every": self.every, "threads": th.get_num_threads()}
        if experiment is None:
            siblings = getattr(self.locals["callback"], "callbacks", [])
            place = siblings.index(self) if self in siblings else None
            names = ("log_interval", "tb_log_name")
            return {**begun, "place": place, "learn": {name: self.locals[name] for name in names}}
        cls, agent = type(experiment), experiment.trained_agent
        return {
            **begun,
            "experiment": f"{cls.__module__}.{cls.__qualname__}",
            "native": experiment.default_vec_env_cls is not None,
            "trained_agent": os.path.abspath(agent) if agent else "",
        }

    def _on_rollout_start(self) -> None:
        self._is_in_rollout = True
        if not self._is_running:
            return
        if self._to_resume is not None:
            self._resume()
        self._planned_steps = self._planned_steps or self.model._total_timesteps
        is_due = self.model.num_timesteps // self.every > self._last_step // self.every
        if self._signals.received is not None and self.stop_signal is None:
            self.stop_signal = self._signals.received
            is_due = self.model.num_timesteps > self._last_step or not self._folder.has_checkpoints
        if is_due:
            self._take()
        self._clamp_progress()

    def _on_step(self) -> bool:
        self._clamp_progress()
        return self.stop_signal is None

    def _on_rollout_end(self) -> None:
        self._is_in_rollout = False

    def _on_training_end(self) -> None:
        if not self._is_running:
            return
        if self.stop_signal is not None:
            self._log_event("stopped", step=self._last_step, signal=self.stop_signal)
            run = self._folder.path.parent
            by = f"sb3_atari_course.resume({str(run)!r}, ...)"
            if calling_experiment() is not None:
                by = how_to_resume(run)
            print(f"Stopped at step {self._last_step:,}. To resume: {by}")
        elif self.model.num_timesteps >= self.training_steps and not self._is_in_rollout:
            self._take(finished=True)
        elif sys.exc_info()[0] is None:
            self._log_event("ended", step=self.model.num_timesteps)  # by another callback
        self.release()

    def _resume(self) -> None:
        """Restore the checkpoint at the first rollout."""
        assert self._snapshots is not None
        checkpoint, self._to_resume = self._to_resume, None
        assert checkpoint is not None
        started = time.perf_counter()
        with Progress("Restoring the checkpoint"):
            fresh = self._snapshots.restore(checkpoint, self.model, self.locals["callback"])
        self.num_timesteps = self._last_step = checkpoint.step
        seconds = round(time.perf_counter() - started, 3)
        self._log_event("resumed", step=checkpoint.step, seconds=seconds, new_episodes=fresh)
        print(f"Resumed at step {checkpoint.step:,} of {self.training_steps:,}", flush=True)
        for bar in all_within(self.locals["callback"]):
            if isinstance(bar, ProgressBarCallback):
                bar.pbar.update(checkpoint.step)
        for reason in dict.fromkeys(fresh.values()):
            envs = [env for env in fresh if fresh[env] == reason]
            which = f"{len(envs)} environments" if len(envs) > 2 else " and ".join(envs)
            print(f"  new episode (not bit-identical) in {which}: {reason}", flush=True)

    def _take(self, *, finished: bool = False) -> None:
        """Write a checkpoint; if that fails, print why and continue with the previous one."""
        assert self._snapshots is not None
        self._last_step = step = self.model.num_timesteps
        started = time.perf_counter()
        try:
            self._log_event("write", step=step)
            self._snapshots.take(
                self.model,
                self.locals["callback"],
                n_timesteps=max(self.training_steps, self._planned_steps),
                finished=finished,
            )
        except (OSError, MemoryError, NotPlainError) as error:
            self._log_event("failed", step=step, error=str(error))
            before = self._folder.peek()
            kept = f"step {before.step:,} is kept" if before else "there is no earlier one"
            print(f"Checkpoint at step {step:,} could not be written ({error}): {kept}")
            with contextlib.suppress(OSError):
                self._folder.clear()  # makes room for the next one
            return
        seconds = round(time.perf_counter() - started, 3)
        self._log_event("written", step=step, seconds=seconds)
        if self.verbose:
            print(f"Checkpoint at step {step:,} ({seconds:.2f} s)")

    def _clamp_progress(self) -> None:
        """Keep schedules at their final value when training exceeds their length."""
        model = self.model
        model._total_timesteps = max(model._total_timesteps, model.num_timesteps)

    def _log_event(self, event: str, **facts: Any) -> None:
        with contextlib.suppress(OSError):  # the disk may be full
            self._folder.log_event(event, **facts)

    def release(self) -> None:
        """Unlock the folder and restore the signal handlers."""
        self._is_running = False
        self._signals.release()
        if self._checkpoints is not None:
            self._checkpoints.unlock()


def calling_experiment() -> ExperimentManager | None:
    """Return the calling RL Zoo experiment from the stack; RL Zoo does not pass it to callbacks."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        caller = frame.f_locals.get("self")
        if isinstance(caller, ExperimentManager):
            return caller
    return None


#: Folder of checkpoints -> the callback of this process that has locked it.
_LOCK_HOLDERS: WeakValueDictionary[Path, ExactCheckpoint] = WeakValueDictionary()


def release_earlier_lock(folder: Path, *, siblings: Iterable[BaseCallback] = ()) -> None:
    """Unlock a checkpoint folder that an earlier run of this process has locked.

    SB3 (2.9.2) does not notify callbacks of an error that ends training, so the lock may be left
    over. If the earlier run still trains, it writes no more checkpoints.

    :param folder: the checkpoint folder.
    :param siblings: callbacks of the same run, which keep their locks.
    """
    holder = _LOCK_HOLDERS.get(folder.resolve())
    if holder is not None and holder not in siblings:
        holder.release()


class StopSignals:
    """Signal handlers for Ctrl-C (SIGINT) and SIGTERM that only set a flag during training.

    They are installed only in the main thread, where Python handles signals. If training ends with
    an error, they stay installed: the next signal sets the flag, only the second one is handled as
    before training.
    """

    def __init__(self) -> None:
        self._is_listening = False
        #: Never cleared: code that replaced our handler may install it again later.
        self._before: dict[int, Any] = {}
        #: The number of the signal received; None if there was none.
        self.received: int | None = None

    def listen(self) -> None:
        """Install the handlers; ignored signals (``nohup``) stay ignored."""
        self.received, self._is_listening = None, True
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            # None: installed by non-Python code, so it could not be restored
            if handler not in (signal.SIG_IGN, None, self._receive):
                self._before[number] = handler
                signal.signal(number, self._receive)

    def release(self) -> None:
        """Restore the previous signal handlers."""
        self._is_listening = False
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                if signal.getsignal(number) == self._receive:
                    signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None and self._is_listening:
            self.received = number
            with contextlib.suppress(OSError):  # the terminal may be closed
                # print() is not reentrant, and may be what was interrupted
                os.write(2, f"\n{signal.Signals(number).name}: {_STOPPING}\n".encode())
            return
        self.release()
        signal.raise_signal(number)
