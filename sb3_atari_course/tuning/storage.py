"""Optuna storages: a journal file (one machine) or a database (several machines).

Both detect dead workers, whose trials Optuna's retry callback enqueues once more.
"""

from __future__ import annotations

import mmap
import os
import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import sqlalchemy
from filelock import FileLock, Timeout
from optuna import Study
from optuna.exceptions import StorageInternalError
from optuna.storages import (
    BaseStorage,
    JournalStorage,
    RDBStorage,
    RetryHeartbeatStaleTrialCallback,
)
from optuna.storages._heartbeat import BaseHeartbeat  # checked with Optuna 5.0: no public base
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL, make_url

from sb3_atari_course._common.passwords import without_passwords
from sb3_atari_course.tuning import GRACE_PERIOD

#: Retries of a trial whose worker died; a trial that kills its worker twice stays failed.
_MAX_RETRY = 1

#: First bytes of a journal.
_FIRST_BYTES = b'{"op_code":'

#: Connection timeout of a database server, in seconds.
_CONNECT_TIMEOUT = 4

#: Attempts to open a new database whose tables another process is creating.
_MAX_ATTEMPTS = 5


def open_storage(
    where: str | None,
    folder: Path,
    *,
    n_workers: int = 1,
    grace_period: int = GRACE_PERIOD,
    create: bool = True,
) -> BaseStorage:
    """Open the storage of a study, creating it if it does not exist.

    :param where: an SQLAlchemy URL, the path of a journal file, or None for ``journal.log`` in the
        study's folder.
    :param folder: folder of the study.
    :param n_workers: number of processes that will use it on this machine.
    :param grace_period: seconds without a heartbeat until a worker counts as dead (databases).
    :param create: create the journal if it does not exist.
    :raises ValueError: if it cannot be opened, or does not support this many workers.
    :raises ImportError: if the database driver is not installed.
    """
    if where is None or not re.match(r"[\w+]{2,}:", where):  # C:/x.log is a file
        return _open_journal(Path(where) if where else folder / "journal.log", create)
    shown = without_passwords(where)
    try:
        url = make_url(where)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise ValueError(
            f"--storage must be a file or a URL such as postgresql://user:password@host/database,"
            f" got {shown!r}"
        ) from None
    if url.get_backend_name() not in ("postgresql", "postgres", "sqlite"):
        raise ValueError(f"--storage {shown}: use PostgreSQL (postgresql://...) or a journal file")
    if url.get_backend_name() == "sqlite" and n_workers > 1:
        raise ValueError(
            "SQLite locks the whole database for each writer, so parallel workers fail: use one"
            " worker, no --storage (a journal file), or a PostgreSQL server"
        )
    n_tries = 0
    while True:
        n_tries += 1
        try:
            return DatabaseStorage(url, grace_period=grace_period)
        except ImportError:
            raise ImportError(
                f"no database driver for {shown}: pip install 'sb3_atari_course[tune]' installs"
                " PostgreSQL's"
            ) from None
        except Exception as error:  # any exception of the driver
            creation_races = (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError)
            if not isinstance(error, creation_races) or n_tries == _MAX_ATTEMPTS:
                cause = str(getattr(error, "orig", None) or error.__cause__ or error).strip()
                raise ValueError(f"cannot open {shown}: {cause.splitlines()[0]}") from None
        time.sleep(1.0)


