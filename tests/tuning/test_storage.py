"""Where a study is kept; told in one line if it cannot be."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from sb3_atari_course.tuning.database import DatabaseStorage
from sb3_atari_course.tuning.journal import LockedJournalStorage
from sb3_atari_course.tuning.storage import open_storage
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
