"""The callback: when a checkpoint is written, and when a training stops or resumes."""

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
from sb3_atari_course.checkpoints.snapshot import Snapshots, check_known

#: Agent steps between two checkpoints, by default.
FREQUENCY = 50_000

#: Signals that ask for a stop; a second one stops at once, as it would without us.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOPPING = "stopping after this rollout, with a checkpoint (once more: at once)"


class ExactCheckpoint(BaseCallback):
    """Writes checkpoints from which a training resumes to the bit, and stops it at a signal.

    At the first rollout boundary after every ``every`` steps, and after Ctrl-C (SIGINT) or SIGTERM,
    the whole training goes into ``RUN/checkpoints``: weights, optimiser, replay buffer, counters,
    random generators, environments, callbacks, and how long the log files are. After a signal the
    training then ends as if it were finished. The last two checkpoints are kept; a kill while one
    is written, or a full disk, leaves the one before. What is written is what is new, so the size
    of the replay buffer does not matter.

    For DQN, QRDQN, FastDQN and QLearning; ``sb3_atari_course.checkpoints.resume`` resumes.
    In an RL Zoo yml ``callback: [{sb3_atari_course.checkpoints.ExactCheckpoint: {every: 50000}}]``.

    :param every: agent steps of all environments between two checkpoints.
    :param folder: the run folder; by default RL Zoo's, or that of the log.
    :param verbose: 0 prints only what went wrong, and how to resume after a signal.
    :raises ValueError: for an ``every`` below 1.
    :raises TypeError: for one that is not an integer.
    :raises SettingError: when the training begins: for another algorithm or replay buffer, without
        a folder, in a folder with the checkpoints of another training, or where nothing can be
        written.
    """

    #: What it knows is in the checkpoint itself.
    is_stateless = True

    @explain_arguments
    def __init__(
        self, every: int = FREQUENCY, *, folder: str | Path | None = None, verbose: int = 0
    ) -> None:
        super().__init__(verbose)
        self.every = integer_at_least(1, "every", every)
        self.folder = None if folder is None else Path(folder)
        #: The signal that has stopped the training, None if none did.
        self.stop_signal: int | None = None
        self._signals = StopSignals()
        self._checkpoints: CheckpointFolder | None = None
        self._snapshots: Snapshots | None = None
        self._to_resume: Checkpoint | None = None
        self._last_step = 0  # agent steps at the last checkpoint, or at the last attempt
        self._planned_steps = 0  # what schedules refer to
        self._is_in_rollout = self._is_running = False

    def resume_from(self, folder: CheckpointFolder, checkpoint: Checkpoint) -> None:
        """Let the next ``learn()`` continue from a checkpoint.

        :param folder: locked for this process.
        """
        self._checkpoints, self._to_resume = folder, checkpoint
        self._snapshots = None  # of an earlier training
        self.folder = folder.path.parent

    @property
    def received_signal(self) -> int | None:
        """The signal that came, whether the training has stopped cleanly or at once."""
        return self._signals.received

    @property
    def training_steps(self) -> int:
        """Agent steps after which the training ends."""
        return int(self.locals["total_timesteps"])

    @property
    def _folder(self) -> CheckpointFolder:
        assert self._checkpoints is not None, "the training has not begun"
        return self._checkpoints

    def _on_training_start(self) -> None:
        experiment = experiment_behind()
        if experiment is not None and (
            experiment.optimize_hyperparameters or not experiment.log_folder
        ):
            return  # trials of a search leave nothing behind
        try:
            check_known(self.model)
            self._prepare_folder(experiment)
        except (TypeError, CheckpointError) as error:
            self.let_go()
            raise SettingError(str(error)) from error
        except OSError as error:
            self.let_go()
            raise SettingError(f"checkpoints cannot be written: {error}") from error
        self.stop_signal, self._is_running = None, True
        self._signals.listen()

    def _prepare_folder(self, experiment: ExperimentManager | None) -> None:
        """Lock the folder, which no other training uses or has used, and note how this one began.

        :raises CheckpointError: without a folder, and for one of another training.
        """
        if self.folder is None and experiment is not None:
            run: Path | None = Path(experiment.save_path)
        else:
            run = self.folder or find_run_folder(self)
        if run is None:
            raise CheckpointError("there is no run folder: choose one, ExactCheckpoint(folder=...)")
        folder = self._checkpoints or CheckpointFolder(run / FOLDER)
        if not folder.is_locked:
            take_over(folder.path, beside=all_within(self.locals["callback"]))
            folder.lock()
        continues = self._to_resume is not None or 0 < self._last_step <= self.model.num_timesteps
        if folder.has_checkpoints and not continues:
            folder.unlock()
            raise CheckpointError(
                f"{run} has the checkpoints of another training: resume it by"
                f" `{how_to_resume(run)}`, or choose another folder"
            )
        self._checkpoints = folder
        _HOLDERS[folder.path.resolve()] = self
        if self._snapshots is None:
            self._snapshots = Snapshots(folder, run)
            self._snapshots.begin(self.model, self._how_it_began(experiment))

    def _how_it_began(self, experiment: ExperimentManager | None) -> dict[str, Any]:
        """Return what :func:`resume` needs beside the model, or the settings in RL Zoo's files."""
        begun: dict[str, Any] = {"every": self.every, "threads": th.get_num_threads()}
        if experiment is None:
            beside = getattr(self.locals["callback"], "callbacks", [])
            place = beside.index(self) if self in beside else None
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
        self._keep_progress()

    def _on_step(self) -> bool:
        self._keep_progress()
        return self.stop_signal is None

    def _on_rollout_end(self) -> None:
        self._is_in_rollout = False

    def _on_training_end(self) -> None:
        if not self._is_running:
            return
        if self.stop_signal is not None:
            self._note("stopped", step=self._last_step, signal=self.stop_signal)
            run = self._folder.path.parent
            by = f"sb3_atari_course.resume({str(run)!r}, ...)"
            if experiment_behind() is not None:
                by = how_to_resume(run)
            print(f"Stopped at step {self._last_step:,}. To resume: {by}")
        elif self.model.num_timesteps >= self.training_steps and not self._is_in_rollout:
            self._take(finished=True)
        elif sys.exc_info()[0] is None:
            self._note("ended", step=self.model.num_timesteps)  # by another callback
        self.let_go()

    def _resume(self) -> None:
        """Put everything in its place, at the first rollout."""
        assert self._snapshots is not None
        checkpoint, self._to_resume = self._to_resume, None
        assert checkpoint is not None
        started = time.perf_counter()
        with Progress("Restoring the checkpoint"):
            fresh = self._snapshots.put_back(checkpoint, self.model, self.locals["callback"])
        self.num_timesteps = self._last_step = checkpoint.step
        seconds = round(time.perf_counter() - started, 3)
        self._note("resumed", step=checkpoint.step, seconds=seconds, new_episodes=fresh)
        print(f"Resumed at step {checkpoint.step:,} of {self.training_steps:,}", flush=True)
        for bar in all_within(self.locals["callback"]):
            if isinstance(bar, ProgressBarCallback):
                bar.pbar.update(checkpoint.step)
        for env, reason in fresh.items():
            print(f"  {env} begins a new episode: {reason}", flush=True)

    def _take(self, *, finished: bool = False) -> None:
        """Write a checkpoint; if that fails, say so and train on: the one before is still there."""
        assert self._snapshots is not None
        self._last_step = step = self.model.num_timesteps
        started = time.perf_counter()
        try:
            self._note("write", step=step)
            self._snapshots.take(
                self.model,
                self.locals["callback"],
                n_timesteps=max(self.training_steps, self._planned_steps),
                finished=finished,
            )
        except (OSError, MemoryError, NotPlainError) as error:
            self._note("failed", step=step, error=str(error))
            before = self._folder.glance()
            kept = f"that of step {before.step:,} is kept" if before else "there is none before it"
            print(f"The checkpoint at step {step:,} could not be written ({error}): {kept}")
            with contextlib.suppress(OSError):
                self._folder.clear()  # which makes room for the next one
            return
        seconds = round(time.perf_counter() - started, 3)
        self._note("written", step=step, seconds=seconds)
        if self.verbose:
            print(f"Checkpoint at step {step:,} ({seconds:.2f} s)")

    def _keep_progress(self) -> None:
        """Let schedules stay at their end in a training that is longer than they are."""
        model = self.model
        model._total_timesteps = max(model._total_timesteps, model.num_timesteps)

    def _note(self, event: str, **facts: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk: the log is the least
            self._folder.note(event, **facts)

    def let_go(self) -> None:
        """Give back the folder and the signals."""
        self._is_running = False
        self._signals.let_go()
        if self._checkpoints is not None:
            self._checkpoints.unlock()


def experiment_behind() -> ExperimentManager | None:
    """Return RL Zoo's experiment that has called us; it does not pass itself to its callbacks."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        caller = frame.f_locals.get("self")
        if isinstance(caller, ExperimentManager):
            return caller
    return None


#: Folders of checkpoints -> who has locked them in this process.
_HOLDERS: WeakValueDictionary[Path, ExactCheckpoint] = WeakValueDictionary()


def take_over(folder: Path, *, beside: Iterable[BaseCallback] = ()) -> None:
    """Free a folder of checkpoints that an earlier training of this process has locked.

    An error may have left it so: SB3 (2.9.2) does not tell callbacks of one. If the earlier one
    still runs, it writes no more checkpoints.

    :param beside: callbacks that keep their folders: those of the same training.
    """
    holder = _HOLDERS.get(folder.resolve())
    if holder is not None and holder not in beside:
        holder.let_go()


class StopSignals:
    """Listens to Ctrl-C (SIGINT) and SIGTERM while a training runs; they only set a flag.

    Only in the main thread, where Python handles signals. An error that ends the training is not
    noticed: the next signal is still taken, and the one after it does what it did before.
    """

    def __init__(self) -> None:
        self._is_listening = False
        #: Kept for ever: whoever has taken the signals from us may give them back to us.
        self._before: dict[int, Any] = {}
        #: The number of the signal that came, None if none did.
        self.received: int | None = None

    def listen(self) -> None:
        """Take the signals; those that are ignored (``nohup``) stay ignored."""
        self.received, self._is_listening = None, True
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            # None: one of another language, which nobody could give back
            if handler not in (signal.SIG_IGN, None, self._receive):
                self._before[number] = handler
                signal.signal(number, self._receive)

    def let_go(self) -> None:
        """Give the signals back to whoever had them."""
        self._is_listening = False
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                if signal.getsignal(number) == self._receive:
                    signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None and self._is_listening:
            self.received = number
            with contextlib.suppress(OSError):  # the terminal may be gone
                # print() could be what was interrupted, and does not bear it
                os.write(2, f"\n{signal.Signals(number).name}: {_STOPPING}\n".encode())
            return
        self.let_go()
        signal.raise_signal(number)