class DatabaseStorage(RDBStorage):
    """Database storage with heartbeats that survives server restarts and killed workers.

    In addition to Optuna's :class:`~optuna.storages.RDBStorage`, it reconnects to a server that was
    restarted, and detects a trial whose worker died before its first heartbeat, which would
    otherwise stay running for ever.

    :param url: SQLAlchemy URL, e.g. ``"postgresql://user:password@host/database"``.
    :param grace_period: seconds without a heartbeat after which a worker counts as dead.
    :param patience: seconds for which reconnecting is tried.
    :raises Exception: SQLAlchemy's, if the database cannot be opened.
    """

    def __init__(
        self, url: URL | str, *, grace_period: int = GRACE_PERIOD, patience: float = 300.0
    ) -> None:
        url = make_url(url)
        if url.drivername in ("postgres", "postgresql"):
            url = url.set(drivername="postgresql+psycopg")  # the driver that we declare
        is_sqlite = url.get_backend_name() == "sqlite"
        wait = {"timeout": 60} if is_sqlite else {"connect_timeout": _CONNECT_TIMEOUT}
        super().__init__(
            url.render_as_string(hide_password=False),
            engine_kwargs={"connect_args": wait, "pool_pre_ping": not is_sqlite},
            heartbeat_interval=max(1, grace_period // 6),
            grace_period=grace_period,
            heartbeat_stale_trial_callback=retry_dead_trial,
        )
        self._patience = patience
        self._first_silent: dict[int, float] = {}
        sqlalchemy.event.listen(self.engine, "do_connect", self._connect)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        heartbeats = sqlalchemy.text("SELECT trial_id FROM trial_heartbeats")
        try:
            with self.engine.connect() as connection:
                silent = {one._trial_id for one in running} - {*connection.scalars(heartbeats)}
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise StorageInternalError(str(error)) from error
        never_started = _seen_for(self.grace_period or 0, silent, self._first_silent)
        return [*super()._get_stale_trial_ids(study_id), *never_started]

    def _connect(self, dialect: Any, record: Any, args: Any, kwargs: Any) -> Any:
        """Connect, retrying for ``patience`` seconds if the server does not answer."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return dialect.connect(*args, **kwargs)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)


class LockedJournalStorage(JournalStorage, BaseHeartbeat):
    """Journal storage with a lock file per running trial, to detect dead workers.

    Optuna has heartbeats for databases only. Here a lock replaces them: the kernel releases it when
    a worker dies for any reason; the next worker that asks for a trial then marks the dead one as
    failed and enqueues its parameters again, once.

    :param journal: path of the journal; the locks are in the folder ``{journal}.running/``.
    :param patience: seconds for which a running trial must be seen without its lock until it counts
        as dead, since its worker may be about to acquire the lock.
    """

    def __init__(self, journal: Path | str, *, patience: float = 5.0) -> None:
        self._locks_folder = Path(f"{journal}.running")
        self._locks_folder.mkdir(parents=True, exist_ok=True)
        self._patience = patience
        self._held: dict[int, FileLock] = {}
        self._first_free: dict[int, float] = {}
        super().__init__(JournalFileBackend(str(journal), lock_obj=KernelLock(journal)))

    def record_heartbeat(self, trial_id: int) -> None:
        """Acquire the lock of a trial; Optuna calls this when the trial starts."""
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
        """Store how a trial ended, then release its lock, even if writing failed."""
        try:
            return super().set_trial_state_values(trial_id, state, values)
        finally:
            lock = self._held.pop(trial_id, None) if state.is_finished() else None
            if lock is not None:
                Path(lock.lock_file).unlink(missing_ok=True)  # not needed after the trial
                lock.release()

    def get_heartbeat_interval(self) -> int:
        """Return the seconds between two heartbeats; a lock needs only one."""
        return 3600

    def get_heartbeat_stale_trial_callback(self) -> Callable[[Study, FrozenTrial], None]:
        """Return the callback for dead trials."""
        return retry_dead_trial

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        free = {one._trial_id for one in running if self._is_free(one._trial_id)}
        return _seen_for(self._patience, free, self._first_free)

    def _is_free(self, trial_id: int) -> bool:
        if trial_id in self._held:
            return False
        try:
            with self._lock_of(trial_id).acquire(blocking=False):
                return True
        except Timeout:
            return False

    def _lock_of(self, trial_id: int) -> FileLock:
        return FileLock(self._locks_folder / f"{trial_id}.lock", thread_local=False)


class KernelLock(BaseJournalFileLock):
    """File lock for a journal that the kernel releases when its holder dies.

    Optuna's own lock files outlive a killed worker and block all others for 30 seconds. This one
    also truncates a partially written last line (full disk, power loss) before the next is written;
    otherwise every later read would fail.

    :param journal: path of the journal; the lock file is ``{journal}.lock``.
    """

    def __init__(self, journal: Path | str) -> None:
        self._journal = Path(journal)
        self._lock = FileLock(f"{journal}.lock", poll_interval=0.002, thread_local=False)

    def acquire(self) -> bool:
        """Wait for the lock, then truncate a partial last line."""
        self._lock.acquire()
        try:
            truncate_partial_line(self._journal)
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()


def truncate_partial_line(journal: Path) -> None:
    """Truncate a file after its last line break."""
    size = journal.stat().st_size
    if size == 0:  # an empty file cannot be mapped
        return
    with open(journal, "rb+") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            kept = content.rfind(b"\n") + 1
        if kept < size:
            file.truncate(kept)
            os.fsync(file.fileno())


def retry_dead_trial(study: Study, trial: FrozenTrial) -> None:
    """Enqueue the parameters of a dead trial again, without the user attributes of its worker."""
    trial.user_attrs = {}
    RetryHeartbeatStaleTrialCallback(max_retry=_MAX_RETRY)(study, trial)


def _open_journal(journal: Path, create: bool) -> BaseStorage:
    if not create and not journal.is_file():
        raise ValueError(f"journal not found: {journal}; run `tune` without --best first")
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.touch()
        with open(journal, "rb") as file:
            first = file.readline(len(_FIRST_BYTES))
        # null bytes are left by a power loss; any other file must not be overwritten
        if not _FIRST_BYTES.startswith(first) and first.strip(b"\0"):
            raise ValueError(f"it starts with {first!r}")
        return LockedJournalStorage(journal)
    except OSError as error:
        raise ValueError(f"cannot write the journal {journal}: {error.strerror}") from None
    except (ValueError, KeyError) as error:  # JSONDecodeError is one
        raise ValueError(f"{journal} is not a journal of Optuna: {error}") from None


def _seen_for(
    seconds: float, trial_ids: Collection[int], first_seen: dict[int, float]
) -> list[int]:
    """Return the trials that were in the collection in all calls of the last ``seconds``.

    :param first_seen: trial -> ``time.monotonic()`` of this process, since clocks of machines
        differ; updated in place.
    """
    now = time.monotonic()
    for gone in set(first_seen) - set(trial_ids):
        del first_seen[gone]
    return [one for one in trial_ids if now - first_seen.setdefault(one, now) >= seconds]
