"""Where a study is kept; told in one line if it cannot be."""

from __future__ import annotations

import copy
import pickle
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from sqlalchemy.exc import OperationalError

from sb3_atari_course.tuning.database import DatabaseStorage
from sb3_atari_course.tuning.journal import LockedJournalStorage
from sb3_atari_course.tuning.storage import open_storage
from sb3_atari_course.tuning.study import find_study
from tests.tuning.studies import Quick, begin, states


def test_a_journal_in_the_study_folder_by_default(tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path / "deep" / "study", n_workers=4)
    assert isinstance(storage, LockedJournalStorage)
    assert (tmp_path / "deep/study/journal.log").is_file()


def test_a_journal_where_it_is_told(tmp_path: Path) -> None:
    open_storage(str(tmp_path / "shared" / "all.log"), tmp_path / "study")
    assert (tmp_path / "shared/all.log").is_file()
    assert not (tmp_path / "study").exists()


def test_the_letter_of_a_drive_is_no_scheme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    open_storage("C:journal.log", tmp_path)
    assert (tmp_path / "C:journal.log").is_file()


def test_looking_makes_no_journal(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no journal .*journal.log: begin with `tune`"):
        open_storage(None, tmp_path / "study", create=False)
    assert not (tmp_path / "study").exists()


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "notes.log").write_text("Dear diary,\n")
    with pytest.raises(ValueError, match=r"notes\.log is no journal of Optuna"):
        open_storage(str(tmp_path / "notes.log"), tmp_path)


@pytest.mark.parametrize("content", ["my only copy", '{"gamma": 0.99}', "{", "\n"])
def test_a_file_of_somebody_else_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "precious.json"
    path.write_text(content)
    if content != "{":  # what a torn journal may begin with
        with pytest.raises(ValueError, match="is no journal of Optuna: it begins otherwise"):
            open_storage(str(path), tmp_path)
        assert path.read_text() == content
    else:
        open_storage(str(path), tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot write the journal .*file/study/journal.log"):
        open_storage(None, tmp_path / "file" / "study")


def test_sqlite_for_one_worker_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    with pytest.raises(ValueError, match="SQLite locks the whole database for each writer"):
        open_storage(url, tmp_path, n_workers=2)
    study = begin(open_storage(url, tmp_path, n_workers=1))
    study.optimize(Quick(), n_trials=2)
    assert states(study) == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "mysql"])
def test_a_database_that_is_not_there_is_told_soon(tmp_path: Path, scheme: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"cannot open .*127\.0\.0\.1:9") as error:
        open_storage(f"{scheme}://me:secret@127.0.0.1:9/none", tmp_path)
    assert time.monotonic() - begun < 10
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_a_database_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SQLAlchemy knows no such database"):
        open_storage("foo://here", tmp_path)
    with pytest.raises(ValueError, match="--storage is a URL such as postgresql://user:password@"):
        open_storage("postgresql:/me@here/x", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    [
        "foo://me:TOPSECRET@here",
        "postgresql:/me:TOPSECRET@here/x",
        "postgresql://127.0.0.1:9/none?user=me&password=TOPSECRET",
    ],
)
def test_no_error_shows_a_password(address: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"here|127\.0\.0\.1") as error:
        open_storage(address, tmp_path)
    assert "TOPSECRET" not in str(error.value)


def test_the_grace_period_reaches_the_database(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db", tmp_path, grace_period=30)
    assert isinstance(storage, DatabaseStorage)
    assert (storage.grace_period, storage.heartbeat_interval) == (30, 5)


class Away:
    """Stands for ``sqlite3.connect``; fails a few times first, as if a server were away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_failures, self.n_waits, self._connect = 0, 0, sqlite3.dbapi2.connect
        monkeypatch.setattr(sqlite3.dbapi2, "connect", self)
        monkeypatch.setattr("sb3_atari_course.tuning.database.time.sleep", self._wait)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.n_failures:
            self.n_failures -= 1
            raise sqlite3.OperationalError("the server is away")
        return self._connect(*args, **kwargs)

    def _wait(self, seconds: float) -> None:
        self.n_waits += 1


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda storage: pickle.loads(pickle.dumps(storage)),
        lambda storage: cloudpickle.loads(cloudpickle.dumps(storage)),
    ],
    ids=["deepcopy", "pickle", "cloudpickle"],
)
def test_a_copied_database_storage_waits_for_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: Any
) -> None:
    """While it opens the database again, and afterwards."""
    away = Away(monkeypatch)
    storage = DatabaseStorage(f"sqlite:///{tmp_path}/study.db", grace_period=30, patience=60)
    begin(storage).optimize(Quick(), n_trials=1)
    storage._seen_silent[7] = time.monotonic()
    away.n_failures = 2
    other = copied(storage)
    assert (away.n_failures, away.n_waits) == (0, 2)
    assert (other.grace_period, other.heartbeat_interval, other._seen_silent) == (30, 5, {})
    other.engine.dispose()
    away.n_failures = 3
    study = find_study(other, "ice")
    assert states(study) == ["COMPLETE"]
    assert (away.n_failures, away.n_waits) == (0, 5)


def test_a_copy_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Away(monkeypatch)
    storage = DatabaseStorage(f"sqlite:///{tmp_path}/study.db", patience=0.0)
    pickled = pickle.dumps(storage)
    away.n_failures = 10**9
    with pytest.raises(OperationalError, match="the server is away"):
        pickle.loads(pickled)


@pytest.mark.parametrize(
    ("url", "drivername"),
    [
        ("postgresql://me@127.0.0.1:9/none", "postgresql+psycopg"),
        ("mysql://me@127.0.0.1:9/none", "mysql+pymysql"),
    ],
)
def test_a_storage_takes_its_url_as_a_string(url: str, drivername: str) -> None:
    """It is opened with the driver that we declare; nothing is there to be opened."""
    with pytest.raises(OperationalError) as error:
        DatabaseStorage(url)
    assert drivername.split("+")[1] in str(error.value)


@pytest.mark.services
def test_a_server_that_says_nothing_is_told_soon(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for scheme in ("mysql", "postgresql"):
            begun = time.monotonic()
            with pytest.raises(ValueError, match="cannot open"):
                open_storage(f"{scheme}://me@127.0.0.1:{port}/none", tmp_path)
            assert time.monotonic() - begun < 10


def test_a_worker_waits_for_a_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    with pytest.raises(ValueError, match="cannot open"):
        open_storage("mysql://me@127.0.0.1:9/none", tmp_path, patience=1.5)
    assert time.monotonic() - begun > 1.5
    assert "cannot open" in capsys.readouterr().out
