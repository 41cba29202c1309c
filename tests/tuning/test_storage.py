"""Storages: journal files and databases, refused in one line if they cannot be opened."""

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
    cut_torn_line,
    open_storage,
)
from sb3_atari_course.tuning.study import WORKER, begin_or_join, status_of
from tests.tuning.studies import Quick, add_line, begin, settings, states


def test_a_journal_in_the_study_folder_or_where_it_is_told(tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path / "deep" / "study", n_workers=4)
    assert isinstance(storage, LockedJournalStorage)
    open_storage(str(tmp_path / "shared" / "all.log"), tmp_path / "study")
    journals = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.log"))
    assert journals == ["deep/study/journal.log", "shared/all.log"]
    assert not (tmp_path / "study").exists()


def test_the_letter_of_a_drive_is_no_scheme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    open_storage("C:journal.log", tmp_path)
    assert (tmp_path / "C:journal.log").is_file()


def test_looking_makes_no_journal(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no journal .*journal.log"):
        open_storage(None, tmp_path / "study", create=False)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("content", ["my only copy", '{"gamma": 0.99}', "\n"])
def test_a_file_of_somebody_else_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "precious.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"precious\.json is not a journal"):
        open_storage(str(path), tmp_path)
    assert path.read_text() == content


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


def test_a_database_that_is_not_there_is_told_soon(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"cannot open .*127\.0\.0\.1:9") as error:
        open_storage("postgresql://me:secret@127.0.0.1:9/none", tmp_path)
    assert time.monotonic() - begun < 10
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
def test_other_addresses_are_refused_without_their_passwords(
    tmp_path: Path, address: str, shown: str
) -> None:
    with pytest.raises(ValueError, match=shown) as error:
        open_storage(address, tmp_path)
    assert "TOPSECRET" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_the_grace_period_reaches_the_database(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db", tmp_path, grace_period=30)
    assert isinstance(storage, DatabaseStorage)
    assert (storage.grace_period, storage.heartbeat_interval) == (30, 5)


class Away:
    """Stands for ``sqlite3.connect``; fails a few times first, as if a server were away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_failures, self.n_waits, self._connect = 0, 0, sqlite3.dbapi2.connect
        monkeypatch.setattr(sqlite3.dbapi2, "connect", self)
        monkeypatch.setattr("sb3_atari_course.tuning.storage.time.sleep", self._wait)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.n_failures:
            self.n_failures -= 1
            raise sqlite3.OperationalError("the server is away")
        return self._connect(*args, **kwargs)

    def _wait(self, seconds: float) -> None:
        self.n_waits += 1


def test_an_open_database_waits_for_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(monkeypatch)
    storage = DatabaseStorage(f"sqlite:///{tmp_path}/study.db", patience=60)
    study = begin(storage)
    study.optimize(Quick(), n_trials=1)
    storage.engine.dispose()
    away.n_failures = 3
    assert states(study) == ["COMPLETE"]
    assert (away.n_failures, away.n_waits) == (0, 3)


def test_an_open_database_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(monkeypatch)
    storage = DatabaseStorage(f"sqlite:///{tmp_path}/study.db", patience=0.0)
    storage.engine.dispose()
    away.n_failures = 10**9
    with pytest.raises(StorageInternalError):
        begin(storage)


@pytest.mark.services
def test_a_server_that_says_nothing_is_told_soon(tmp_path: Path) -> None:
    begun = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/none"
        with pytest.raises(ValueError, match="cannot open"):
            open_storage(url, tmp_path)
    assert time.monotonic() - begun < 10


#: A process that begins a trial with one parameter and then sleeps; argument: the journal.
WORKER_THAT_SLEEPS = """
import sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from sb3_atari_course.tuning.storage import LockedJournalStorage
from sb3_atari_course.tuning.study import find_study
from tests.tuning.studies import Quick

def sleep(trial):
    while not storage._held:  # a thread of Optuna's takes the lock
        time.sleep(0.01)
    print("at work", flush=True)
    time.sleep(600)

storage = LockedJournalStorage(Path(sys.argv[1]))
study = find_study(storage, "ice")
study.optimize(Quick(sleep), n_trials=1)
"""


def open_journal(folder: Path, patience: float = 0.0) -> LockedJournalStorage:
    return LockedJournalStorage(folder / "journal.log", patience=patience)


def sleeper(journal: Path) -> subprocess.Popen[str]:
    """Return a process that is inside a trial."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER_THAT_SLEEPS, str(journal)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    with process.stdout as printed:
        assert printed.readline() == "at work\n"
    return process


def sweep(study: Study) -> None:
    optuna.storages.fail_stale_trials(study)


@pytest.mark.process
def test_a_trial_whose_worker_was_killed_is_failed_and_tried_again(tmp_path: Path) -> None:
    study = begin(open_journal(tmp_path))
    process = sleeper(tmp_path / "journal.log")
    sweep(study)
    assert states(study) == ["RUNNING"]  # its worker lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    sweep(study)
    assert states(study) == ["FAIL", "WAITING"]
    assert study.trials[1].user_attrs == {}
    study.optimize(Quick(), n_trials=1)
    assert states(study) == ["FAIL", "COMPLETE"]
    assert study.trials[0].params == study.trials[1].params


@pytest.mark.process
def test_what_kills_its_worker_again_is_given_up(tmp_path: Path) -> None:
    study = begin(open_journal(tmp_path))
    for _ in range(2):
        process = sleeper(tmp_path / "journal.log")
        process.kill()
        process.wait()
        sweep(study)
    assert states(study) == ["FAIL", "FAIL"]
    assert study.trials[0].params == study.trials[1].params


def test_a_worker_that_dies_before_its_lock_is_found_too(tmp_path: Path) -> None:
    """The hole between ask and the first heartbeat."""
    study = begin(open_journal(tmp_path))
    study._storage.create_new_trial(study._study_id)
    sweep(study)
    assert states(study) == ["WAITING", "FAIL", "WAITING"]


def test_a_worker_that_is_about_to_take_its_lock_is_left_in_peace(tmp_path: Path) -> None:
    study = begin(open_journal(tmp_path, patience=0.3))
    trial_id = study._storage.create_new_trial(study._study_id)
    sweep(study)
    assert states(study) == ["WAITING", "RUNNING"]
    study._storage.record_heartbeat(trial_id)  # type: ignore[attr-defined]
    time.sleep(0.4)
    other = begin_or_join(open_journal(tmp_path, patience=0.0), "ice", settings(), None, 1)
    sweep(study)
    sweep(other)
    assert states(study) == ["WAITING", "RUNNING"]


def test_no_lock_is_left_of_a_trial_that_ended(tmp_path: Path) -> None:
    storage = open_journal(tmp_path)
    study = begin(storage)
    seen = []

    def look(trial: optuna.Trial) -> None:
        while not storage._held:  # a thread of Optuna's takes the lock
            time.sleep(0.01)
        seen.append([path.name for path in (tmp_path / "journal.log.running").iterdir()])

    study.optimize(Quick(look), n_trials=2)
    assert [len(names) for names in seen] == [1, 1]
    assert list((tmp_path / "journal.log.running").iterdir()) == []


@pytest.mark.parametrize("torn", ['{"op_code":4,"study', "\0" * 10_000, "x"])
def test_a_torn_last_line_is_mended(tmp_path: Path, torn: str) -> None:
    journal = tmp_path / "journal.log"
    study = begin(open_journal(tmp_path))
    study.optimize(Quick(), n_trials=2)
    whole = journal.read_bytes()
    add_line(journal, torn)
    again = begin_or_join(open_journal(tmp_path), "ice", settings(), None, 1)
    again.optimize(Quick(), n_trials=1)
    assert journal.read_bytes().startswith(whole + b"{")
    assert (
        states(begin_or_join(open_journal(tmp_path), "ice", settings(), None, 1))
        == ["COMPLETE"] * 3
    )


@pytest.mark.parametrize("whole", [b"", b"a\nb\n"])
@pytest.mark.parametrize("torn", [b"", b"x" * 9000])
def test_only_a_torn_line_is_cut(tmp_path: Path, whole: bytes, torn: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(whole + torn)
    cut_torn_line(path)
    assert path.read_bytes() == whole


@pytest.mark.process
def test_the_lock_of_a_killed_writer_stalls_nobody(tmp_path: Path) -> None:
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
    begun = time.monotonic()
    lock = KernelLock(journal)
    assert lock.acquire()
    lock.release()
    assert time.monotonic() - begun < 1.0


def test_a_lock_whose_file_cannot_be_mended_is_given_back(tmp_path: Path) -> None:
    lock = KernelLock(tmp_path / "nowhere.log")
    with pytest.raises(FileNotFoundError):
        lock.acquire()
    (tmp_path / "nowhere.log").touch()
    assert KernelLock(tmp_path / "nowhere.log").acquire()


@pytest.mark.process
def test_workers_write_one_after_the_other(tmp_path: Path) -> None:
    """Two processes and this one add trials to one journal; no line is lost or mixed."""
    journal = tmp_path / "journal.log"
    study = begin(open_journal(tmp_path), n_trials=1000)
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
