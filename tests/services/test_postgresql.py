"""Studies on a PostgreSQL server: dead workers, server restarts, concurrent processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna import Study, Trial
from sqlalchemy.engine import make_url

from benchmarks.postgres_server import PostgresServer
from benchmarks.tuning_survives import run_with_kills
from sb3_atari_course.tuning.storage import DatabaseStorage
from sb3_atari_course.tuning.study import WORKER, create_or_join, find_study, status_of
from sb3_atari_course.tuning.workers import work
from tests.tuning.studies import Quick, make_study, settings, states
from tests.zoo.runs import ROOT, cli, python_m

pytestmark = pytest.mark.services

ICE = ["tune", "--algo", "q_learning", "--env", "FrozenLake-v1", "-n", "1000"]
GRACE = 6  # seconds

#: A process that starts a trial and then sleeps; arguments: the URL, the study.
SLEEPING_WORKER = f"""
import sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from sb3_atari_course.tuning.storage import open_storage
from sb3_atari_course.tuning.study import find_study
from tests.tuning.studies import Quick

def sleep(trial):
    print("running", flush=True)
    time.sleep(600)

study = find_study(open_storage(sys.argv[1], Path(), grace_period={GRACE}), sys.argv[2])
study.optimize(Quick(sleep), n_trials=1)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def storage_of(server: PostgresServer, patience: float = 300.0) -> DatabaseStorage:
    url = make_url(server.url).set(drivername="postgresql+psycopg")
    return DatabaseStorage(url, grace_period=GRACE, patience=patience)


def sleeper(server: PostgresServer, name: str) -> subprocess.Popen[str]:
    """Return a process that is running a trial."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPING_WORKER, server.url, name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    with process.stdout as printed:
        assert printed.readline() == "running\n"
    return process


def wait_for(study: Study, expected: list[str], seconds: float) -> None:
    """Fail stale trials until the trials have these states."""
    deadline = time.monotonic() + seconds
    while states(study) != expected:
        assert time.monotonic() < deadline, states(study)
        optuna.storages.fail_stale_trials(study)
        time.sleep(0.2)


def test_trial_of_a_killed_worker_is_retried(server: PostgresServer, name: str) -> None:
    study = make_study(storage_of(server), n_trials=1, name=name)
    process = sleeper(server, name)
    time.sleep(GRACE + 2)  # it sends heartbeats
    optuna.storages.fail_stale_trials(study)
    assert states(study) == ["RUNNING"]
    process.kill()
    process.wait()
    wait_for(study, ["FAIL", "WAITING"], seconds=GRACE + 5)
    work(study, Quick())
    assert states(study) == ["FAIL", "COMPLETE"]
    assert study.trials[0].params == study.trials[1].params


def test_worker_that_died_before_its_first_heartbeat_is_detected(
    server: PostgresServer, name: str
) -> None:
    """In Optuna its trial would stay running for ever."""
    study = make_study(storage_of(server), n_trials=1, name=name)
    study._storage.create_new_trial(study._study_id)
    start = time.monotonic()
    wait_for(study, ["WAITING", "FAIL", "WAITING"], seconds=GRACE + 5)
    assert time.monotonic() - start > GRACE - 1


def test_study_survives_a_server_restart(server: PostgresServer, name: str) -> None:
    """The server restarts during a trial; the worker waits, and its trial is not lost."""
    study = make_study(storage_of(server), n_trials=3, name=name)

    def restart_server(trial: Trial) -> None:
        if trial.number == 1:
            server.stop()
            threading.Timer(2.0, server.start).start()
        trial.report(1.0, 1)
        assert not trial.should_prune()

    work(study, Quick(restart_server))
    assert status_of(study).finished == 3
    assert status_of(study).running == 0
    assert len(states(study)) <= 4


def test_reconnecting_ends_after_patience(server: PostgresServer, name: str) -> None:
    study = make_study(storage_of(server, patience=1.0), n_trials=3, name=name)
    server.stop()
    try:
        start = time.monotonic()
        with pytest.raises(optuna.exceptions.StorageInternalError):
            study.get_trials()
        assert 1.0 < time.monotonic() - start < 10
    finally:
        server.start()
    assert [trial.state for trial in study.get_trials()] == [optuna.trial.TrialState.WAITING]


def test_concurrent_processes_create_one_study(tmp_path: Path) -> None:
    """They create the same tables and the same study in an empty database."""
    program = (
        "import sys, warnings; warnings.simplefilter('ignore'); from pathlib import Path;"
        "from sb3_atari_course.tuning.storage import open_storage;"
        "from tests.tuning.studies import make_study;"
        "sys.stdin.readline(); make_study(open_storage(sys.argv[1], Path()), n_trials=7)"
    )
    with PostgresServer() as empty:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", program, empty.url],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(4)
        ]
        time.sleep(8.0)  # until all imports are done
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        printed = [process.communicate(timeout=60)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * 4, printed
        assert status_of(find_study(storage_of(empty), "ice")).budget == 7


def test_two_machines_share_a_study(server: PostgresServer, name: str, tmp_path: Path) -> None:
    """The same command in two folders: both run trials, together the budget."""
    command = [*ICE[:-1], "20000", "--storage", server.url, "--study-name", name]
    command += ["--n-trials", "8"]
    processes = []
    for machine in ("a", "b"):
        (tmp_path / machine).mkdir()
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "sb3_atari_course", *command, "--num-threads", "1"],
                cwd=tmp_path / machine,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    study = find_study(storage_of(server), name)
    assert status_of(study).finished == 8
    assert len({trial.user_attrs[WORKER][1] for trial in study.trials if trial.params}) == 2
    best = [(tmp_path / machine / f"studies/{name}/best.yml").read_text() for machine in "ab"]
    assert best[0] == best[1]
    third = tmp_path / "c"
    third.mkdir()
    shown = python_m(
        *("sb3_atari_course", *ICE[:5], "--storage", server.url, "--study-name", name, "--best"),
        cwd=third,
    )
    assert best[0] in shown


def test_missing_database_is_reported_on_one_line(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli(*ICE, "--storage", server.url.replace("/postgres", "/nowhere")) == 2
    printed = capsys.readouterr().err
    assert 'database "nowhere" does not exist' in printed
    assert len(printed.splitlines()) == 1


def test_rejects_study_with_different_settings(server: PostgresServer, name: str) -> None:
    make_study(storage_of(server), name=name)
    with pytest.raises(ValueError, match=r"env_id.*FrozenLake-v1.*Taxi-v4"):
        create_or_join(storage_of(server), name, settings(env_id="Taxi-v4"), None, 1)


@pytest.mark.parametrize("where", ["journal", "postgresql"])
def test_study_survives_killed_workers_and_server_restart(
    server: PostgresServer, tmp_path: Path, where: str
) -> None:
    """Real trainings, workers killed during their trials, one server restart."""

    def restart_server() -> None:
        server.stop()
        time.sleep(2.0)
        server.start()

    result = run_with_kills(
        tmp_path,
        server.url if where == "postgresql" else None,
        n_trials=6,
        n_timesteps=3000,
        between=1.5,
        interrupt=restart_server if where == "postgresql" else None,
    )
    assert result["finished"] == 6
    assert result["running"] == 0
    assert result["duplicates"] == 0
    assert result["kills"] >= 1
