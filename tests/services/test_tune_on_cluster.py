"""The command ``tune --address`` on a Ray cluster, with a PostgreSQL server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from optuna import Study
from optuna.trial import TrialState

from benchmarks.postgres_server import PostgresServer
from benchmarks.ray_cluster import RayCluster, ray_cluster
from sb3_atari_course.tuning.storage import DatabaseStorage, open_storage
from sb3_atari_course.tuning.study import StudyStatus, find_study, status_of
from tests.zoo.runs import ROOT

pytestmark = pytest.mark.services

N_TRIALS = 12
GRACE = 6  # seconds


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(1, n_cpus=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture(scope="module")
def storage(server: PostgresServer) -> DatabaseStorage:
    storage = open_storage(server.url, Path(), grace_period=GRACE)
    assert isinstance(storage, DatabaseStorage)
    return storage


def start(
    cluster: RayCluster,
    server: PostgresServer,
    home: Path,
    *more: str,
    env: dict[str, str] | None = None,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "sb3_atari_course", "tune", "--algo", "q_learning"),
            *("--env", "FrozenLake-v1", "-n", "60000", "--n-trials", str(N_TRIALS)),
            *("--n-games", "5", "--grace-period", str(GRACE), "--address", cluster.address),
            *("--study-name", home.name, *more),
        ],
        cwd=home,
        env={
            **os.environ,
            **cluster.environment,
            "SB3_ATARI_STORAGE": server.url,
            "PYTHONPATH": str(ROOT),
            **(env or {}),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def find(storage: DatabaseStorage, home: Path) -> Study | None:
    try:
        return find_study(storage, home.name)
    except ValueError:  # not created yet
        return None


def wait_until(
    condition: str, n: int, storage: DatabaseStorage, process: subprocess.Popen[str], home: Path
) -> None:
    """Wait until a count of the study's status has reached ``n``."""
    while True:
        assert process.poll() is None
        study = find(storage, home)
        if study is not None and getattr(status_of(study), condition) >= n:
            return
        time.sleep(0.2)


def worker_pids(home: Path) -> list[int]:
    logs = sorted((home / "studies" / home.name / "workers").glob("*.log"))
    return [int(n) for log in logs for n in re.findall(r"worker (\d+) started", log.read_text())]


def status(storage: DatabaseStorage, home: Path) -> StudyStatus:
    study = find(storage, home)
    assert study is not None
    return status_of(study)


def test_budget_is_exact_with_a_killed_worker_and_a_lost_node(
    cluster: RayCluster, server: PostgresServer, storage: DatabaseStorage, tmp_path: Path
) -> None:
    node = cluster.add_node(n_cpus=1)
    process = start(cluster, server, tmp_path)
    wait_until("finished", 1, storage, process, tmp_path)
    os.kill(worker_pids(tmp_path)[0], signal.SIGKILL)
    wait_until("finished", 3, storage, process, tmp_path)
    while len(worker_pids(tmp_path)) < 3:  # until it is replaced
        assert process.poll() is None
        time.sleep(0.2)
    cluster.kill_node(node)
    cluster.add_node(n_cpus=1)
    printed = process.communicate(timeout=200)[0]
    assert process.returncode == 0, printed
    assert "worker died (killed)" in printed
    assert "worker died (lost with its node)" in printed
    found = find(storage, tmp_path)
    assert found is not None
    states = [trial.state for trial in found.trials]
    n_finished = states.count(TrialState.COMPLETE) + states.count(TrialState.PRUNED)
    assert (n_finished, states.count(TrialState.RUNNING)) == (N_TRIALS, 0)
    assert (tmp_path / "studies" / tmp_path.name / "best.yml").is_file()


def test_ctrl_c_stops_the_workers_of_the_cluster(
    cluster: RayCluster, server: PostgresServer, storage: DatabaseStorage, tmp_path: Path
) -> None:
    process = start(cluster, server, tmp_path, "--n-trials", "1000")
    wait_until("running", 1, storage, process, tmp_path)
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 130, printed
    assert "run the same command to resume" in printed
    assert status(storage, tmp_path).running == 0
    (pid, *_) = worker_pids(tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_more_gpus_than_any_node_has_are_refused(
    cluster: RayCluster, server: PostgresServer, tmp_path: Path
) -> None:
    process = start(cluster, server, tmp_path, "--gpus", "1")
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert "1 GPUs" in printed.splitlines()[-1]


def test_password_is_in_no_command_line_and_no_file(
    cluster: RayCluster, server: PostgresServer, storage: DatabaseStorage, tmp_path: Path
) -> None:
    secret = "kept-to-itself"
    process = start(
        cluster, server, tmp_path, "--n-trials", "2",
        env={"SB3_ATARI_STORAGE": server.url.replace(":unused@", f":{secret}@")},
    )  # fmt: skip
    wait_until("running", 1, storage, process, tmp_path)
    commands = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if secret in command]
    printed = process.communicate(timeout=100)[0]
    assert process.returncode == 0, printed
    assert secret not in printed
    files = [*tmp_path.rglob("*"), *cluster.folder.rglob("*")]
    assert any(path.suffix == ".log" for path in files)
    assert not [path for path in files if path.is_file() and secret.encode() in path.read_bytes()]
