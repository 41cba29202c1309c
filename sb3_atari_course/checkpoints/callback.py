"""The callback: when a checkpoint is written, and when a training stops or goes on."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, ProgressBarCallback

from sb3_atari_course._common.errors import CheckpointError, SettingError
from sb3_atari_course._common.state_tree import NotPlainError
from sb3_atari_course._common.validation import explain_arguments, integer_at_least
from sb3_atari_course.callbacks import find_run_folder
from sb3_atari_course.checkpoints.callback_states import all_within
from sb3_atari_course.checkpoints.files import write_json
from sb3_atari_course.checkpoints.folder import (
    FOLDER,
    RUN_FILE,
    CheckpointFolder,
    how_to_resume,
)
from sb3_atari_course.checkpoints.manifest import Checkpoint
from sb3_atari_course.checkpoints.memory.segments import UnknownMemoryError
from sb3_atari_course.checkpoints.resuming.origin import describe_run, experiment_behind
from sb3_atari_course.checkpoints.running import hold, is_learning, let_go_of_dead_trainings
from sb3_atari_course.checkpoints.signals import StopSignals
from sb3_atari_course.checkpoints.snapshot import Snapshots
from sb3_atari_course.checkpoints.training import check_known


class ExactCheckpoint(BaseCallback):
    """Writes checkpoints from which a training goes on to the bit, and stops it at a signal.

    At the first rollout boundary after every ``every`` steps, and after Ctrl-C (SIGINT) or SIGTERM,
    the whole training goes into ``RUN/checkpoints``: weights, optimiser, replay memory, counters,
    random streams, environments, callbacks, how far the logs have come. After a signal the training
    then ends as if it were finished. The last two checkpoints are kept; a kill in the middle of a
    writing, or a full disk, leaves the one before. What is written is what is new, so the size of
    the replay memory does not matter.

    For DQN, QRDQN, FastDQN and QLearning; ``sb3_atari_course.checkpoints.resume`` goes on.
    In an RL Zoo yml ``callback: [{sb3_atari_course.checkpoints.ExactCheckpoint: {every: 50000}}]``.

    :param every: agent steps of all environments between two checkpoints.
    :param folder: the run folder; by default RL Zoo's, or that of the log.
    :param verbose: 0 prints only what went wrong, and how to go on after a signal.
    :raises ValueError: for an ``every`` below 1.
    :raises TypeError: for one that is no integer.
    :raises SettingError: when the training begins: for another algorithm or replay buffer, without
        a folder, in a folder with the checkpoints of another training, or where nothing can be
        written.
    """

    #: What it knows is in the checkpoint itself.
    is_stateless = True

    @explain_arguments
    def __init__(
        self, every: int = 50_000, *, folder: str | Path | None = None, verbose: int = 0
    ) -> None:
        super().__init__(verbose)
        self.every = integer_at_least(1, "every", every)
        self.folder = None if folder is None else Path(folder)
        #: The signal that has stopped the training, None if none did.
        self.stop_signal: int | None = None
        self._signals = StopSignals(lambda frame: is_learning(self.model, frame))
        self._checkpoints: CheckpointFolder | None = None
        self._snapshots: Snapshots | None = None
        self._to_resume: Checkpoint | None = None
        self._last_step = 0  # agent steps at the last checkpoint, or at the last attempt
        self._planned_steps = 0  # what schedules refer to
        self._is_in_rollout = self._is_running = False

    def resume_from(self, folder: CheckpointFolder, checkpoint: Checkpoint) -> None:
        """Let the next ``learn()`` go on from a checkpoint.

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
            run = self._run_folder(experiment)
            folder = self._locked(run)
            if self._snapshots is None:
                self._snapshots = Snapshots(folder, run)
                self._snapshots.begin(self.model)
            if not folder.has_checkpoints:  # nor does a file of another training count
                beside = getattr(self.locals["callback"], "callbacks", [])
                described = describe_run(
                    run,
                    self.model,
                    experiment,
                    learn=self.locals,
                    every=self.every,
                    place=beside.index(self) if self in beside else None,
                )
                write_json(folder.path / RUN_FILE, described)
        except (TypeError, CheckpointError, UnknownMemoryError) as error:
            self.let_go()
            raise SettingError(str(error)) from error
        except OSError as error:
            self.let_go()
            raise SettingError(f"checkpoints cannot be written: {error}") from error
        self.stop_signal, self._is_running = None, True
        self._signals.listen()

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
            print(f"Stopped at step {self._last_step:,}. To go on: {self._how_to_resume()}")
        elif self.model.num_timesteps >= self.training_steps and not self._is_in_rollout:
            self._take(finished=True)
        elif sys.exc_info()[0] is None:
            self._note("ended", step=self.model.num_timesteps)  # by another callback
        self.let_go()

    def _how_to_resume(self) -> str:
        run = self._folder.path.parent
        if experiment_behind() is None:
            return f"sb3_atari_course.resume({str(run)!r}, ...)"
        return how_to_resume(run)

    def _run_folder(self, experiment: Any) -> Path:
        if self.folder is None and experiment is not None:
            return Path(experiment.save_path)
        run = self.folder or find_run_folder(self)
        if run is None:
            raise CheckpointError("nobody has named a run folder: ExactCheckpoint(folder=...)")
        return run

    def _locked(self, run: Path) -> CheckpointFolder:
        """Return the folder of the checkpoints, which no other training uses or has used."""
        folder = self._checkpoints or CheckpointFolder(run / FOLDER)
        let_go_of_dead_trainings()
        if not folder.is_locked:
            folder.lock()
        goes_on = self._to_resume is not None or 0 < self._last_step <= self.model.num_timesteps
        if folder.has_checkpoints and not goes_on:
            folder.unlock()
            raise CheckpointError(
                f"{run} has the checkpoints of another training: go on with it by"
                f" `{how_to_resume(run)}`, or choose another folder"
            )
        self._checkpoints = folder
        hold(self)
        return folder

    def _resume(self) -> None:
        """Put everything in its place, at the first rollout."""
        assert self._snapshots is not None
        checkpoint, self._to_resume = self._to_resume, None
        assert checkpoint is not None
        started = time.perf_counter()
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
        """Write a checkpoint; if that fails, say so and go on: the one before is still there."""
        assert self._snapshots is not None
        self._last_step = step = self.model.num_timesteps
        started = time.perf_counter()
        try:
            self._note("write", step=step)
            checkpoint = self._snapshots.take(
                self.model,
                self.locals["callback"],
                n_timesteps=max(self.training_steps, self._planned_steps),
                finished=finished,
            )
        except (OSError, MemoryError, NotPlainError) as error:
            self._tell_failure(step, error)
            return
        seconds = round(time.perf_counter() - started, 3)
        self._note("written", step=step, seconds=seconds, bytes=checkpoint.state.n_bytes)
        if self.verbose:
            print(f"Checkpoint at step {step:,} ({seconds:.2f} s)")

    def _tell_failure(self, step: int, error: Exception) -> None:
        """Say that a checkpoint could not be written, and make room for the next one."""
        self._note("failed", step=step, error=str(error))
        before = self._folder.glance()
        kept = f"that of step {before.step:,} is kept" if before else "there is none before it"
        print(f"The checkpoint at step {step:,} could not be written ({error}): {kept}", flush=True)
        with contextlib.suppress(OSError):
            self._folder.clear()

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
