"""Ray cluster: what is rejected before a cluster is joined; tests/services/ has the rest."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sb3_atari_course import __version__, cluster
from sb3_atari_course.cluster import Cluster, visible


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Return a port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_missing_ray_is_reported_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r'pip install "sb3_atari_course\[cluster\]"'):
        Cluster(n_cpus=1)


@pytest.mark.parametrize("address", ["", "nowhere", "127.0.0.1", "ray://host", "host:port", ":1"])
def test_malformed_address_is_rejected(address: str) -> None:
    with pytest.raises(ValueError, match=f"--address {address}: must be auto"):
        Cluster(address, n_cpus=1)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_server_that_does_not_answer_is_given_up(
    scheme: str, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_TIMEOUT", 0.2)
    started = time.monotonic()
    with pytest.raises(ValueError, match=f"127.0.0.1:{silent_port}: no Ray answers there"):
        Cluster(f"{scheme}127.0.0.1:{silent_port}", n_cpus=1)
    assert time.monotonic() - started < 5


def test_folder_that_cannot_be_written_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    unconnected = Cluster.__new__(Cluster)
    with pytest.raises(ValueError, match="choose another folder"):
        unconnected.check_folder(tmp_path / "file" / "suite")


def test_file_is_visible_where_it_exists(tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    assert visible(str(tmp_path / "token")) == (True, __version__)
    assert visible(str(tmp_path / "nowhere")) == (False, __version__)
