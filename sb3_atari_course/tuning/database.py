"""A study in a database: workers on many machines, a server that may be away for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url

from sb3_atari_course.tuning.retries import retry_dead_trial

#: Seconds until a server that does not answer counts as not there, or gone.
CONNECT_SECONDS, READ_SECONDS = 4, 8

#: What plain ``mysql://`` and ``postgresql://`` mean: the drivers that we declare.
_DRIVERS = {
    "mysql": "mysql+pymysql",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}

_WITHOUT_HEARTBEAT = sqlalchemy.text(
    "SELECT trials.trial_id FROM trials"
    " LEFT JOIN trial_heartbeats ON trial_heartbeats.trial_id = trials.trial_id"
    " WHERE trials.study_id = :study AND trials.state = 'RUNNING'"
    " AND trial_heartbeats.trial_id IS NULL"
)


class DatabaseStorage(RDBStorage):
    """Optuna's storage in a database, with heartbeats, for workers that may die at any moment.

    What it adds: once open, it waits for a server that went away instead of failing; a heartbeat
    that cannot be told does not end the heartbeats; a trial whose worker died before its first
    heartbeat, which Optuna would take for running for ever, is found too.

    :param url: of SQLAlchemy, e.g. ``"postgresql://user:password@host/database"``; without a driver
        it means the one that we declare.
    :param grace_period: seconds of silence after which a worker counts as dead.
    :param patience: seconds to wait for a server that went away.
    :raises Exception: SQLAlchemy's, if the database cannot be opened.
    """

    def __init__(self, url: URL | str, *, grace_period: int = 60, patience: float = 300.0) -> None:
        url = make_url(url)
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        self._patience = patience
        self._seen_silent: dict[int, float] = {}  # trial id -> time.monotonic()
        super().__init__(
            url.render_as_string(hide_password=False),
            engine_kwargs=_engine_kwargs(url),
            heartbeat_interval=max(1, grace_period // 6),
            grace_period=grace_period,
            heartbeat_stale_trial_callback=retry_dead_trial,
        )
        sqlalchemy.event.listen(self.engine, "do_connect", self._connect)

    def __getstate__(self) -> dict[Any, Any]:
        """Return what a copy or another process gets; clocks of processes differ."""
        return {**super().__getstate__(), "_seen_silent": {}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Open the database again; wait for a server that is away, now and later."""
        deadline = time.monotonic() + state["_patience"]
        while True:
            try:
                super().__setstate__(state)
                break
            except sqlalchemy.exc.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)
        sqlalchemy.event.listen(self.engine, "do_connect", self._connect)

    def record_heartbeat(self, trial_id: int) -> None:
        """Tell that a trial is alive; if nobody listens, the next heartbeat may be heard."""
        try:
            super().record_heartbeat(trial_id)
        except StorageInternalError as error:
            print(f"a heartbeat was not heard: {error.__cause__ or error}", flush=True)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        try:
            with self.engine.connect() as connection:
                silent = set(connection.execute(_WITHOUT_HEARTBEAT, {"study": study_id}).scalars())
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise StorageInternalError(str(error)) from error
        now = time.monotonic()  # of this process: clocks of other machines may differ
        self._seen_silent = {one: self._seen_silent.get(one, now) for one in silent}
        grace = self.grace_period or 0
        never_heard = [one for one, since in self._seen_silent.items() if now - since >= grace]
        return [*super()._get_stale_trial_ids(study_id), *never_heard]

    def _connect(self, dialect: Any, record: Any, args: Any, kwargs: Any) -> Any:
        """Connect; try again for a while if the server does not answer."""
        connect: Callable[..., Any] = dialect.connect
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return connect(*args, **kwargs)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)


def _engine_kwargs(url: URL) -> dict[str, Any]:
    """Return what SQLAlchemy is told: SQLite waits for its lock, a server must answer soon."""
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": 60}}
    connect: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
    if "pymysql" in url.drivername:  # whose other limit ends with the connection
        connect |= {"read_timeout": READ_SECONDS, "write_timeout": READ_SECONDS}
    return {"pool_pre_ping": True, "connect_args": connect}
