"""The command ``suite`` on a Ray cluster of a head and two nodes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import sb3_atari_course
from benchmarks.ray_cluster import RayCluster, ray_cluster
from sb3_atari_course.suite.suite_folder import SuiteFolder
from tests.suite.suites import contents, events
from tests.zoo.runs import ROOT, python_m

pytestmark = pytest.mark.services

SUITE = """
seeds: [1]
runs:
  - {algos: [q_learning], envs: [Taxi-v4], n_timesteps: 20000}
  - {algos: [dqn], envs: [CartPole-v1], n_timesteps: 8000, params: {gradient_steps: 64}}
evaluation: {n_games: 2}
"""
TAXI = ["suite", "--algo", "q_learning", "--env", "Taxi-v4", "--seeds", "1", "-n", "20000"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(2, n_cpus=1) as cluster:
        yield cluster


def start(cluster: RayCluster, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command that may join the cluster."""
    return subprocess.Popen(
        [sys.executable, "-m", "sb3_atari_course", *arguments],
        cwd=folder,
        env={**os.environ, **cluster.environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refusal(cluster: RayCluster, folder: Path, *arguments: str) -> str:
    """Return the only line that a command prints when it exits with status 2."""
    process = start(cluster, folder, *arguments)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert printed == ""
    (line,) = errors.splitlines()
    return line


def wait_for(condition: str, process: subprocess.Popen[str], path: Path, text: str = "") -> None:
    """Wait until a file exists and contains a text."""
    while not (path.is_file() and text in path.read_text()):
        assert process.poll() is None, f"ended before {condition}: {process.communicate()}"
        time.sleep(0.02)


def test_ctrl_c_stops_with_checkpoints_and_the_same_command_resumes(
    cluster: RayCluster, tmp_path: Path
) -> None:
    (tmp_path / "my suite.yml").write_text(SUITE)
    command = ["suite", "my suite.yml", "--checkpoint-freq", "1000"]
    taxi, cartpole = (
        tmp_path / "suites" / "my suite" / name
        for name in ("q_learning/Taxi-v4_1", "dqn/CartPole-v1_1")
    )
    process = start(cluster, tmp_path, *command, "--address", cluster.address)
    wait_for("Taxi is evaluated", process, taxi / "evaluation.json")
    wait_for("a checkpoint", process, cartpole / "checkpoints" / "log.jsonl", "written")
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "run the same command to resume" in printed
    assert "Traceback" not in printed + errors
    assert events(cartpole)[-1][0] == "stopped"
    finished, stopped_at = contents(taxi), events(cartpole)[-1][1]

    # through Ray's client, as from a machine that is not a node
    process = start(cluster, tmp_path, *command, "--address", cluster.client_address)
    printed, errors = process.communicate(timeout=240)
    assert process.returncode == 0, printed + errors
    assert contents(taxi) == finished
    assert ("resumed", stopped_at) in events(cartpole)
    assert events(cartpole)[-1][0] == "written"
    folder = SuiteFolder(tmp_path / "suites" / "my suite")
    settings = folder.settings()
    assert settings is not None
    assert all(folder.is_evaluated(run, settings) for run in settings.runs)


@contextlib.contextmanager
def node_without(cluster: RayCluster, hidden: Path) -> Iterator[None]:
    """Add a node that does not see a folder."""
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("hiding a folder from a process needs root")
    node = cluster.add_node(n_cpus=1, hidden=hidden)
    try:
        yield
    finally:
        node.terminate()  # unlike a kill, the cluster is notified
        node.wait(60)


def test_node_that_does_not_see_the_folder_is_refused(cluster: RayCluster, tmp_path: Path) -> None:
    with node_without(cluster, tmp_path):
        arguments = [*TAXI, "--address", cluster.address, "-f", str(tmp_path / "suite")]
        line = refusal(cluster, ROOT, *arguments)
    assert f"does not see {tmp_path / 'suite'}" in line
    assert not list((tmp_path / "suite").iterdir())


def test_node_without_the_package_is_refused(cluster: RayCluster, tmp_path: Path) -> None:
    with node_without(cluster, Path(sb3_atari_course.__file__).parent):
        line = refusal(cluster, tmp_path, *TAXI, "--address", cluster.address)
    assert f"cannot import sb3_atari_course: install version {sb3_atari_course.__version__}" in line


def test_more_cpus_than_a_node_has_are_refused(cluster: RayCluster, tmp_path: Path) -> None:
    line = refusal(cluster, tmp_path, *TAXI, "--address", cluster.address, "--cpus", "2")
    assert "a run requests 2 CPUs and 0 GPUs, but no node has both" in line
    assert not list(tmp_path.iterdir())


def test_address_where_no_server_answers_is_refused(cluster: RayCluster, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        started = time.monotonic()
        assert address in refusal(cluster, tmp_path, *TAXI, "--address", address)
    assert time.monotonic() - started < 15  # 5 s for the answer, the rest for Python
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(1300)
def test_suite_survives_kills_of_workers_a_node_and_the_command() -> None:
    printed = python_m("benchmarks.suite_survives", "--quick", timeout=1200)
    result = json.loads(printed.splitlines()[-1])
    del result["seconds"], result["kills_inside_a_write"]  # a kill may miss the write by a moment
    assert result == {
        "runs": 4,
        "finished": 4,
        "kills": 2,
        "node_kills": 1,
        "driver_kills": 1,
        "duplicates": 0,
        "bytes_differing": 0,
        "monitor_rows_differing": 0,
        "log_rows_differing": 0,
        "states_differing": 0,
    }
