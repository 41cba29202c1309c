"""Optuna storages: journal files and databases, dead workers, locks."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna import Study
from optuna.exceptions import StorageInternalError

from sb3_atari_course.tuning.storage import (
    DatabaseStorage,
    KernelLock,
    LockedJournalStorage,
    open_storage,
    truncate_partial_line,
)
from sb3_atari_course.tuning.study import WORKER, create_or_join, status_of
from tests.tuning.studies import Quick, add_line, make_study, settings, states


def test_journal_is_in_the_study_folder_or_at_the_given_path(tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path / "deep" / "study", n_workers=4)
    assert isinstance(storage, LockedJournalStorage)
    open_storage(str(tmp_path / "shared" / "all.log"), tmp_path / "study")
    journals = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.log"))
    assert journals == ["deep/study/journal.log", "shared/all.log"]
    assert not (tmp_path / "study").exists()


def test_drive_letter_is_not_a_url_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_storage("C:journal.log", tmp_path)
    assert (tmp_path / "C:journal.log").is_file()


def test_create_false_creates_no_journal(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"journal\.log"):
        open_storage(None, tmp_path / "study", create=False)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("content", ["my only copy", '{"gamma": 0.99}', "\n"])
def test_other_files_are_not_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "precious.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"precious\.json is not a journal"):
        open_storage(str(path), tmp_path)
    assert path.read_text() == content


def test_rejects_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot write the journal .*file/study/journal.log"):
        open_storage(None, tmp_path / "file" / "study")


def test_sqlite_rejects_several_workers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    with pytest.raises(ValueError, match="SQLite"):
        open_storage(url, tmp_path, n_workers=2)
    study = make_study(open_storage(url, tmp_path, n_workers=1))
    study.optimize(Quick(), n_trials=2)
    assert states(study) == ["COMPLETE", "COMPLETE"]


def test_unreachable_database_fails_soon(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"cannot open .*127\.0\.0\.1:9") as error:
        open_storage("postgresql://me:secret@127.0.0.1:9/none", tmp_path)
    assert time.monotonic() - start < 10
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("foo://me:TOPSECRET@here", "foo://.*here: use PostgreSQL"),
        ("mysql+pymysql://me@here/x", "mysql.*here/x: use PostgreSQL"),
        ("postgresql:/me:TOPSECRET@here/x", "URL such as postgresql://user.*here/x"),
        ("postgresql://127.0.0.1:9/none?user=me&password=TOPSECRET", "cannot open"),
    ],
)
def test_rejected_urls_are_shown_without_passwords(
    tmp_path: Path, address: str, shown: str
) -> None:
    with pytest.raises(ValueError, match=shown) as error:
        open_storage(address, tmp_path)
    assert "TOPSECRET" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_grace_period_reaches_the_database(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db", tmp_path, grace_period=30)
    assert isinstance(storage, DatabaseStorage)
    assert (storage.grace_period, storage.heartbeat_interval) == (30, 5)


class FailingConnect:
    """Replacement of ``sqlite3.connect`` that fails a few times, like an unavailable server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_failures, self.n_waits, self._connect = 0, 0, sqlite3.dbapi2.connect
        monkeypatch.setattr(sqlite3.dbapi2, "connect", self)
        monkeypatch.setattr("sb3_atari_course.tuning.storage.time.sleep", self._wait)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.n_failures:
            self.n_failures -= 1
            raise sqlite3.OperationalError("the server is unavailable")
        return self._connect(*args, **kwargs)

    def _wait(self, seconds: float) -> None:
        self.n_waits += 1


def test_open_database_reconnects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = FailingConnect(monkeypatch)
    storage = DatabaseStorage(f"sqlite:///{tmp_path}/study.db", patience=60)
    study = make_study(storage)
    study.optimize(Quick(), n_trials=1)
    storage.engine.dispose()
    away.n_failures = 3
    assert states(study) == ["COMPLETE"]
    assert (away.n_failures, away.n_waits) == (0, 3)


def test_reconnecting_ends_after_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = FailingConnect(monkeypatch)
    storage = DatabaseStorage(f"sqlite:///{tmp_path}/study.db", patience=0.0)
    storage.engine.dispose()
    away.n_failures = 10**9
    with pytest.raises(StorageInternalError):
        make_study(storage)


@pytest.mark.services
def test_silent_server_fails_soon(tmp_path: Path) -> None:
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/none"
        with pytest.raises(ValueError, match="cannot open"):
            open_storage(url, tmp_path)
    assert time.monotonic() - start < 10


#: A process that starts a trial with one parameter and then sleeps; argument: the journal.
SLEEPING_WORKER = """
import sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from sb3_atari_course.tuning.storage import LockedJournalStorage
from sb3_atari_course.tuning.study import find_study
from tests.tuning.studies import Quick

def sleep(trial):
    while not storage._held:  # a thread of Optuna acquires the lock
        time.sleep(0.01)
    print("running", flush=True)
    time.sleep(600)

storage = LockedJournalStorage(Path(sys.argv[1]))
study = find_study(storage, "ice")
study.optimize(Quick(sleep), n_trials=1)
"""


def open_journal(folder: Path, patience: float = 0.0) -> LockedJournalStorage:
    return LockedJournalStorage(folder / "journal.log", patience=patience)


