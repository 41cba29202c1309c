"""Where a study is kept: a journal file or a database; told in one line if it cannot be."""

from __future__ import annotations

import re
import time
from pathlib import Path

import sqlalchemy
from optuna.storages import BaseStorage
from sqlalchemy.engine import URL, make_url

from sb3_atari_course._common.passwords import without_passwords
from sb3_atari_course.tuning.database import DatabaseStorage
from sb3_atari_course.tuning.journal import LockedJournalStorage

#: Seconds of silence after which a worker on a database counts as dead.
GRACE_PERIOD = 60

#: How a journal begins.
_FIRST = b'{"op_code":'

#: MySQL's errors for a table or an index that is there already.
_ALREADY_THERE = (1050, 1061)

#: How often others may be making the tables of a new database at the same moment.
_MOST_RACES = 5


def open_storage(
    where: str | None,
    folder: Path,
    *,
    n_workers: int = 1,
    grace_period: int = GRACE_PERIOD,
    patience: float = 0.0,
    create: bool = True,
) -> BaseStorage:
    """Open the storage of a study, making it if it is not there.

    :param where: a URL of SQLAlchemy, the path of a journal file, or None for ``journal.log`` in
        the study's folder.
    :param n_workers: processes that will use it here.
    :param grace_period: seconds of silence after which a worker counts as dead (databases).
    :param patience: seconds to wait for a server that does not answer.
    :param create: make the journal if it is not there.
    :raises ValueError: if it cannot be opened, or is not fit for so many workers.
    """
    if where is None or not re.match(r"[\w+]{2,}:", where):  # C:/x.log is a file
        journal = Path(where) if where else folder / "journal.log"
        if not create and not journal.is_file():
            raise ValueError(f"there is no journal {journal}: begin with `tune` without --best")
        try:
            journal.parent.mkdir(parents=True, exist_ok=True)
            journal.touch()
            _check_journal(journal)
            return LockedJournalStorage(journal)
        except OSError as error:
            raise ValueError(f"cannot write the journal {journal}: {error.strerror}") from None
        except (ValueError, KeyError) as error:  # JSONDecodeError is one
            raise ValueError(f"{journal} is no journal of Optuna: {error}") from None
    url = _url_of(where)
    if url.get_backend_name() == "sqlite" and n_workers > 1:
        raise ValueError(
            "SQLite locks the whole database for each writer, and workers then fail: take one"
            " worker, no --storage (a journal file), or a PostgreSQL or MySQL server"
        )
    deadline = time.monotonic() + patience
    while True:
        try:
            return _open_database(url, grace_period)
        except ValueError as error:
            if time.monotonic() >= deadline:
                raise
            print(error, flush=True)
            time.sleep(1.0)


def _check_journal(journal: Path) -> None:
    """Check that a file begins as Optuna's journals do, torn or not.

    :raises ValueError: if not: it is somebody's, and would be overwritten.
    """
    with open(journal, "rb") as file:
        first = file.readline(len(_FIRST))
    if not _FIRST.startswith(first) and first.strip(b"\0"):
        raise ValueError("it begins otherwise")


def _url_of(where: str) -> URL:
    try:
        return make_url(where)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise ValueError(
            "--storage is a URL such as postgresql://user:password@host/database, got"
            f" {without_passwords(where)!r}"
        ) from None


def _open_database(url: URL, grace_period: int) -> DatabaseStorage:
    shown = without_passwords(url.render_as_string(hide_password=False))
    try:
        return _make_tables(url, grace_period)
    except ImportError:
        raise ImportError(
            f"no driver for {shown}: pip install 'sb3_atari_course[tune]' brings those of"
            " PostgreSQL and MySQL"
        ) from None
    except sqlalchemy.exc.NoSuchModuleError:
        raise ValueError(f"{shown}: SQLAlchemy knows no such database") from None
    except Exception as error:  # the driver's
        cause = str(getattr(error, "orig", None) or error.__cause__ or error).strip()
        raise ValueError(f"cannot open {shown}: {cause.splitlines()[0]}") from None


def _make_tables(url: URL, grace_period: int) -> DatabaseStorage:
    """Open a database; who makes the same tables at the same moment as others tries again."""
    for _ in range(_MOST_RACES):
        try:
            return DatabaseStorage(url, grace_period=grace_period)
        except sqlalchemy.exc.DBAPIError as error:
            raced = (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError)
            code = error.orig.args[0] if error.orig and error.orig.args else None
            if not isinstance(error, raced) and code not in _ALREADY_THERE:
                raise
            time.sleep(0.5)
    return DatabaseStorage(url, grace_period=grace_period)
