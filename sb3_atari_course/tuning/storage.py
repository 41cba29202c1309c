"""Where a study is kept: a journal file (one machine) or a database (many).

Both notice workers that died, and Optuna's own callback tries their parameters once more.
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

#: How often the parameters of a dead worker's trial are tried again; what kills its worker twice
#: is given up.
_MAX_RETRY = 1

#: How a journal begins.
_FIRST = b'{"op_code":'

#: Seconds until a server that does not answer counts as not there.
_CONNECT_SECONDS = 4

#: How often others may be making the tables of a new database at the same moment.
_MOST_RACES = 5


def open_storage(
    where: str | None,
    folder: Path,
    *,
    n_workers: int = 1,
    grace_period: int = GRACE_PERIOD,
    create: bool = True,
) -> BaseStorage:
    """Open the storage of a study, making it if it is not there.

    :param where: a URL of SQLAlchemy, the path of a journal file, or None for ``journal.log`` in
        the study's folder.
    :param n_workers: processes that will use it here.
    :param grace_period: seconds of silence after which a worker counts as dead (databases).
    :param create: make the journal if it is not there.
    :raises ValueError: if it cannot be opened, or is not fit for so many workers.
    """
    if where is None or not re.match(r"[\w+]{2,}:", where):  # C:/x.log is a file
        return _open_journal(Path(where) if where else folder / "journal.log", create)
    shown = without_passwords(where)
    try:
        url = make_url(where)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise ValueError(
            f"--storage is a URL such as postgresql://user:password@host/database, got {shown!r}"
        ) from None
    if url.get_backend_name() not in ("postgresql", "postgres", "sqlite"):
        raise ValueError(f"--storage {shown}: use PostgreSQL (postgresql://...) or a journal file")
    if url.get_backend_name() == "sqlite" and n_workers > 1:
        raise ValueError(
            "SQLite locks the whole database for each writer, and workers then fail: take one"
            " worker, no --storage (a journal file), or a PostgreSQL server"
        )
    n_tries = 0
    while True:
        n_tries += 1
        try:
            return DatabaseStorage(url, grace_period=grace_period)
        except ImportError:
            raise ImportError(
                f"no driver for {shown}: pip install 'sb3_atari_course[tune]' brings PostgreSQL's"
            ) from None
        except Exception as error:  # the driver's
            made_twice = (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError)
            if not isinstance(error, made_twice) or n_tries == _MOST_RACES:
                cause = str(getattr(error, "orig", None) or error.__cause__ or error).strip()
                raise ValueError(f"cannot open {shown}: {cause.splitlines()[0]}") from None
        time.sleep(1.0)


class DatabaseStorage(RDBStorage):
    """Optuna's storage in a database, with heartbeats, for workers that may die at any moment.

    What it adds: once open, it waits for a server that went away instead of failing; and a trial
    whose worker died before its first heartbeat, which would run for ever, is found too.

    :param url: of SQLAlchemy, e.g. ``"postgresql://user:password@host/database"``.
    :param grace_period: seconds of silence after which a worker counts as dead.
    :param patience: seconds to wait for a server that went away.
    :raises Exception: SQLAlchemy's, if the database cannot be opened.
    """

    def __init__(
        self, url: URL | str, *, grace_period: int = GRACE_PERIOD, patience: float = 300.0
    ) -> None:
        url = make_url(url)
        if url.drivername in ("postgres", "postgresql"):
            url = url.set(drivername="postgresql+psycopg")  # the driver that we declare
        is_sqlite = url.get_backend_name() == "sqlite"
        wait = {"timeout": 60} if is_sqlite else {"connect_timeout": _CONNECT_SECONDS}
        super().__init__(
            url.render_as_string(hide_password=False),
            engine_kwargs={"connect_args": wait, "pool_pre_ping": not is_sqlite},
            heartbeat_interval=max(1, grace_period // 6),
            grace_period=grace_period,
            heartbeat_stale_trial_callback=retry_dead_trial,
        )
        self._patience = patience
        self._seen_silent: dict[int, float] = {}
        sqlalchemy.event.listen(self.engine, "do_connect", self._connect)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        heard = sqlalchemy.text("SELECT trial_id FROM trial_heartbeats")
        try:
            with self.engine.connect() as connection:
                silent = {one._trial_id for one in running} - {*connection.scalars(heard)}
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise StorageInternalError(str(error)) from error
        never_heard = _seen_for(self.grace_period or 0, silent, self._seen_silent)
        return [*super()._get_stale_trial_ids(study_id), *never_heard]

    def _connect(self, dialect: Any, record: Any, args: Any, kwargs: Any) -> Any:
        """Connect; try again for a while if the server does not answer."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return dialect.connect(*args, **kwargs)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)


class LockedJournalStorage(JournalStorage, BaseHeartbeat):
    """A journal whose running trials hold a lock file each, for as long as their worker lives.

    Optuna has heartbeats for databases only. Here the lock is the heartbeat: the kernel takes it
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
        self._seen_free: dict[int, float] = {}
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

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        free = {one._trial_id for one in running if self._is_free(one._trial_id)}
        return _seen_for(self._patience, free, self._seen_free)

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


def cut_torn_line(journal: Path) -> None:
    """Cut off what follows the last line break of a file."""
    size = journal.stat().st_size
    if size == 0:  # which cannot be mapped
        return
    with open(journal, "rb+") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            kept = content.rfind(b"\n") + 1
        if kept < size:
            file.truncate(kept)
            os.fsync(file.fileno())


def retry_dead_trial(study: Study, trial: FrozenTrial) -> None:
    """Queue the parameters of a dead trial again, without what its worker noted about itself."""
    trial.user_attrs = {}
    RetryHeartbeatStaleTrialCallback(max_retry=_MAX_RETRY)(study, trial)


def _open_journal(journal: Path, create: bool) -> BaseStorage:
    if not create and not journal.is_file():
        raise ValueError(f"there is no journal {journal}: begin with `tune` without --best")
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.touch()
        with open(journal, "rb") as file:
            first = file.readline(len(_FIRST))
        if not _FIRST.startswith(first) and first.strip(b"\0"):  # torn by a lost power supply
            raise ValueError("it begins otherwise")  # somebody's, and would be overwritten
        return LockedJournalStorage(journal)
    except OSError as error:
        raise ValueError(f"cannot write the journal {journal}: {error.strerror}") from None
    except (ValueError, KeyError) as error:  # JSONDecodeError is one
        raise ValueError(f"{journal} is not a journal of Optuna: {error}") from None


def _seen_for(
    seconds: float, trial_ids: Collection[int], first_seen: dict[int, float]
) -> list[int]:
    """Return the trials that have been seen again and again for so many seconds.

    :param first_seen: trial -> ``time.monotonic()``, of this process: clocks of machines differ;
        brought up to date here.
    """
    now = time.monotonic()
    for gone in set(first_seen) - set(trial_ids):
        del first_seen[gone]
    return [one for one in trial_ids if now - first_seen.setdefault(one, now) >= seconds]