def sleeper(journal: Path) -> subprocess.Popen[str]:
    """Return a process that is running a trial."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPING_WORKER, str(journal)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    with process.stdout as printed:
        assert printed.readline() == "running\n"
    return process


def sweep(study: Study) -> None:
    optuna.storages.fail_stale_trials(study)


@pytest.mark.process
def test_trial_of_a_killed_worker_is_retried(tmp_path: Path) -> None:
    study = make_study(open_journal(tmp_path))
    process = sleeper(tmp_path / "journal.log")
    sweep(study)
    assert states(study) == ["RUNNING"]  # its worker is alive
    process.send_signal(signal.SIGKILL)
    process.wait()
    sweep(study)
    assert states(study) == ["FAIL", "WAITING"]
    assert study.trials[1].user_attrs == {}
    study.optimize(Quick(), n_trials=1)
    assert states(study) == ["FAIL", "COMPLETE"]
    assert study.trials[0].params == study.trials[1].params


@pytest.mark.process
def test_trial_that_kills_its_worker_twice_stays_failed(tmp_path: Path) -> None:
    study = make_study(open_journal(tmp_path))
    for _ in range(2):
        process = sleeper(tmp_path / "journal.log")
        process.kill()
        process.wait()
        sweep(study)
    assert states(study) == ["FAIL", "FAIL"]
    assert study.trials[0].params == study.trials[1].params


def test_worker_that_dies_before_its_lock_is_detected(tmp_path: Path) -> None:
    """Between ``ask`` and the first heartbeat."""
    study = make_study(open_journal(tmp_path))
    study._storage.create_new_trial(study._study_id)
    sweep(study)
    assert states(study) == ["WAITING", "FAIL", "WAITING"]


def test_worker_about_to_take_its_lock_is_not_failed(tmp_path: Path) -> None:
    study = make_study(open_journal(tmp_path, patience=0.3))
    trial_id = study._storage.create_new_trial(study._study_id)
    sweep(study)
    assert states(study) == ["WAITING", "RUNNING"]
    study._storage.record_heartbeat(trial_id)  # type: ignore[attr-defined]
    time.sleep(0.4)
    other = create_or_join(open_journal(tmp_path, patience=0.0), "ice", settings(), None, 1)
    sweep(study)
    sweep(other)
    assert states(study) == ["WAITING", "RUNNING"]


def test_lock_is_deleted_after_the_trial(tmp_path: Path) -> None:
    storage = open_journal(tmp_path)
    study = make_study(storage)
    seen = []

    def look(trial: optuna.Trial) -> None:
        while not storage._held:  # a thread of Optuna acquires the lock
            time.sleep(0.01)
        seen.append([path.name for path in (tmp_path / "journal.log.running").iterdir()])

    study.optimize(Quick(look), n_trials=2)
    assert [len(names) for names in seen] == [1, 1]
    assert list((tmp_path / "journal.log.running").iterdir()) == []


@pytest.mark.parametrize("partial", ['{"op_code":4,"study', "\0" * 10_000, "x"])
def test_partial_last_line_is_truncated(tmp_path: Path, partial: str) -> None:
    journal = tmp_path / "journal.log"
    study = make_study(open_journal(tmp_path))
    study.optimize(Quick(), n_trials=2)
    complete = journal.read_bytes()
    add_line(journal, partial)
    again = create_or_join(open_journal(tmp_path), "ice", settings(), None, 1)
    again.optimize(Quick(), n_trials=1)
    assert journal.read_bytes().startswith(complete + b"{")
    assert (
        states(create_or_join(open_journal(tmp_path), "ice", settings(), None, 1))
        == ["COMPLETE"] * 3
    )


@pytest.mark.parametrize("complete", [b"", b"a\nb\n"])
@pytest.mark.parametrize("partial", [b"", b"x" * 9000])
def test_complete_lines_are_kept(tmp_path: Path, complete: bytes, partial: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(complete + partial)
    truncate_partial_line(path)
    assert path.read_bytes() == complete


@pytest.mark.process
def test_lock_of_a_killed_writer_is_released(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    journal.touch()
    program = (
        "import sys, time; from pathlib import Path;"
        "from sb3_atari_course.tuning.storage import KernelLock;"
        "KernelLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(journal)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as printed:
        assert printed.readline() == "held\n"
    process.kill()
    process.wait()
    start = time.monotonic()
    lock = KernelLock(journal)
    assert lock.acquire()
    lock.release()
    assert time.monotonic() - start < 1.0


def test_lock_is_released_if_truncating_fails(tmp_path: Path) -> None:
    lock = KernelLock(tmp_path / "nowhere.log")
    with pytest.raises(FileNotFoundError):
        lock.acquire()
    (tmp_path / "nowhere.log").touch()
    assert KernelLock(tmp_path / "nowhere.log").acquire()


@pytest.mark.process
def test_concurrent_writers_lose_no_lines(tmp_path: Path) -> None:
    """Two processes and this one add trials to one journal; no line is lost or interleaved."""
    journal = tmp_path / "journal.log"
    study = make_study(open_journal(tmp_path), n_trials=1000)
    program = (
        "import sys, warnings; warnings.simplefilter('ignore'); from pathlib import Path;"
        "from sb3_atari_course.tuning.storage import LockedJournalStorage;"
        "from sb3_atari_course.tuning.study import find_study;"
        "from tests.tuning.studies import Quick, quiet; quiet();"
        "study = find_study(LockedJournalStorage(Path(sys.argv[1])), 'ice');"
        "study.optimize(Quick(), n_trials=30)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(journal)], cwd=Path(__file__).parents[2]
        )
        for _ in range(2)
    ]
    study.optimize(Quick(), n_trials=30)
    assert [process.wait() for process in processes] == [0, 0]
    assert status_of(study).complete == 90
    assert len({one.user_attrs[WORKER][1] for one in study.trials}) == 3
    assert [one.number for one in study.trials] == list(range(90))
