"""A study in a file: no server, and nothing that a killed worker leaves behind can stop it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from optuna import Study
from optuna.storages import JournalStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import FrozenTrial, TrialState

from sb3_atari_course.tuning.retries import retry_dead_trial


class KernelLock(BaseJournalFileLock):
    """The lock of a journal, which the kernel takes back when its holder dies.

    Optuna's own lock files outlive a killed worker, and stall everybody else for 30 seconds. Under
    this one a last line that was torn, by a full disk or a lost power supply, is cut off before the
    next is written; left there, it would make every later reading fail.

    :param journal: the path of the file that it guards; the lock lies beside it.
    """

    def __init__(self, journal: Path | str) -> None:
        self._journal = Path(journal)
        self._lock = FileLock(f"{journal}.lock", poll_interval=0.002, thread_local=False)

    def acquire(self) -> bool:
        """Wait for the lock, then mend the end of the file."""
        self._lock.acquire()
        try:
            cut_torn_line(self._journal)
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        """Let the next one write."""
        self._lock.release()

    def __reduce__(self) -> tuple[type[KernelLock], tuple[Path]]:
        return KernelLock, (self._journal,)  # a copy does not hold what this one holds


def cut_torn_line(journal: Path) -> None:
    """Cut off what follows the last line break of a file."""
    size = journal.stat().st_size
    with open(journal, "rb+") as file:
        kept = size
        while kept > 0:
            begin = max(0, kept - 4096)
            file.seek(begin)
            found = file.read(kept - begin).rfind(b"\n")
            if found >= 0:
                kept = begin + found + 1
                break
            kept = begin
        if kept < size:
            file.truncate(kept)
            os.fsync(file.fileno())


class LockedJournalStorage(JournalStorage, BaseHeartbeat):
    """A journal whose running trials hold a lock file each, for as long as their worker lives.

    Optuna knows heartbeats on databases only. Here the lock is the heartbeat: the kernel takes it
    back when a worker dies, however it dies, and whoever asks for a trial next fails the dead one
    and queues its parameters again, once.

    :param journal: the path of the file; ``{journal}.running/`` beside it has the locks.
    :param patience: seconds for which a trial must be seen without its lock until it counts as
        dead: its worker may be about to take it.
    """

    def __init__(self, journal: Path | str, *, patience: float = 5.0) -> None:
        self._locks_folder = Path(f"{journal}.running")
        self._locks_folder.mkdir(parents=True, exist_ok=True)
        self._patience = patience
        self._held: dict[int, FileLock] = {}
        self._seen_free: dict[int, float] = {}  # trial id -> time.monotonic()
        super().__init__(JournalFileBackend(str(journal), lock_obj=KernelLock(journal)))

    def record_heartbeat(self, trial_id: int) -> None:
        """Take the lock of a trial; Optuna calls it when the trial begins."""
        if trial_id not in self._held:
            lock = self._lock_of(trial_id)
            lock.acquire()
            self._held[trial_id] = lock

    def set_trial_state_values(
        self,
        trial_id: int,
        state: TrialState,
        values: list[float] | None = None,  # type: ignore[override]
    ) -> bool:
        """Note how a trial ended, then give its lock back, even if nothing could be written."""
        try:
            return super().set_trial_state_values(trial_id, state, values)
        finally:
            lock = self._held.pop(trial_id, None) if state.is_finished() else None
            if lock is not None:
                Path(lock.lock_file).unlink(missing_ok=True)  # nobody asks for an ended trial's
                lock.release()

    def get_heartbeat_interval(self) -> int:
        """Return the seconds between two heartbeats; a lock needs one only."""
        return 3600

    def get_heartbeat_stale_trial_callback(self) -> Callable[[Study, FrozenTrial], None]:
        """Return what is done with a dead trial."""
        return retry_dead_trial

    def __getstate__(self) -> dict[Any, Any]:
        """Return what a copy or another process gets: the journal, without a lock or a clock."""
        return {**super().__getstate__(), "_held": {}, "_seen_free": {}}

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        free = {one._trial_id for one in running if self._is_free(one._trial_id)}
        now = time.monotonic()
        self._seen_free = {one: self._seen_free.get(one, now) for one in free}
        return [one for one, since in self._seen_free.items() if now - since >= self._patience]

    def _is_free(self, trial_id: int) -> bool:
        if trial_id in self._held:
            return False
        lock = self._lock_of(trial_id)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        lock.release()
        return True

    def _lock_of(self, trial_id: int) -> FileLock:
        return FileLock(self._locks_folder / f"{trial_id}.lock", thread_local=False)
