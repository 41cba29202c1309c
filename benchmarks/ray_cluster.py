"""A Ray cluster of several nodes on one machine, each a group of processes, for tests."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

#: Seconds within which a node must start.
_START_TIMEOUT = 60.0


class RayCluster:
    """Head without CPUs for runs, and nodes that can be added and killed.

    Only processes with ``RAY_AUTH_TOKEN`` of :attr:`environment` can join it.

    :param folder: for Ray's logs and sockets; its path must be short (sockets).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: Environment variables of a process that joins the cluster.
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._nodes: list[subprocess.Popen[bytes]] = []
        port, client_port = _free_port(), _free_port()
        self.address = f"127.0.0.1:{port}"
        self.client_address = f"ray://127.0.0.1:{client_port}"
        try:
            self._start(
                *("--head", f"--port={port}", f"--ray-client-server-port={client_port}"),
                *("--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}"),
            )
        except BaseException:
            self.stop()
            raise

    def add_node(self, *, n_cpus: int, hidden: Path | None = None) -> subprocess.Popen[bytes]:
        """Add a node.

        :param n_cpus: its CPUs.
        :param hidden: a folder that the node does not see (needs root).
        """
        return self._start(f"--address={self.address}", f"--num-cpus={n_cpus}", hidden=hidden)

    def kill_node(self, node: subprocess.Popen[bytes]) -> None:
        """Kill all processes of a node at once, as when its machine loses power."""
        for pid in reversed([node.pid, *_descendants(node.pid)]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        node.wait()

    def stop(self) -> None:
        """Kill all nodes, the head last."""
        for node in reversed(self._nodes):
            if node.poll() is None:
                self.kill_node(node)

    def _start(self, *flags: str, hidden: Path | None = None) -> subprocess.Popen[bytes]:
        log = self.folder / f"node-{len(self._nodes)}.log"
        ray = str(Path(sys.executable).with_name("ray"))
        command = [ray, "start", *flags, "--node-ip-address=127.0.0.1", "--block"]
        command += ["--object-store-memory=80000000", "--disable-usage-stats"]
        if hidden is not None:
            mount = f'mount -t tmpfs none "{hidden}" && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", mount, "sh", *command]
        with open(log, "wb") as output:
            node = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self._nodes.append(node)
        deadline = time.monotonic() + _START_TIMEOUT
        while not re.search(r"Ray runtime started", log.read_text(errors="replace")):
            if node.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"a node of Ray did not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        return node


@contextlib.contextmanager
def ray_cluster(n_nodes: int = 2, *, n_cpus: int = 1) -> Iterator[RayCluster]:
    """Start a head and nodes, and kill them at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    cluster = None
    try:
        cluster = RayCluster(folder)
        for _ in range(n_nodes):
            cluster.add_node(n_cpus=n_cpus)
        yield cluster
    finally:
        if cluster is not None:
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _descendants(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
